"""``backprop plot``: a picture of a model, of its training, or of what it makes of DATA."""

import argparse
import io
import math
import os

from backprop.cli import tables
from backprop.cli.arguments import UsageError, add_model, add_reading, sizes
from backprop.cli.models import open_model
from backprop.cli.output import check_path, writing

FORMATS = (".png", ".svg", ".pdf")
PIXELS = 64                 # named inputs of a square number from here on are taken for pixels
EXAMPLES = """\
examples:
  backprop plot history iris.safetensors --out history.png
  backprop plot network iris.safetensors --out network.svg
  backprop plot network iris.safetensors iris.csv --row 70 --out example.svg
  backprop plot weights digits.safetensors --out weights.png
  backprop plot confusion-matrix iris.safetensors iris.csv --out confusion.png
  backprop plot boundary two-columns.safetensors two-columns.csv --out boundary.png
  backprop plot trace iris.safetensors iris.csv --row 70 --out trace.svg

Needs matplotlib: pip install 'backprop-core[plot]'
"""


def arguments(parser):
    parser.add_argument("kind", choices=tuple(KINDS), metavar="KIND", help=", ".join(KINDS))
    add_model(parser)
    parser.add_argument("data", metavar="DATA", nargs="?",
                        help="rows with their targets, for boundary, confusion-matrix and trace; or for the "
                             "activations of one row in a network")
    parser.add_argument("--out", required=True, metavar="FILE", help=f"the picture to write: {', '.join(FORMATS)}")
    parser.add_argument("--row", type=int, default=0, metavar="N", help="which row of data, from 0 (default: 0)")
    parser.add_argument("--learning-rate", type=float, default=0.1, metavar="ETA", help="of a trace (default: 0.1)")
    parser.add_argument("--shape", type=_shape, metavar="ROWS,COLUMNS",
                        help="of the images of weights (default: a table where the inputs have names and are no "
                             "square of pixels, such as 8 x 8; else square, else one row)")
    parser.add_argument("--dpi", type=int, default=150, metavar="N", help="dots per inch of a PNG (default: 150)")
    add_reading(parser)


def run(args):
    suffix = os.path.splitext(args.out)[1].lower()
    if suffix not in FORMATS:
        raise UsageError(f"argument --out: {args.out} ends in none of {', '.join(FORMATS)}")
    if args.data is None and args.kind in NEED_DATA:
        raise UsageError(f"a plot of the kind {args.kind} needs DATA")
    check_path(args.out, args.model, args.data)
    model = open_model(args.model)
    from backprop import plot  # matplotlib is loaded only where something is drawn
    from backprop.plot import _style

    _style.require()
    data = None if args.data is None else tables.examples(model, args)
    if data is not None and not -len(data.X) <= args.row < len(data.X):
        raise UsageError(f"argument --row: {args.data} has {len(data.X):,} rows, got {args.row}")
    axes = KINDS[args.kind](plot, model, data, args)
    picture = io.BytesIO()
    axes.figure.savefig(picture, format=suffix[1:], dpi=args.dpi, bbox_inches="tight",
                        metadata={"Date": None} if suffix == ".svg" else None)
    with writing(args.out, "the picture") as stream:
        stream.write(picture.getvalue())
    return 0


def _shape(text):
    values = sizes(text)
    if len(values) != 2:
        raise argparse.ArgumentTypeError(f"expected ROWS,COLUMNS as in 28,28, got {text!r}")
    return tuple(values)


def _axes(width=6.4, height=4.8):
    """Axes in a figure of their own, without pyplot's state and windows."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def _history(plot, model, data, args):
    if model.network.history is None or not len(model.network.history):
        raise ValueError(f"{args.model} holds no history of a training")
    return plot.history(model.network.history, _axes())


def _boundary(plot, model, data, args):
    if model.classes is None or model.network.sizes[0] != 2:
        raise ValueError(f"a boundary is drawn for a classification of two inputs, and {args.model} has "
                         f"{model.network.sizes[0]}" + (" and is a regression" if model.classes is None else ""))
    return plot.decision_boundary(model, data.X, data.y, _axes())


def _network(plot, model, data, args):
    x = None if data is None else _example(model, data, args)[0]
    return plot.network(model.network, _axes(8.0, 6.0), x=x)


def _weights(plot, model, data, args):
    inputs, names = model.network.sizes[0], model.feature_names
    if args.shape is None and names is not None and (inputs < PIXELS or math.isqrt(inputs)**2 != inputs):
        return plot.weights(model.network, _axes(8.0, max(3.0, 1.2 + 0.2 * inputs)), names=names)
    shape = args.shape or (None if math.isqrt(inputs)**2 == inputs else (1, inputs))
    if shape is not None and shape[0] * shape[1] != inputs:
        raise UsageError(f"argument --shape: {shape[0]} x {shape[1]} is not {inputs}, the inputs of {args.model}")
    return plot.weights(model.network, _axes(), shape=shape)


def _confusion_matrix(plot, model, data, args):
    if model.classes is None:
        raise ValueError(f"{args.model} is a regression and has no classes")
    from backprop.cli.scores import true_classes

    true, predicted = true_classes(model, data, args.data), model.outputs_of(data.X).argmax(axis=1)
    return plot.confusion_matrix(model.classes[true], model.classes[predicted], _axes(), classes=model.classes)


def _trace(plot, model, data, args):
    x, y, _ = _example(model, data, args)
    return plot.trace(model.network.trace(x, y, args.learning_rate), _axes(10.0, 6.0))


def _example(model, data, args):
    from backprop.cli.trace import as_learned

    return as_learned(model, tables.row(data, args.row % len(data.X)), args.data)


KINDS = {"history": _history, "boundary": _boundary, "weights": _weights, "network": _network,
         "confusion-matrix": _confusion_matrix, "trace": _trace}
NEED_DATA = ("boundary", "confusion-matrix", "trace")
