"""``backprop train``: a network trained on DATA and saved with all that its data need."""

import argparse
import contextlib
import hashlib
import json
import os
import time

import numpy as np

import backprop
from backprop import _check, activations, data, initializers, metrics, optimizers, schedules
from backprop.cli import arguments as kinds
from backprop.cli import tables
from backprop.cli.arguments import RunError, UsageError
from backprop.cli.messages import in_options
from backprop.cli.output import check_path, pairs, say, warn
from backprop.cli.scores import matrix_lines, pairs_of, scores, summary, true_classes
from backprop.columns import input_names
from backprop.errors import DivergenceError
from backprop.model import Model
from backprop.stopping import EarlyStopping

MAX_CLASSES = 20            # --task auto: a column of whole numbers with more different values is a quantity
VALIDATION = 0.1            # part of the training rows, where there are enough of them
MIN_VALIDATION_ROWS = 10
PATIENCE = 20
LOSSES = {True: ("log_loss", "squared_error", "half_squared_error"),
          False: ("squared_error", "half_squared_error", "absolute_error", "huber", "poisson")}

EXAMPLES = """\
examples:
  backprop train digits --out digits.safetensors
  backprop train iris.csv --target species --out iris.safetensors
  backprop train houses.csv --target price --drop id --missing fill --out houses.safetensors
  backprop train iris.csv --target species --hidden 16,8 --activation relu --optimizer momentum:momentum=0.95 \\
      --learning-rate 0.02 --schedule cosine --dropout 0.2 --epochs 500 --out iris.safetensors
  backprop train long.csv --target y --epochs 5000 --checkpoint-every 100 --out m.safetensors   # killed? the same with
  backprop train long.csv --target y --epochs 5000 --checkpoint-every 100 --out m.safetensors --resume

DATA is "digits" (1,797 handwritten digits that come with the package) or a file: CSV or TSV, NPY, NPZ, IDX (MNIST's
format) or LIBSVM, also compressed by gzip. Columns of text become categories, one input for each.
"""


def arguments(parser):
    parser.add_argument("data", metavar="DATA", help="'digits', a file, or - for text from stdin")
    parser.add_argument("--out", required=True, metavar="MODEL", help="the model file to write")
    parser.add_argument("--task", choices=("auto", "classification", "regression"), default="auto",
                        help="auto: classification where the target is text, bools or at most "
                             f"{MAX_CLASSES} different whole numbers")
    kinds.add_reading(parser, learning=True)
    _network_arguments(parser.add_argument_group("network"))
    _training_arguments(parser.add_argument_group("training"))
    _stopping_arguments(parser.add_argument_group("validation, stopping, resuming"))
    output = parser.add_argument_group("output")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    kinds.add_json(output)


def _network_arguments(group):
    group.add_argument("--hidden", type=kinds.sizes, default=[32], metavar="SIZES",
                       help="units of the hidden layers, as 64,32; 'none' for no hidden layer (default: 32)")
    group.add_argument("--activation", type=kinds.activations, default="tanh", metavar="NAME",
                       help="of the hidden layers, or one for each as relu,tanh: "
                            f"{', '.join(activations.HIDDEN)} (default: tanh)")
    group.add_argument("--output", choices=activations.NAMES, metavar="NAME",
                       help="activation of the output layer: softmax (the default) or sigmoid for classification; any "
                            "that goes with the loss for regression (default: identity, and exp for poisson)")
    group.add_argument("--loss", metavar="NAME",
                       help=f"{', '.join(LOSSES[True])} for classification (default: {LOSSES[True][0]}); "
                            f"{', '.join(LOSSES[False])} for regression (default: {LOSSES[False][0]})")
    group.add_argument("--init", choices=initializers.NAMES, default="auto", metavar="NAME",
                       help=f"initial weights: {', '.join(initializers.NAMES)} (default: auto)")
    group.add_argument("--no-bias", action="store_true", help="units without biases")
    group.add_argument("--no-standardize", action="store_true",
                       help="feed the inputs (and a regression's target) as they are, not shifted and scaled to mean 0 "
                            "and standard deviation 1")


def _training_arguments(group):
    group.add_argument("--epochs", type=int, default=200, metavar="N", help="passes over the data (default: 200)")
    group.add_argument("--optimizer", type=kinds.optimizer, default="adam", metavar="NAME[:KEY=VALUE,...]",
                       help=f"{', '.join(optimizers.NAMES)}, with parameters as in momentum:momentum=0.95 "
                            "(default: adam)")
    group.add_argument("--learning-rate", type=float, metavar="ETA", help="default: the optimizer's")
    group.add_argument("--schedule", type=kinds.schedule, metavar="NAME[:KEY=VALUE,...]",
                       help=f"of the learning rate: {', '.join(schedules.NAMES)}, with parameters as in step:every=30 "
                            "(default: constant)")
    group.add_argument("--batch-size", type=kinds.batch_size, metavar="N",
                       help="examples per update, or 'full' (default: 32, and full where the optimizer needs it)")
    group.add_argument("--l1", type=float, default=0.0, metavar="X", help="penalty X times the absolute weights")
    group.add_argument("--l2", type=float, default=0.0, metavar="X", help="penalty X/2 times the squared weights")
    group.add_argument("--dropout", type=kinds.rates, default=0.0, metavar="RATE",
                       help="share of hidden units dropped in each visit, or one rate per hidden layer as 0.2,0.5")
    group.add_argument("--max-norm", type=float, metavar="X", help="largest norm of the weights into a unit")
    group.add_argument("--clip-norm", type=float, metavar="X", help="largest norm of a batch's gradient")
    group.add_argument("--class-weight", type=kinds.class_weight, metavar="WEIGHTS",
                       help="'balanced', or factors of classes as in yes=5,no=1")
    group.add_argument("--no-shuffle", action="store_true",
                       help="visit the rows in the same order in every epoch (default: a new order in each)")
    group.add_argument("--seed", type=int, default=0, metavar="N",
                       help="of the parts held out, the initial weights and the order of examples (default: 0)")
    group.add_argument("--threads", type=int, default=1, metavar="N",
                       help="they change the time, and no bit (default: 1)")


def _stopping_arguments(group):
    group.add_argument("--test-size", type=float, default=0.2, metavar="FRACTION",
                       help="part of DATA that is not trained on but scored at the end; 0 for none (default: 0.2)")
    group.add_argument("--validation", type=kinds.fraction_or_file, metavar="FRACTION|FILE",
                       help="part of the rest that is held out to watch the loss on, 0 for none; or a file of its own, "
                            f"read as DATA is (default: "
                            f"{VALIDATION:g}, and 0 where that is fewer than {MIN_VALIDATION_ROWS} rows)")
    group.add_argument("--early-stopping", type=kinds.early_stopping, metavar="N[:KEY=VALUE,...]",
                       help="stop after N epochs without a better validation loss, and keep the best; 0: do not "
                            f"(default: {PATIENCE} where there is validation); parameters as in "
                            "20:monitor=val_accuracy,min_delta=0.001")
    group.add_argument("--metrics", type=kinds.metrics, action=kinds.Further, default=(), metavar="NAMES",
                       help="measured after each epoch, also on the rows held out, and kept in the history: "
                            f"{', '.join(metrics.NAMES)}, separated by commas")
    group.add_argument("--target-loss", type=float, metavar="X", help="stop when the loss is no more than this")
    group.add_argument("--max-updates", type=int, metavar="N", help="stop after N updates of the weights")
    group.add_argument("--max-seconds", type=float, metavar="S", help="stop after this time")
    group.add_argument("--checkpoint-every", type=int, metavar="N",
                       help="save the training to MODEL.checkpoint after every Nth epoch; gone when it is over")
    group.add_argument("--resume", action="store_true",
                       help="go on from MODEL.checkpoint, or from MODEL, up to --epochs in all; the data and the other "
                            "options must be the same")


def run(args):
    _check_options(args)
    args.source = "standard input" if args.data == "-" else args.data
    kind = {"auto": "auto", "classification": "class", "regression": "number"}[args.task]
    with tables.standard_input(args):
        table = tables.learn(args, kind)
    _require_target(args, table)
    classification = _is_classification(args, table)
    train, test = _split(args, table, classification)
    if table.weight is not None and not table.weight[train].any():
        raise UsageError("argument --sample-weight: the rows to train on have no weight but 0")
    tables.fill(table, train)
    if table.columns is not None:
        table.names = input_names(table.columns)
    model, Y = _prepare(args, table, classification, train)
    held = _held(args, model)
    if args.resume:
        _resume(args, model)
    _describe(args, table, model, classification, len(train), len(test), held)
    weight = None if table.weight is None else table.weight[train]
    interrupted = _fit(args, model, table.X[train], Y, weight, held)
    found = {}
    try:
        if len(test):
            held = tables.Table(table.X[test], table.y[test], table.names, table.target_name)
            found = scores(model, held)
    finally:                                             # what was trained is kept, whatever a Ctrl-C ends
        model.record["test"] = summary(found)
        _save(model, args.out)
    if not interrupted:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_checkpoint(args))
    _report(args, model, found)
    if interrupted:
        which = "the best so far" if model.network.history.best_epoch is not None else "the model so far"
        warn(f"backprop: interrupted after {model.network.epochs_trained} epochs; {which} is in {args.out}")
        return 130
    return 0


# ---- before the data are read ----------------------------------------------------------------------------------


def _check_options(args):
    _check.integer(args.epochs, "--epochs", minimum=0)
    _check.integer(args.seed, "--seed", minimum=0)
    _check.integer(args.threads, "--threads", minimum=1)
    for name in ("l1", "l2"):
        _check.real(getattr(args, name), f"--{name}", minimum=0.0)
    _check.real(args.test_size, "--test-size", minimum=0.0, below=1.0)
    if isinstance(args.validation, str):
        os.stat(args.validation)                         # before the work begins
    elif args.validation is not None:
        _check.real(args.validation, "--validation", minimum=0.0, below=1.0)
    for name in ("learning_rate", "max_norm", "clip_norm", "max_seconds"):
        if getattr(args, name) is not None:
            _check.real(getattr(args, name), f"--{name.replace('_', '-')}", above=0.0)
    if args.early_stopping:
        _check_early_stopping(args)
    for name in ("checkpoint_every", "max_updates"):
        if getattr(args, name) is not None:
            _check.integer(getattr(args, name), f"--{name.replace('_', '-')}", minimum=1)
    rule = optimizers.resolve(args.optimizer, args.learning_rate)
    args.optimizer = rule
    if args.batch_size is None:
        args.batch_size = "full" if rule.full_batch_only else 32
    elif args.batch_size != "full":
        _check.integer(args.batch_size, "--batch-size", minimum=1)
        if rule.full_batch_only:
            raise UsageError(f"argument --batch-size: {rule.name} needs all examples at once; leave it out")
    _check_per_layer(args)
    check_path(args.out, args.data)
    if args.resume and not any(map(os.path.exists, (_checkpoint(args), args.out))):
        raise UsageError(f"argument --resume: there is neither {_checkpoint(args)} nor {args.out}")


def _check_early_stopping(args):
    monitor = args.early_stopping.monitor
    if _watches_validation(args) and args.validation == 0.0:
        raise UsageError(f"argument --early-stopping: it watches {_words(monitor)}, and --validation is 0")
    metric = monitor.removeprefix("val_")
    if metric not in ("loss", "gradient_norm") and metric not in args.metrics:
        raise UsageError(f"argument --early-stopping: {monitor} is not measured; give --metrics {metric}"
                         if metric in metrics.NAMES else
                         f"argument --early-stopping: monitor={monitor} is none of loss, gradient_norm, "
                         f"{', '.join(metrics.NAMES)}, nor one of these after val_")


def _watches_validation(args):
    return args.early_stopping.monitor.startswith("val_")


def _words(monitor):
    return {"val_loss": "the validation loss", "loss": "the loss"}.get(monitor, monitor)


def _check_per_layer(args):
    several = isinstance(args.dropout, list)
    for rate in args.dropout if several else [args.dropout]:
        _check.real(rate, "--dropout", minimum=0.0, below=1.0)
    if several and len(args.dropout) != len(args.hidden):
        raise UsageError(f"argument --dropout: {len(args.dropout)} rates for {len(args.hidden)} hidden layers")
    if not several and args.dropout and not args.hidden:
        raise UsageError("argument --dropout: there are no hidden layers")
    if isinstance(args.activation, list) and len(args.activation) != len(args.hidden):
        raise UsageError(f"argument --activation: {len(args.activation)} names for {len(args.hidden)} hidden layers")


def _checkpoint(args):
    return args.out + ".checkpoint"


# ---- data ------------------------------------------------------------------------------------------------------


def _require_target(args, table):
    if table.y is None:
        raise UsageError(f"{args.source} has no target; name its column with --target")
    if len(table.X) < 2 and args.test_size > 0.0:
        raise UsageError(f"{args.source} has one row, too few to hold out a test part; --test-size 0 trains on it")


def _is_classification(args, table):
    if args.task != "auto":
        return args.task == "classification"
    return table.classes is not None and (table.classes.dtype.kind in "Ub" or len(table.classes) <= MAX_CLASSES)


def _split(args, table, classification):
    """Row numbers to train on and to test with, both in random order."""
    n = len(table.X)
    if args.test_size == 0.0:
        return np.arange(n), np.arange(0)
    n_test = min(max(round(n * args.test_size), 1), n - 1)
    stratify = False
    if classification:                       # every class on both sides, where there are enough examples for that
        counts = np.unique(table.y, return_counts=True)[1]
        stratify = bool(counts.min() >= 2 and len(counts) <= n_test <= n - len(counts))
    rows = np.arange(n, dtype=np.float64).reshape(-1, 1)
    train, test, _, _ = data.split(rows, table.y, test_size=args.test_size, stratify=stratify, seed=args.seed)
    return train[:, 0].astype(np.intp), test[:, 0].astype(np.intp)


def _prepare(args, table, classification, train):
    """(the untrained Model, targets as the network learns them)."""
    X, y = table.X[train], table.y[train]
    scaler = None if args.no_standardize else data.Standardizer().fit(X)
    target_scaler = classes = None
    loss = _loss(args, classification)
    if classification:
        classes = table.classes
        if len(classes) < 2:
            raise ValueError(f"the target has the one class {classes.tolist()[0]!r}: there is nothing to tell apart")
        Y, output = data.one_hot(y, classes), "softmax"
        if isinstance(args.class_weight, dict):
            args.class_weight = _by_number(args.class_weight, classes)
    else:
        Y, output = np.asarray(y, np.float64).reshape(len(y), -1), "exp" if loss == "poisson" else "identity"
        if args.class_weight is not None:
            raise UsageError("argument --class-weight: the task is regression and has no classes")
        if not args.no_standardize and loss != "poisson":        # counts are counts
            target_scaler = data.Standardizer().fit(Y)
            Y = target_scaler.transform(Y)
    if classification and args.output not in (None, "softmax", "sigmoid"):
        raise UsageError(f"argument --output: {args.output} gives no probabilities of classes; softmax and sigmoid do")
    network = backprop.Network([X.shape[1], *args.hidden, Y.shape[1]], hidden=args.activation,
                               output=args.output or output, loss=loss, bias=not args.no_bias, init=args.init,
                               seed=args.seed)
    target = args.target if table.target_name is None else table.target_name
    model = Model(network, classes, scaler, target_scaler, table.names, target, columns=table.columns)
    _validation(args, len(X))
    weight = () if table.weight is None else (table.weight[train],)
    model.record = {"data": os.path.basename(args.source), "rows": len(X), "data_sha256": _digest(X, Y, *weight),
                    "options": _options(args)}
    return model, Y


def _loss(args, classification):
    if args.loss is None:
        return LOSSES[classification][0]
    if args.loss not in LOSSES[classification]:
        task = "classification" if classification else "regression"
        raise UsageError(f"argument --loss: {args.loss!r} is none of {', '.join(LOSSES[classification])}, the losses "
                         f"for {task}")
    return args.loss


def _by_number(weights, classes):
    """{number of the class: weight} from {label as text: weight}."""
    number = {str(label): k for k, label in enumerate(classes.tolist())}
    for label in weights:
        if label not in number:
            raise UsageError(f"argument --class-weight: {label!r} is none of the classes, "
                             f"{', '.join(list(number)[:20])}")
    return {number[label]: weight for label, weight in weights.items()}


def _validation(args, rows):
    """Fill in what --validation and --early-stopping are by default."""
    if args.validation is None:
        args.validation = VALIDATION if VALIDATION * rows >= MIN_VALIDATION_ROWS else 0.0
    if args.early_stopping is None:
        args.early_stopping = EarlyStopping(PATIENCE) if args.validation else 0
    elif args.early_stopping and not args.validation and _watches_validation(args):
        raise UsageError(f"argument --early-stopping: it watches {_words(args.early_stopping.monitor)}, and of {rows} "
                         "rows none are held out; give --validation")


def _held(args, model):
    """(inputs, targets) as the network learns them of the file of --validation; None for a part of the rows."""
    if not isinstance(args.validation, str):
        return None
    rows = tables.examples(model, argparse.Namespace(**{**vars(args), "data": args.validation, "unknown": "error"}))
    X = rows.X if model.scaler is None else model.scaler.transform(rows.X)
    if model.classes is not None:
        Y = np.eye(len(model.classes))[true_classes(model, rows, args.validation)]
    else:
        Y = np.reshape(np.asarray(rows.y, np.float64), (len(X), -1))
        Y = Y if model.target_scaler is None else model.target_scaler.transform(Y)
    model.record["options"]["validation"] = f"{os.path.basename(args.validation)}, SHA-256 {_digest(X, Y)}"
    return X, Y


def _options(args):
    """What a resumed training must have in common with the one that it goes on from, in kinds that JSON has."""
    names = ("hidden", "activation", "loss", "init", "l1", "l2", "dropout", "max_norm", "clip_norm", "batch_size",
             "seed", "test_size", "validation", "no_standardize", "no_bias", "no_shuffle")
    stopping = args.early_stopping
    plain = not stopping or stopping == EarlyStopping(stopping.patience)
    options = {"optimizer": repr(args.optimizer), **{name: getattr(args, name) for name in names},
               "early_stopping": (stopping and stopping.patience) if plain else repr(stopping)}
    for name, words in (("schedule", repr), ("class_weight", str), ("output", str), ("metrics", ", ".join)):
        if getattr(args, name):
            options[name] = words(getattr(args, name))
    return options


def _digest(X, Y, *weight):
    """SHA-256 of the training data: whether a training is resumed on the same."""
    digest = hashlib.sha256(repr((X.shape, Y.shape)).encode())
    for array in (X, Y, *weight):
        digest.update(np.ascontiguousarray(array, "<f8"))
    return digest.hexdigest()


# ---- training --------------------------------------------------------------------------------------------------


def _resume(args, model):
    """Put the network of the checkpoint into the new model, if it was trained on the same with the same options."""
    from backprop.cli.models import open_model

    path = next(filter(os.path.exists, (_checkpoint(args), args.out)))
    saved = open_model(path)
    if saved.record.get("data_sha256") != model.record["data_sha256"]:
        raise UsageError(f"argument --resume: {path} was trained on other data")
    old = saved.record.get("options", {})
    for name, value in json.loads(json.dumps(model.record["options"])).items():
        if (old.get(name) or None) != (value or None):           # an option that an older file lacks was not given
            raise UsageError(f"argument --resume: {path} was trained with {name} {old.get(name)}, not {value}")
    model.network = saved.network
    model.record["seconds"] = saved.record.get("seconds", 0.0)
    if model.network.history is not None:
        model.network.history.stop_reason = None         # its epochs stay in the history of what goes on from it


def _fit(args, model, X, Y, weight, held):
    """Train; returns whether Ctrl-C ended it. One that comes before training has begun is raised."""
    X = X if model.scaler is None else model.scaler.transform(X)
    network, before, seconds = model.network, model.network.history, model.record.get("seconds", 0.0)
    started, interrupted = time.perf_counter(), False
    try:
        network.train(
            X, Y, epochs=max(0, args.epochs - network.epochs_trained), batch_size=args.batch_size,
            optimizer=args.optimizer, shuffle=not args.no_shuffle, sample_weight=weight, l1=args.l1, l2=args.l2,
            dropout=args.dropout, max_norm=args.max_norm, clip_norm=args.clip_norm, class_weight=args.class_weight,
            schedule=args.schedule, metrics=args.metrics, validation=held or args.validation or None,
            early_stopping=args.early_stopping or None, max_seconds=args.max_seconds, max_updates=args.max_updates,
            target_loss=args.target_loss, progress=_shows_progress(args), n_threads=args.threads,
            callbacks=_checkpoints(args, model, started, seconds))
    except KeyboardInterrupt:
        if network.history is before:
            raise                                        # nothing was learnt that could replace a model
        interrupted = True
    except DivergenceError as error:
        raise RunError(_advice(args, in_options(str(error)))) from error
    model.record["seconds"] = seconds + time.perf_counter() - started
    if before is not None:
        network.history = before + network.history
    return interrupted


def _advice(args, message):
    """The library's words, less what the command line has done already."""
    return message if args.no_standardize else message.replace(", or leave out --no-standardize", "")


def _shows_progress(args):
    import sys

    return not (args.quiet or args.json) and sys.stderr is not None and sys.stderr.isatty()


def _checkpoints(args, model, started, seconds):
    if args.checkpoint_every is None:
        return ()

    def save(state):
        if state.epoch % args.checkpoint_every == 0:
            model.record["seconds"] = seconds + time.perf_counter() - started
            _save(model, _checkpoint(args))

    return (save,)


def _save(model, path):
    try:
        model.save(path)
    except OSError as error:
        raise RunError(f"cannot write the model: {error.strerror or error}") from error


# ---- words -----------------------------------------------------------------------------------------------------


def _describe(args, table, model, classification, n_train, n_test, validation):
    held = int(n_train * args.validation + 0.5) if args.validation and validation is None else 0
    features = len(table.columns) if table.columns is not None else table.X.shape[1]
    target = "" if table.target_name is None else f" {table.target_name!r}"
    say(args, f"{args.source}: {len(table.X):,} rows, {features:,} features, target{target}"
              + (f"; {table.dropped:,} rows with missing cells were dropped" if table.dropped else ""))
    if table.columns is not None:
        texts = [f"{name} ({len(column.categories)})" for name, column in
                 zip(_names(table.columns), table.columns) if column.categories is not None]
        filled = [f"{name} ({column.fill:.4g})" for name, column in zip(_names(table.columns), table.columns)
                  if column.fill is not None]
        for what, words in (("categories", texts), ("missing cells filled", filled)):
            if words:
                say(args, f"  {what}: {', '.join(words[:8])}{', ...' if len(words) > 8 else ''}")
    apart = f"{held:,}" if validation is None else f"{len(validation[0]):,} of {args.validation}"
    say(args, f"  {n_train - held:,} rows to train on, {apart} to validate, {n_test:,} to test")
    say(args, f"{'classification' if classification else 'regression'} by {model.network!r}, {_rule(args)}, "
              + ("the whole batch" if args.batch_size == "full" else f"batches of {args.batch_size}"))
    if args.resume:
        say(args, f"resumed after {model.network.epochs_trained:,} epochs")


def _rule(args):
    rate = args.optimizer.learning_rate
    return args.optimizer.name + ("" if rate is None else f" with learning rate {rate:g}")


def _names(columns):
    return [f"column {k}" if column.name is None else column.name for k, column in enumerate(columns)]


def _report(args, model, found):
    history = model.network.history
    if args.json:
        last = history.last()
        print(json.dumps({"model": args.out, "epochs": len(history), "seconds": model.record["seconds"],
                          "loss": last.get("loss"), "val_loss": last.get("val_loss"), "best_epoch": history.best_epoch,
                          "stop_reason": history.stop_reason, "test": found or None}))
        return
    tested = pairs_of(found, "test ") if found else ()
    say(args, *pairs([*_summary(args, model, history), *tested]), *matrix_lines(found), f"saved to {args.out}")


def _summary(args, model, history):
    """(name, value) of the training."""
    yield "epochs", f"{len(history):,} of at most {args.epochs:,} ({_reason(args, history)})"
    yield "seconds", f"{model.record['seconds']:.2f}"
    if history.loss:
        yield "loss", f"{history.loss[0]:.6g} -> {history.loss[-1]:.6g}"
    measured = [value for value in history.val_loss if value is not None]
    if measured:
        best = "" if history.best_epoch is None else f", best {min(measured):.6g} in epoch {history.best_epoch}"
        yield "validation loss", f"{measured[0]:.6g} -> {measured[-1]:.6g}{best}"
    for name in [*args.metrics, *(f"val_{name}" for name in args.metrics if measured)]:
        values = getattr(history, name)
        yield name, f"{values[0]:.6g} -> {values[-1]:.6g}"


def _reason(args, history):
    if history.stop_reason == "epochs" and history.best_epoch == len(history) > 0:
        return "all done, and the last was the best: more --epochs may be better"
    if history.stop_reason == "early_stopping":
        return f"no better {_words(args.early_stopping.monitor).removeprefix('the ')} since"
    words = {"epochs": "all done", "max_seconds": "time is up", "max_updates": "all updates done",
             "target_loss": "target loss reached", "converged": "converged"}
    return words.get(history.stop_reason, history.stop_reason)
