"""``backprop info``: what a model file holds."""

import json

from backprop import model_file
from backprop.cli.arguments import add_json, add_model
from backprop.cli.models import open_model, short
from backprop.cli.output import pairs

EXAMPLES = """\
examples:
  backprop info iris.safetensors
  backprop info iris.safetensors --json
"""


def arguments(parser):
    add_model(parser)
    add_json(parser)


def run(args):
    model = open_model(args.model)
    checksum = model_file.checksum(args.model)
    if args.json:
        print(json.dumps({"model": args.model, "sha256": checksum, **_document(model)}))
    else:
        print("\n".join([model.network.summary(), *pairs([*_facts(model), ("sha256", checksum)])]))
    return 0


def _document(model):
    network, history = model.network, model.network.history
    return {
        "sizes": network.sizes, "activations": network.activations, "loss": network.loss, "bias": network.bias,
        "parameters": network.n_parameters, "epochs_trained": network.epochs_trained,
        "classes": None if model.classes is None else model.classes.tolist(),
        "target": model.target, "feature_names": model.feature_names,
        "columns": None if model.columns is None else [column.to_dict() for column in model.columns],
        "standardized": model.scaler is not None, "record": model.record,
        "final_loss": history.loss[-1] if history is not None and history.loss else None,
        "best_epoch": None if history is None else history.best_epoch,
        "stop_reason": None if history is None else history.stop_reason}


def _facts(model):
    """(name, value) of what a model has besides its layers."""
    history, record = model.network.history, dict(model.record)
    options, test = record.pop("options", None), record.pop("test", None)
    record.pop("data_sha256", None)
    if model.classes is not None:
        yield "classes", _listed(map(str, model.classes.tolist()))
    if model.target is not None:
        yield "target", model.target
    if model.columns is not None:
        yield "columns", _listed(map(_described, enumerate(model.columns)))
    elif model.feature_names is not None:
        yield "features", _listed(model.feature_names)
    yield "inputs", "as they are" if model.scaler is None else "standardized by the model"
    if history is not None and history.loss:
        best = "" if history.best_epoch is None else f", the best was epoch {history.best_epoch}"
        yield "training", (f"{len(history)} epochs, loss {history.loss[0]:.6g} -> {history.loss[-1]:.6g}, "
                           f"ended by {history.stop_reason}{best}")
    if record:
        yield "record", ", ".join(f"{key} {short(value)}" for key, value in record.items())
    if options:
        yield "options", ", ".join(f"{key} {short(value)}" for key, value in options.items() if value not in (None, 0))
    if test:
        yield "test", ", ".join(f"{key} {short(value)}" for key, value in test.items())


def _listed(words, limit=8):
    words = list(words)
    return ", ".join(words[:limit]) + (f", ... ({len(words)} in all)" if len(words) > limit else "")


def _described(pair):
    position, column = pair
    name = f"column {position}" if column.name is None else column.name
    if column.categories is not None:
        shown = [category or "(missing)" for category in column.categories]
        return f"{name} ({'|'.join(shown[:6])}{'|...' if len(shown) > 6 else ''})"
    return name if column.fill is None else f"{name} (missing: {column.fill:.4g})"
