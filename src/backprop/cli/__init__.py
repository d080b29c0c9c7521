# PYTHON_ARGCOMPLETE_OK
"""The command line: ``backprop train | predict | evaluate | info | trace | plot | export | bench``.

Results go to stdout. An error is one line on stderr, ``backprop: error: ...``, with exit code 2 for bad usage or bad
data, 1 for a run that failed (divergence, a full disk), 130 after Ctrl-C. ``--debug`` adds the traceback.

A command is a module of this package with `EXAMPLES`, `arguments(parser)` and `run(args)`, and a row of `COMMANDS`;
only the module of the command that is asked for is loaded.
"""

import importlib
import os
import sys
import traceback

from backprop import __version__
from backprop.cli.arguments import Parser, RunError, UsageError, add_debug
from backprop.cli.messages import in_options
from backprop.cli.output import silence, use_utf8, warn
from backprop.errors import DivergenceError

COMMANDS = {
    "train": "train a network on DATA and save it",
    "predict": "predictions for every row of DATA as CSV",
    "evaluate": "accuracy, F1 and confusion matrix, or MAE, RMSE and R2, on DATA",
    "info": "architecture, training record and checksum of a model",
    "trace": "one row of DATA explained as the lecture's five steps of backpropagation",
    "plot": "curves, boundary, weights, network or confusion matrix as PNG or SVG",
    "export": "a model as ONNX, C or Python",
    "bench": "time this library against JAX, numba, PyTorch, scikit-learn and others",
}
EXAMPLES = """\
from a CSV file to predictions:
  backprop train iris.csv --target species --out iris.safetensors
  backprop predict iris.safetensors new.csv --out predictions.csv
  backprop evaluate iris.safetensors iris.csv
  backprop info iris.safetensors

`backprop COMMAND --help` has the options of a command, and examples.
"""


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code. ``--help`` and ``--version`` raise SystemExit as argparse does.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    use_utf8(sys.stdout)
    try:
        if not argv and "_ARGCOMPLETE" not in os.environ:
            warn(_parser([]).format_help().rstrip())
            return 2
        args = parse(argv)
        code = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:                              # a reader such as `head` has seen enough
        silence(sys.stdout)
        return 1
    except KeyboardInterrupt:
        return _complain("interrupted", argv, 130)
    except Exception as error:
        return _failed(error, argv)


def _failed(error, argv):
    """Say what an error means to who typed the command; the exit code."""
    if isinstance(error, (UsageError, RunError)):        # said in the command line's own words
        return _complain(error, argv, 2 if isinstance(error, UsageError) else 1)
    if _is_interrupt(error):
        return _complain("interrupted", argv, 130)
    if isinstance(error, (DivergenceError, MemoryError, ImportError)):
        return _complain(in_options(str(error)) or "out of memory", argv, 1)
    if isinstance(error, ValueError):
        return _complain(in_options(str(error)), argv, 2)
    if isinstance(error, OSError):
        if error.filename is not None:
            return _complain(f"{os.fsdecode(error.filename)}: {error.strerror}", argv, 2)
        silence(sys.stdout)                              # what fails without a name is the output, as on a full disk
        return _complain(error, argv, 1)
    return _complain(f"unexpected {type(error).__name__}: {error} (--debug shows where)", argv, 1)


def _is_interrupt(error):
    """Whether an error is Ctrl-C in disguise: Python 3.11 makes a RuntimeError of it where a class is made, and modules
    of C an ImportError where they import others."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _complain(message, argv, code):
    if "--debug" in argv:
        traceback.print_exc()
    warn(f"backprop: error: {' '.join(str(message).split())}")
    return code


def parse(argv):
    """The parsed arguments, with the command's function as `run`."""
    completing = "_ARGCOMPLETE" in os.environ
    asked = next((arg for arg in argv if not arg.startswith("-")), None)
    parser = _parser(COMMANDS if completing else [asked])
    if completing:
        _complete(parser)
    return parser.parse_args(argv)


def _parser(filled):
    """The parser of all commands, of which those of `filled` have their arguments."""
    parser = Parser(prog="backprop", epilog=EXAMPLES,
                    description="Train feedforward networks by backpropagation, and use them.")
    parser.add_argument("--version", action="version", version=f"backprop {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in COMMANDS.items():
        if name not in filled:
            commands.add_parser(name, help=words)
            continue
        module = importlib.import_module(f"backprop.cli.{name}")
        command = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.",
                                      epilog=module.EXAMPLES)
        module.arguments(command)
        add_debug(command)
        command.set_defaults(run=module.run)
    return parser


def _complete(parser):
    """Answer the shell that wants to complete a line, where argcomplete is installed."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)
