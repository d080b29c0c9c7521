"""docs/guarantees.md names only tests that exist, for every promise at least one."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
PROMISES = [line for line in PAGE.splitlines() if line.startswith("| ") and "::" in line]


def defined(path):
    """Names of the test functions of a file."""
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED.findall(PAGE)}))
def test_every_named_test_exists(file):
    named = {name for found, name in NAMED.findall(PAGE) if found == file}
    assert named <= defined(TESTS / file)


def test_every_promise_names_its_tests():
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    titles = [section.splitlines()[0] for section in sections]
    assert {"Input", "Labels", "Loss", "Divergence", "One trajectory", "Threads and processes", "Ctrl-C", "Files",
            "Loaders", "Memory", "Manners", "Not promised"} <= set(titles)
    rows = [line for section in sections if "| held by |" in section for line in section.splitlines()
            if re.match(r"\| (?!promise)", line)]
    assert len(rows) >= 30 and rows == PROMISES
    for row in rows:
        assert NAMED.search(row.rsplit(" | ", 1)[1]), row


def test_a_name_is_written_as_a_test_is_named():
    assert len(NAMED.findall(PAGE)) == PAGE.count("::test_")
