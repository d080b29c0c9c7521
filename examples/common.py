"""What the examples share: where their figures go, and whether they are to be quick."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def arguments(description, out=None, **more):
    """The command line: ``--out FOLDER`` and ``--quick``, and `more` options by name, each with its default and help.

    A notebook has no command line: it gets the defaults, with a temporary folder, and is quick where the environment
    says BACKPROP_QUICK=1.
    """
    in_notebook = "ipykernel" in sys.modules
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=out,
                        help=f"where files go; by default {out or 'a new temporary folder'}")
    parser.add_argument("--quick", action="store_true", default=os.environ.get("BACKPROP_QUICK") == "1",
                        help="less of everything, in a few seconds")
    for name, (default, words) in more.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{words}; by default {default}")
    options = parser.parse_args([] if in_notebook else None)
    if options.out is None or in_notebook:
        options.out = Path(tempfile.mkdtemp(prefix="backprop-"))
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def save(figure, path):
    """Write a figure and say so. In a notebook it is shown as well, below the cell."""
    figure.savefig(path, dpi=120)
    print(f"figure: {path}")
