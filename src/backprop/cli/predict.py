"""``backprop predict``: predictions for every row of DATA, read, predicted and written some rows at a time."""

import csv
import io

from backprop.cli import tables
from backprop.cli.arguments import Further, UsageError, add_model, add_reading, columns
from backprop.cli.models import open_model
from backprop.cli.output import check_path, writing

EXAMPLES = """\
examples:
  backprop predict iris.safetensors new.csv
  backprop predict iris.safetensors new.csv --proba --out predictions.csv
  backprop predict houses.safetensors new.csv --keep id --out prices.csv
  cat new.csv | backprop predict iris.safetensors - | head
"""


def arguments(parser):
    add_model(parser)
    parser.add_argument("data", metavar="DATA", help="rows to predict, or - for text from stdin; a target column in it "
                                                     "is not looked at")
    parser.add_argument("--out", metavar="FILE", help="the CSV file to write, as UTF-8 (default: stdout)")
    parser.add_argument("--proba", action="store_true", help="add a column of probability for every class")
    parser.add_argument("--keep", type=columns, action=Further, default=(), metavar="NAMES",
                        help="columns of DATA to write before the predictions, such as identifiers: names or "
                             "positions, separated by commas, or 'all'")
    add_reading(parser)


def run(args):
    check_path(args.out, args.model, args.data)
    model = open_model(args.model)
    if args.proba and model.classes is None:
        raise UsageError("argument --proba: the model is a regression and has no classes")
    with tables.standard_input(args), writing(args.out, "the predictions") as stream:
        header = None
        for X, kept in tables.blocks(model, args):
            if header is None:
                header = [*kept, *_header(model, args.proba)]
            rows = zip(*kept.values(), *_columns(model, X, args.proba)) if len(X) else ()
            stream.write(_csv([header, *rows] if header else rows))
            header = ()                        # with the first rows, so that an error in them leaves nothing behind it
    return 0


def _header(model, proba):
    if model.classes is not None:
        return ["prediction", *([f"probability_{label}" for label in model.classes.tolist()] if proba else [])]
    width = model.network.sizes[-1]
    return ["prediction"] if width == 1 else [f"prediction_{j}" for j in range(width)]


def _columns(model, X, proba):
    outputs = model.outputs_of(X)
    if model.classes is None:
        return outputs.T.tolist()
    return [model.classes[outputs.argmax(axis=1)].tolist(), *(outputs.T.tolist() if proba else [])]


def _csv(rows):
    """Rows as CSV in UTF-8; floats are written by repr, which reads back to the same bits."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")
