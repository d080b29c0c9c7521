"""docs/command-line.md is a session at a shell: its commands run, in order, and print what it says."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import backprop

PAGE = Path(__file__).parent.parent / "docs" / "command-line.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = 'backprop() { "$PYTHON" -m backprop "$@"; }\npython() { "$PYTHON" "$@"; }\n'


def commands(text):
    """(line, command, what it prints) of every ``$`` in the page's blocks of the language "console"."""
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        for part in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield line, command, output
            line += part.count("\n")


def run(command, folder):
    """What a shell prints for the command, stderr among it, and its exit code where that is not 0."""
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(Path(backprop.__file__).parents[1])}
    done = subprocess.run(["sh", "-c", SHELL + command], cwd=folder, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8", timeout=60)
    return done.stdout + (f"[exit code {done.returncode}]\n" if done.returncode else "")


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
def test_the_page_prints_what_it_says(tmp_path):
    checker, count = doctest.OutputChecker(), 0
    for line, command, expected in commands(PAGE.read_text(encoding="utf-8")):
        printed = run(command, tmp_path)
        assert checker.check_output(expected, printed, doctest.ELLIPSIS), (
            f"{PAGE.name}, line {line}: {command} prints\n{printed}\nnot\n{expected}")
        count += 1
    assert count >= 15


def test_a_wrong_output_would_be_found(tmp_path):
    (line, command, expected), = commands("a\n```console\n$ echo one\ntwo\n```\n")
    assert (line, command, expected) == (3, "echo one", "two\n")
    assert not doctest.OutputChecker().check_output(expected, run(command, tmp_path), doctest.ELLIPSIS)


def test_every_command_of_the_page_exists():
    from backprop.cli import COMMANDS, parse

    text = PAGE.read_text(encoding="utf-8")
    assert {name for name in COMMANDS if f"backprop {name} " in text} == set(COMMANDS)
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            assert parse(line.split()[1:]).command == line.split()[1]
