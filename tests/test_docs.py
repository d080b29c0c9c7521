"""The documentation is a program: the code in README.md, docs/*.md and the docstrings runs and prints what they say."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import backprop
import markdown

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"))]
MODULES = sorted(m.name for m in pkgutil.walk_packages(backprop.__path__, "backprop.")
                 if not re.search(r"\._c(ore|pu)|__main__$", m.name))
LINK = re.compile(r"\]\(([^)#]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran, missing = markdown.run(page)
    count = page.read_text(encoding="utf-8").count("```python\n")
    if missing:
        pytest.skip(f"{ran} of {count} blocks run; the others need {', '.join(missing)}")
    assert ran == count


def test_readme_and_lecture_have_code():
    assert len(markdown.blocks((ROOT / "README.md").read_text(encoding="utf-8"))) >= 1
    assert len(markdown.blocks((ROOT / "docs" / "lecture.md").read_text(encoding="utf-8"))) >= 9


@pytest.mark.parametrize("text, message", [
    ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "prints\n1\n\nnot\n2"),
    ("```python\nprint(1)\n```\n\nWords.\n\n```text\n1\n```\n", "prints\n1\n\nnot\n"),
])
def test_a_wrong_output_is_found(text, message, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match="line 2") as caught:
        markdown.run(page)
    assert message in str(caught.value)


def test_blocks_that_need_what_is_missing_are_left_out(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- needs: math, no_such_package -->\n```python\n1 / 0\n```\n\n"
                    "<!-- needs: math, json -->\n```python\nprint(1)\n```\n\n```text\n1\n```\n")
    assert [block.line for block in markdown.blocks(page.read_text())] == [3, 8]
    assert markdown.run(page) == (1, ["no_such_package"])


@pytest.mark.parametrize("name", ["backprop", *MODULES])
def test_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name.startswith("backprop.plot"):
        pytest.importorskip("matplotlib", reason="the examples draw, and need the extra `plot`")
    if name.startswith("backprop.dask."):
        pytest.importorskip("dask", reason="the module is for Dask, the extra `dask`")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
        assert re.match(r"https?://", target) or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_reference_has_every_public_name():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "api").glob("*.rst")))
    named = set(re.findall(r"^\.\. auto(?:class|function|module):: backprop\.([\w.]+)$", pages, re.MULTILINE))
    assert set(backprop.__all__) <= named
    overview = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    assert {path.stem for path in (ROOT / "docs" / "api").glob("*.rst")} == set(re.findall(r"api/(\w+)", overview))
    for module in ("dask", "data", "export", "plot"):
        members = re.search(rf"^\.\. automodule:: backprop\.{module}\n   :members:(.*)$", pages, re.MULTILINE)[1]
        listed = {*members.replace(",", " ").split(), *(name.removeprefix(f"{module}.") for name in named)}
        public = {name for name in importlib.import_module(f"backprop.{module}").__all__ if name != "FORMATS"}
        assert public and (not members.strip() or public <= listed), module


def test_kernels_that_the_lecture_page_names_exist():
    core = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/backprop").rglob("*.p[yx][xi]"))
    lecture = (ROOT / "docs/lecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\*\*In the core:\*\* (.*)$", lecture, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) >= 12
    for name in names:
        assert re.search(rf"\b(def|cdef|void|double|int|enum|bint)\b[^\n]*\b{name}\(", core) or f"{name}[" in core, name


def test_digits_example(tmp_path):
    """What `make demo` runs: accuracy of at least 0.95, and a model that loads again."""
    environment = {**os.environ, "PYTHONPATH": str(Path(backprop.__file__).parents[1])}
    run = subprocess.run([sys.executable, str(ROOT / "examples" / "digits.py")], cwd=tmp_path, capture_output=True,
                         text=True, timeout=120, env=environment)
    assert run.returncode == 0, run.stderr
    accuracy = float(re.search(r"test accuracy:? (0\.\d+|1\.0+)", run.stdout, re.IGNORECASE).group(1))
    assert accuracy >= 0.95
    X, y = backprop.data.digits()
    net = backprop.load(tmp_path / "digits-model.safetensors")
    assert (net.predict(X).argmax(axis=1) == y).mean() >= 0.95
