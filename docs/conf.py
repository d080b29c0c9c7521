"""Sphinx's settings for ``make docs``, and what the pages leave to the build: their figures.

The pages are Markdown that a code host shows as it is. A comment on its own line, ``<!-- figure: NAME.png Words -->``,
is where the build puts a figure that `figures.py` made.
"""

import re
import sys
from pathlib import Path

import latex2mathml.converter
from docutils import nodes

import backprop

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import figures  # noqa: E402

project = "backprop"
author = copyright = "The backprop developers"
version = release = backprop.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
templates_path, html_static_path, html_css_files = ["_templates"], ["_static"], ["site.css"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]                 # $x$ and $$x$$, as code hosts show them
html_math_renderer = "mathml"
myst_heading_anchors = 3                                # links to headings, as code hosts make them
suppress_warnings = ["myst.header"]                     # a page may go from ## to a table of its own

default_role = "py:obj"                                 # `name` in a docstring: a link where it is a public name
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_mock_imports = ["dask", "distributed"]          # the pages do not need them
autodoc_typehints = "none"                              # the docstrings say types, with shapes
numpydoc_show_class_members = False                     # autodoc lists them
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_title = f"backprop {version}"
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2, "secondary_sidebar_items": ["page-toc"],
                      "article_header_start": [], "navbar_center": [], "navbar_persistent": [],
                      "navbar_end": ["search-button-field", "theme-switcher"], "footer_start": ["copyright"],
                      "footer_end": []}
html_sidebars = {"**": ["pages"]}                       # all pages beside each page, in the groups of index.md
html_show_sourcelink = False
html_copy_source = False

MATHML = (                                              # as fonts without a table for mathematics show it, too
    (r"<mi>:</mi><mo>&#x0003D;</mo>", "<mo>&#x02254;</mo>"),                       # :=
    (r"<msup>(<mi>[^<]*</mi>)<mi>&#x02032;</mi></msup>", r"<mrow>\1<mo lspace='0' rspace='0'>&#x02032;</mo></mrow>"),
    (r"<msubsup>(<mi>[^<]*</mi>)(<mi>[^<]*</mi>)<mi>&#x02032;</mi></msubsup>",
     r"<mrow><msub>\1\2</msub><mo lspace='0' rspace='0'>&#x02032;</mo></mrow>"),
)
FIGURE = re.compile(r"^<!-- figure: (\S+) (.*) -->$", re.MULTILINE)


def place_figures(app, page, source):
    """Put the figures where the comments stand, their words below them and as what a screen reader says."""
    source[0] = FIGURE.sub(rf"![\2](/{figures.FOLDER.relative_to(HERE)}/\1)\n\n*\2*", source[0])


def mathml(formula, display):
    """A formula as MathML, which browsers show themselves: no script from another place, and none at all."""
    text = latex2mathml.converter.convert(formula, display="block" if display else "inline")
    for pattern, better in MATHML:
        text = re.sub(pattern, better, text)
    return text


def inline_math(writer, node):
    writer.body.append(mathml(node.astext(), display=False))
    raise nodes.SkipNode


def display_math(writer, node):
    writer.body.append(f'<div class="formula">{mathml(node.astext(), display=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.connect("builder-inited", lambda app: figures.make())
    app.connect("source-read", place_figures)
