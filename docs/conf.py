"""Sphinx's settings for ``make docs``, and what the pages leave to the build: their figures.

The pages are Markdown that a code host shows as it is. A comment on its own line, ``<!-- figure: NAME.png Words -->``,
is where the build puts a figure that `figures.py` made.
"""

import re
import sys
from pathlib import Path

import backprop

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import figures  # noqa: E402

project = "backprop"
author = copyright = "The backprop developers"
version = release = backprop.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3                                # links to headings, as code hosts make them
suppress_warnings = ["myst.header"]                     # a page may go from ## to a table of its own

default_role = "py:obj"                                 # `name` in a docstring: a link where it is a public name
autodoc_member_order = "bysource"
autodoc_typehints = "none"                              # the docstrings say types, with shapes
numpydoc_show_class_members = False                     # autodoc lists them
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_title = f"backprop {version}"
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2, "secondary_sidebar_items": ["page-toc"],
                      "article_header_start": [], "navbar_align": "left", "header_links_before_dropdown": 6}
html_show_sourcelink = False
html_copy_source = False

FIGURE = re.compile(r"^<!-- figure: (\S+) (.*) -->$", re.MULTILINE)


def place_figures(app, page, source):
    """Put the figures where the comments stand, their words below them and as what a screen reader says."""
    source[0] = FIGURE.sub(rf"![\2](/{figures.FOLDER.relative_to(HERE)}/\1)\n\n*\2*", source[0])


def setup(app):
    app.connect("builder-inited", lambda app: figures.make())
    app.connect("source-read", place_figures)
