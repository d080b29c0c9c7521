"""What the commands' arguments have in common: the parser, the options for reading, the kinds of values."""

import argparse
import re


class UsageError(Exception):
    """Arguments that do not parse or do not go together; exit code 2."""


class RunError(Exception):
    """A run that failed although its arguments and data were good; exit code 1."""


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line under the program's name, and no option is abbreviated."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message):
        raise UsageError(f"{message} (see {self.prog} --help)")


def add_debug(parser):
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_json(parser):
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def add_model(parser):
    parser.add_argument("model", metavar="MODEL", help="a file that `backprop train` (or Network.save) wrote")


def add_reading(parser, learning=False):
    """Options of how DATA is read; those of `train` where `learning`."""
    group = parser.add_argument_group("how DATA is read")
    group.add_argument("--target", type=column, metavar="NAME",
                       help="the column to predict: its name, or its position from 0 (-1: the last)")
    group.add_argument("--drop", type=columns, action=Further, default=(), metavar="NAMES",
                       help="columns to leave out, such as identifiers: names or positions, separated by commas")
    if learning:
        group.add_argument("--categorical", type=columns, action=Further, default=(), metavar="NAMES",
                           help="columns that are categories although they hold numbers; columns of text are anyway")
        group.add_argument("--sample-weight", type=column, metavar="NAME",
                           help="a column of the rows' weights, which is no input: a row of weight 2 counts twice")
        group.add_argument("--missing", choices=("error", "drop", "fill"), default="error",
                           help="what becomes of cells that are empty, NA, NaN, null or ?: an error (the default), the "
                                "row is dropped, or the column's mean (a category of its own) takes the place, in "
                                "later predictions too")
    else:
        group.add_argument("--unknown", choices=("error", "zeros"), default="error",
                           help="what becomes of a category that the model has not seen: an error (the default) or "
                                "none of its categories")
    group.add_argument("--header", choices=("auto", "yes", "no"), default="auto",
                       help="whether the first row holds names (default: as it looks)")
    group.add_argument("--delimiter", type=delimiter, metavar="CHARACTER",
                       help="between cells of a text file, 'tab' for a tab (default: as the file looks)")
    group.add_argument("--decimal", choices=(".", ","), default=".",
                       help="what stands before the fraction of numbers in a text file (default: .)")
    group.add_argument("--index-base", type=int, choices=(0, 1), metavar="0|1",
                       help="what the first column is called in a LIBSVM file")


# ---- kinds of values -------------------------------------------------------------------------------------------


def column(text):
    try:
        return int(text)
    except ValueError:
        return text


class Further(argparse.Action):
    """An option that may be given again: what it names comes to what is named already, and nothing is forgotten."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), *values))


def columns(text):
    return tuple(column(part) for part in text.split(",") if part)


def delimiter(text):
    return "\t" if text in ("tab", "\\t") else text


def sizes(text):
    if text in ("", "none"):
        return []
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers of at least 1 as in 64,32, got {text!r}")
    return values


def batch_size(text):
    if text == "full":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number or 'full', got {text!r}") from None


def rates(text):
    """One number, or one per layer."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, or numbers as in 0.2,0.5, got {text!r}") from None
    return values[0] if len(values) == 1 else values


def activations(text):
    """One name, or one per hidden layer."""
    from backprop.activations import HIDDEN

    parts = text.split(",")
    for part in parts:
        if part not in HIDDEN:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(HIDDEN)}")
    return parts[0] if len(parts) == 1 else parts


def fraction_or_file(text):
    try:
        return float(text)
    except ValueError:
        return text


def early_stopping(text):
    """N or N:KEY=VALUE,...: 0 for none, else an EarlyStopping."""
    from backprop.stopping import EarlyStopping

    patience, _, rest = text.partition(":")
    try:
        patience = int(patience)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, or N:KEY=VALUE,..., got {text!r}") from None
    if patience == 0 and not rest:
        return 0
    return _made(f"early stopping:{rest}", lambda name, **parameters: EarlyStopping(patience, **parameters))


def metrics(text):
    """Names of metrics."""
    from backprop.metrics import NAMES

    parts = tuple(text.split(","))
    for part in parts:
        if part not in NAMES:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(NAMES)}")
    return parts


def optimizer(text):
    """NAME or NAME:KEY=VALUE,...: an Optimizer."""
    from backprop import optimizers

    return _made(text, optimizers.Optimizer)


def schedule(text):
    """NAME or NAME:KEY=VALUE,...: a Schedule."""
    from backprop import _check, schedules

    def make(name, **parameters):
        row = schedules.TABLE[_check.choice(name, "schedule", schedules.NAMES)]
        return row(**parameters)

    return _made(text, make)


def _made(text, make):
    name, _, rest = text.partition(":")
    parameters = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"expected NAME or NAME:KEY=VALUE,..., got {text!r}")
        parameters[key.strip()] = _value(value)
    try:
        return make(name, **parameters)
    except (TypeError, ValueError) as error:
        message = str(error)
        if unknown := re.search(r"unexpected keyword argument '(\w+)'", message):     # Python 3.13 adds what was meant
            message = f"{name} has no parameter {unknown[1]!r}"
        raise argparse.ArgumentTypeError(message) from None


def _value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def class_weight(text):
    """'balanced', or {label: weight} from LABEL=WEIGHT,..."""
    if text == "balanced":
        return text
    weights = {}
    for part in text.split(","):
        label, _, weight = part.rpartition("=")
        try:
            weights[label] = float(weight)
        except ValueError:
            label = ""
        if not label:
            raise argparse.ArgumentTypeError(f"expected 'balanced' or LABEL=WEIGHT,..., got {text!r}")
    return weights
