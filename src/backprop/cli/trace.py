"""``backprop trace``: one row of DATA as the lecture's five steps of backpropagation."""

import json

import numpy as np

from backprop import _check
from backprop.cli import tables
from backprop.cli.arguments import UsageError, add_json, add_model, add_reading
from backprop.cli.models import open_model
from backprop.cli.output import table
from backprop.cli.scores import true_classes

EXAMPLES = """\
examples:
  backprop trace iris.safetensors iris.csv
  backprop trace iris.safetensors iris.csv --row 70 --learning-rate 0.1
"""


def arguments(parser):
    add_model(parser)
    parser.add_argument("data", metavar="DATA", help="rows with their targets, or - for text from stdin")
    parser.add_argument("--row", type=int, default=0, metavar="N",
                        help="which row of data, from 0; negative from the end (default: 0)")
    parser.add_argument("--learning-rate", type=float, default=0.1, metavar="ETA",
                        help="of the fifth step, the update (default: 0.1); the model is not changed")
    add_json(parser)
    add_reading(parser)


def run(args):
    _check.real(args.learning_rate, "--learning-rate", above=0.0)
    model = open_model(args.model)
    path = args.data
    with tables.standard_input(args):
        data = tables.examples(model, args)
        if not -len(data.X) <= args.row < len(data.X):
            raise UsageError(f"argument --row: {path} has {len(data.X):,} rows, from 0 to {len(data.X) - 1}, "
                             f"got {args.row}")
        row = args.row % len(data.X)
        example = tables.row(data, row)
        x, y, label = as_learned(model, example, path)
    found = model.network.trace(x, y, args.learning_rate)
    if args.json:
        print(json.dumps({"data": path, "row": row, "prediction": _prediction(model, example), **_document(found)}))
        return 0
    print("\n".join([f"{path}, row {row}: target {label}, prediction {_prediction(model, example)}",
                     *_inputs(model, example, x), str(found)]))
    return 0


def as_learned(model, example, path):
    """(x as the network sees it, target as it learns it, the target's own words) of a Table of one row."""
    x = example.X if model.scaler is None else model.scaler.transform(example.X)
    if model.classes is not None:
        number = int(true_classes(model, example, path)[0])
        return x[0], np.eye(len(model.classes))[number], str(model.classes[number])
    y = np.asarray(example.y, np.float64).reshape(1, -1)
    label = ", ".join(f"{value:g}" for value in y[0])
    return x[0], (y if model.target_scaler is None else model.target_scaler.transform(y))[0], label


def _prediction(model, example):
    outputs = model.outputs_of(example.X)[0]
    if model.classes is not None:
        return str(model.classes[outputs.argmax()])
    return ", ".join(f"{value:.6g}" for value in outputs)


def _inputs(model, example, x, limit=12):
    """Lines of what stands in the file and what the network sees of it."""
    names = model.feature_names or [f"column {j}" for j in range(len(x))]
    rows = [[name, f"{raw:g}", f"{value:.6g}"] for name, raw, value in zip(names, example.X[0], x)]
    more = [f"  ... ({len(rows)} inputs in all)"] if len(rows) > limit else []
    return table([["input", "in the data", "x, standardized" if model.scaler is not None else "x"], *rows[:limit]],
                 right=False) + more


def _document(found):
    """The trace in kinds that JSON has."""
    def plain(value):
        return value.tolist() if isinstance(value, np.ndarray) else value

    lists = ("a", "z", "deltas", "weight_gradients", "bias_gradients", "weight_updates", "bias_updates", "weights",
             "biases")
    return {"x": plain(found.x), "y": plain(found.y), "loss": found.loss, "learning_rate": found.learning_rate,
            "activations": found.activations,
            **{name: [plain(value) for value in getattr(found, name)] for name in lists}}
