"""Data that ships with the package; README.md here names its source and licence."""
