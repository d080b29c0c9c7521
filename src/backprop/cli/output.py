"""What the commands print and write."""

import contextlib
import os
import sys

from backprop.cli.arguments import RunError, UsageError


def silence(stream):
    """Nobody reads the stream any more: what Python would flush into it at its exit goes nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError, AttributeError):        # not a file, as in a test, or closed
        pass


def use_utf8(stream):
    """Pipes and files get UTF-8 whatever the locale, as readers expect; a terminal gets what it can show."""
    if stream is None or not hasattr(stream, "reconfigure"):
        return
    if stream.isatty():
        stream.reconfigure(errors="backslashreplace")
    else:
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def say(args, *lines):
    """Print lines of text, unless --quiet or --json."""
    if not (getattr(args, "quiet", False) or getattr(args, "json", False)):
        for line in lines:
            print(line, flush=True)


def warn(line):
    """Print a line to stderr, where there is one (print(file=None) would go to stdout)."""
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def table(rows, right=True):
    """Lines of cells in columns; the first column to the left unless all go to the `right`."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  " + "  ".join(cell.rjust(width) if right or k else cell.ljust(width)
                             for k, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells]


def pairs(rows):
    """Lines of names and their values in two columns, both to the left."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"  {name.ljust(width)}  {value}".rstrip() for name, value in rows]


@contextlib.contextmanager
def writing(path, what):
    """A binary stream into the file at `path`, which appears whole or not at all; or into stdout for None."""
    if path is None:
        if sys.stdout is None:                           # the process was started with it closed
            raise RunError(f"stdout is closed; name a file for {what} with --out")
        sys.stdout.flush()
        yield _Stdout()
        return
    from backprop import model_file

    with _as_failed_run(what), model_file.replacing(path) as stream:
        yield stream


class _Stdout:
    """stdout as a stream of bytes, also where it is only one of text, as in a test."""

    def write(self, data):
        sys.stdout.write(data.decode())


@contextlib.contextmanager
def _as_failed_run(what):
    """An error of writing is a failed run; what is read meanwhile names its file and is bad data."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and not os.fsdecode(error.filename).endswith(".tmp"):
            raise
        raise RunError(f"cannot write {what}: {error.strerror or error}") from error


def check_path(out, *inputs):
    """Refuse, before the work begins, a path that cannot be written or that is one of the files that are read."""
    if out is None:
        return
    folder = os.path.dirname(os.path.abspath(out))
    if not os.path.isdir(folder):
        raise UsageError(f"argument --out: there is no folder {folder}")
    if os.path.isdir(out):
        raise UsageError(f"argument --out: {out} is a folder")
    if os.path.exists(out) and not os.path.isfile(out):
        raise UsageError(f"argument --out: {out} is a device, a pipe or a socket, not a file that can be replaced")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"argument --out: the folder {folder} cannot be written to")
    for path in inputs:
        if path is not None and os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise UsageError(f"argument --out: {out} is the file that is read, and would be overwritten")
