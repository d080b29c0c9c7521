"""The command line in a test: in this process, or as a process of its own."""

import csv
import io
import sys

from backprop import cli


def run(capsys, *argv):
    """(exit code, stdout, stderr) of the command line in this process."""
    code = cli.main([str(arg) for arg in argv])
    return code, *capsys.readouterr()


def ok(capsys, *argv):
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    return out


def refused(capsys, code, *argv):
    """The one line of an error, without its prefix."""
    found, out, err = run(capsys, *argv)
    assert (found, out) == (code, "")
    assert err.startswith("backprop: error: ") and err.endswith("\n") and err.count("\n") == 1
    return err.removeprefix("backprop: error: ").rstrip("\n")


def rows_of(text):
    return list(csv.reader(io.StringIO(text)))


def command(*argv):
    """The arguments of a process that runs the command line."""
    return [sys.executable, "-m", "backprop", *map(str, argv)]
