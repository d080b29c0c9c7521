"""What the sources of the core promise of themselves: no exception can be lost where there is no GIL, and no size is
narrower than a pointer."""

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "src" / "backprop"
FILES = sorted([*SOURCES.glob("*.pyx"), *SOURCES.glob("kernels/*.pxi")])
HEAD = re.compile(r"^(?:cdef|cpdef) (?!extern|struct|enum|packed|class|inline class)[^=\n]*?\((?:[^()]|\([^()]*\))*\)"
                  r"([^\n]*):$", re.MULTILINE)
SIZES = re.compile(r"\b(?:int|long|unsigned) (?:n|n_rows|n_examples|rows|columns|count|start|stop|first|last|B|ld\w*"
                   r"|visit\w*|size)\b")


def functions(path):
    """(head, body) of the functions of C in a source."""
    text = path.read_text(encoding="utf-8")
    for head in HEAD.finditer(text):
        body = re.match(r"(?:\n| .*\n?)*", text[head.end() + 1:])
        yield head[0], body[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_function_without_the_gil_can_lose_an_exception(path):
    """After a call of one that is not `noexcept` Cython would ask for the GIL, to look for an exception; what is raised
    within one that is would be printed and forgotten."""
    for head, body in functions(path):
        signature = head.rsplit(")", 1)[1]
        if "nogil" in signature:
            assert "noexcept" in signature, head
        if "noexcept" in signature:
            assert not re.search(r"^\s*(?:raise|assert|try:|with gil)", body, re.MULTILINE), head
    assert "with gil" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_block_without_the_gil_raises(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for start in [k for k, line in enumerate(lines) if line.strip() == "with nogil:"]:
        depth = len(lines[start]) - len(lines[start].lstrip())
        for line in lines[start + 1:]:
            if line.strip() and len(line) - len(line.lstrip()) <= depth:
                break
            assert not line.strip().startswith(("raise", "assert", "try:")), line


def test_the_functions_are_found():
    """More than a pattern that no longer fits would find."""
    assert sum("nogil" in head for path in FILES for head, _ in functions(path)) >= 140


@pytest.mark.parametrize("path", [*FILES, *sorted(SOURCES.glob("kernels/*.h"))], ids=lambda path: path.name)
def test_sizes_are_as_wide_as_pointers(path):
    text = path.read_text(encoding="utf-8")
    assert not SIZES.findall(text.replace("v_poly(const double *c, int n, vd x)", ""))       # coefficients, a few
