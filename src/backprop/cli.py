"""The command line: ``backprop train | predict | evaluate | info``.

Results go to stdout. An error is one line on stderr, ``backprop: error: ...``, with exit code 2 for bad usage or bad
data, 1 for a run that failed (divergence, a full disk), 130 after Ctrl-C. ``--debug`` adds the traceback.
"""

import argparse
import csv
import io
import json
import os
import sys
import time
import traceback

import numpy as np

import backprop
from backprop import _check, _readers, activations, data, model_file, optimizers
from backprop._read_source import Options, open_source
from backprop._read_text import TextReader, read_text
from backprop.errors import DataFormatError, DivergenceError
from backprop.model import Model

MAX_CLASSES = 20            # --task auto: a column of whole numbers with more different values is a quantity

EXAMPLES = """\
examples:
  backprop train digits --hidden 64,32 --epochs 30 --out digits.safetensors
  backprop train iris.csv --target species --out iris.safetensors
  backprop train houses.tsv.gz --target price --task regression --out houses.safetensors
  backprop predict iris.safetensors new.csv --proba --out predictions.csv
  backprop evaluate iris.safetensors iris.csv
  backprop info iris.safetensors

DATA is "digits" (1,797 handwritten digits that come with the package) or a file: CSV or TSV, NPY, NPZ, or IDX
(MNIST's format), also compressed by gzip.
"""


class _UsageError(Exception):
    """Arguments that do not parse; exit code 2."""


class _RunError(Exception):
    """A run that failed although its arguments and data were good; exit code 1."""


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line under the program's name."""

    def error(self, message):
        raise _UsageError(f"{message} (see {self.prog} --help)")


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
    try:
        args = _parser().parse_args(argv)
        code = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:                              # a reader such as `head` has seen enough
        _silence_stdout()
        return 1
    except KeyboardInterrupt:
        return _complain("interrupted", argv, 130)
    except (_RunError, DivergenceError, MemoryError) as error:
        return _complain(str(error) or "out of memory", argv, 1)
    except (_UsageError, ValueError) as error:
        return _complain(error, argv, 2)
    except OSError as error:
        if error.filename is not None:
            return _complain(_os_message(error), argv, 2)
        _silence_stdout()                                # what fails without a name is the output, as on a full disk
        return _complain(error, argv, 1)
    except Exception as error:
        return _complain(f"unexpected {type(error).__name__}: {error} (--debug shows where)", argv, 1)


def _complain(message, argv, code):
    if "--debug" in argv:
        traceback.print_exc()
    if sys.stderr is not None:                           # print(file=None) would go to stdout
        print(f"backprop: error: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def _os_message(error):
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename is not None else str(error)


def _silence_stdout():
    """Nobody reads stdout any more: what Python would flush at its exit goes nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):        # stdout is not a file, as in a test, or closed
        pass


# ---- arguments -------------------------------------------------------------------------------------------------


def _parser():
    parser = _Parser(prog="backprop", description="Train feedforward networks by backpropagation, and use them.",
                     epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"backprop {backprop.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common, reading = _common(), _reading()
    _train_arguments(commands, [reading, common])
    predict = _command(commands, "predict", _predict, "predictions for every row of DATA as CSV", [reading, common])
    predict.add_argument("model", metavar="MODEL")
    predict.add_argument("data", metavar="DATA", help="rows to predict; a target column in it is not looked at")
    predict.add_argument("--out", metavar="FILE", help="the CSV file to write (default: stdout)")
    predict.add_argument("--proba", action="store_true", help="add a column of probability for every class")
    evaluate = _command(commands, "evaluate", _evaluate, "accuracy and confusion matrix, or MAE, RMSE and R2, on DATA",
                        [reading, common])
    evaluate.add_argument("model", metavar="MODEL")
    evaluate.add_argument("data", metavar="DATA")
    evaluate.add_argument("--json", action="store_true", help="one JSON object instead of text")
    info = _command(commands, "info", _info, "architecture, training record and checksum of a model", [common])
    info.add_argument("model", metavar="MODEL")
    info.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def _command(commands, name, run, words, parents):
    parser = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", parents=parents,
                                 epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
                                 allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def _common():
    parent = _Parser(add_help=False)
    parent.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parent


def _reading():
    parent = _Parser(add_help=False)
    group = parent.add_argument_group("how DATA is read")
    group.add_argument("--target", type=_column, metavar="NAME",
                       help="the column to predict: its name, or its position from 0 (-1: the last)")
    group.add_argument("--drop", type=_columns, default=(), metavar="NAMES",
                       help="columns to leave out, such as identifiers")
    group.add_argument("--header", choices=("auto", "yes", "no"), default="auto",
                       help="whether the first row holds names")
    group.add_argument("--delimiter", metavar="CHARACTER",
                       help="between cells of a text file (default: as the file looks)")
    return parent


def _train_arguments(commands, parents):
    parser = _command(commands, "train", _train, "train a network on DATA and save it", parents)
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--out", required=True, metavar="MODEL", help="the model file to write")
    parser.add_argument("--task", choices=("auto", "classification", "regression"), default="auto",
                        help="auto: classification where the target is text, bools or at most "
                             f"{MAX_CLASSES} different whole numbers")
    network = parser.add_argument_group("network")
    network.add_argument("--hidden", type=_sizes, default=[32], metavar="SIZES",
                         help="units of the hidden layers, as 64,32; 'none' for no hidden layer (default: 32)")
    network.add_argument("--activation", choices=activations.HIDDEN, default="tanh", metavar="NAME",
                         help=f"of the hidden layers: {', '.join(activations.HIDDEN)} (default: tanh)")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=50, metavar="N", help="passes over the data (default: 50)")
    training.add_argument("--optimizer", choices=optimizers.NAMES, default="adam", metavar="NAME",
                          help=f"{', '.join(optimizers.NAMES)} (default: adam)")
    training.add_argument("--learning-rate", type=float, metavar="ETA", help="default: the optimizer's")
    training.add_argument("--batch-size", type=_batch_size, metavar="N",
                          help="examples per update, or 'full' (default: 32, and full where the optimizer needs it)")
    training.add_argument("--l2", type=float, default=0.0, metavar="X", help="penalty X/2 times the squared weights")
    training.add_argument("--max-seconds", type=float, metavar="S", help="stop after this time")
    training.add_argument("--seed", type=int, default=0, metavar="N",
                          help="of the test part, the initial weights and the order of examples (default: 0)")
    training.add_argument("--threads", type=int, default=1, metavar="N",
                          help="they change the time, and no bit (default: 1)")
    training.add_argument("--test-size", type=float, default=0.2, metavar="FRACTION",
                          help="part of DATA that is not trained on but scored at the end; 0 for none (default: 0.2)")
    training.add_argument("--no-standardize", action="store_true",
                          help="feed the inputs (and a regression's target) as they are, not shifted and scaled to "
                               "mean 0 and standard deviation 1")
    output = parser.add_argument_group("output")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    output.add_argument("--json", action="store_true", help="one JSON object instead of text")


def _column(text):
    try:
        return int(text)
    except ValueError:
        return text


def _columns(text):
    return tuple(_column(part) for part in text.split(",") if part)


def _sizes(text):
    if text in ("", "none"):
        return []
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers of at least 1 as in 64,32, got {text!r}")
    return sizes


def _batch_size(text):
    if text == "full":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number or 'full', got {text!r}") from None


# ---- data ------------------------------------------------------------------------------------------------------


def _load(args, target, drop, kind="auto"):
    """The Dataset that DATA names."""
    if args.data == "digits":
        if args.target not in (None, "digit") or args.drop:
            raise _UsageError("the bundled digits have the target 'digit', and no column of them is left out")
        return data.digits()
    header = {"auto": "auto", "yes": True, "no": False}[args.header]
    return data.load(args.data, target, header=header, delimiter=args.delimiter, drop=drop, target_kind=kind)


def _column_names(args):
    """Names in the first row of a text file, None for other files and for a first row that is said to be data."""
    if args.data == "digits" or args.header == "no":
        return None
    options = Options(header=True, delimiter=args.delimiter)
    with open_source(args.data) as stream:
        if _readers._reader(stream.peek(8)[:8], args.data, options) is not read_text:
            return None
        return TextReader(stream, args.data, options).names


def _load_for(model, args, with_target):
    """The Dataset with the columns that `model` takes, in its order; y may be None unless `with_target`."""
    names = None if model.feature_names is None else _column_names(args)
    if names is not None and set(names) & set(model.feature_names):
        dataset = _load_by_name(model, args, names, with_target)
    else:
        dataset = _load_by_position(model, args, with_target)
    if with_target and dataset.y is None:
        raise ValueError(f"{args.data} has no target to compare with; name its column with --target")
    return dataset


def _load_by_name(model, args, names, with_target):
    missing = [name for name in model.feature_names if name not in names]
    if missing:
        raise DataFormatError(f"no column {missing[0]!r}, which the model takes; "
                              f"the columns are {', '.join(names[:20])}", path=args.data)
    target = model.target if args.target is None else args.target
    if isinstance(target, int) and -len(names) <= target < len(names):
        target = names[target]
    if not with_target:
        target = None
    drop = [position for position, name in enumerate(names) if name not in model.feature_names and name != target]
    dataset = _load(args, target, drop, _target_kind(model))
    order = [dataset.feature_names.index(name) for name in model.feature_names]
    dataset.X, dataset.feature_names = np.ascontiguousarray(dataset.X[:, order]), list(model.feature_names)
    return dataset


def _load_by_position(model, args, with_target):
    """Without names the width decides whether the target is among the columns."""
    width, error = model.network.sizes[0], None
    target = model.target if args.target is None and isinstance(model.target, int) else args.target
    for column in dict.fromkeys([target] if with_target else [target, None]):
        try:
            dataset = _load(args, column, args.drop, _target_kind(model))
        except ValueError as refusal:
            error = error or refusal
            continue
        if dataset.X.shape[1] == width:
            return dataset
        error = DataFormatError(f"{dataset.X.shape[1]} columns of features, and the model takes {width}",
                                path=args.data)
    raise error


def _target_kind(model):
    return "number" if model.classes is None else "class"


def _is_classification(args, dataset):
    if args.task != "auto":
        return args.task == "classification"
    classes = dataset.classes
    return classes is not None and (classes.dtype.kind in "Ub" or len(classes) <= MAX_CLASSES)


# ---- train -----------------------------------------------------------------------------------------------------


def _train(args):
    _check_training(args)
    kind = {"auto": "auto", "classification": "class", "regression": "number"}[args.task]
    dataset = _load(args, args.target, args.drop, kind)
    if dataset.y is None:
        raise ValueError(f"{args.data} has no target; name its column with --target")
    classification = _is_classification(args, dataset)
    X_train, X_test, y_train, y_test = _split(args, dataset, classification)
    model, Y = _prepare(args, dataset, classification, X_train, y_train)
    _say(args, f"{_described(args, dataset)}; {len(X_train):,} rows to train on, {len(X_test):,} to test")
    _say(args, f"{'classification' if classification else 'regression'} by {model.network!r}, {args.optimizer}")
    interrupted = _fit(args, model, X_train, Y)
    scores = {} if interrupted or not len(X_test) else _scores(model, X_test, y_test)
    model.record["test"] = {key: value for key, value in scores.items() if key != "confusion_matrix"}
    _save(model, args.out)
    if interrupted:
        print(f"backprop: interrupted after {model.network.epochs_trained} epochs; the model so far is in {args.out}",
              file=sys.stderr)
        return 130
    _report_training(args, model, scores)
    return 0


def _check_training(args):
    """What can be refused before the data are read."""
    _check.integer(args.epochs, "--epochs", minimum=0)
    _check.integer(args.seed, "--seed", minimum=0)
    _check.integer(args.threads, "--threads", minimum=1)
    _check.real(args.l2, "--l2", minimum=0.0)
    _check.real(args.test_size, "--test-size", minimum=0.0, below=1.0)
    for value, option in ((args.learning_rate, "--learning-rate"), (args.max_seconds, "--max-seconds")):
        if value is not None:
            _check.real(value, option, above=0.0)
    if args.batch_size is None:
        args.batch_size = "full" if optimizers.Optimizer(args.optimizer).full_batch_only else 32
    elif args.batch_size != "full":
        _check.integer(args.batch_size, "--batch-size", minimum=1)
    folder = os.path.dirname(os.path.abspath(args.out))
    if not os.path.isdir(folder):
        raise _UsageError(f"argument --out: there is no folder {folder}")
    if os.path.isdir(args.out):
        raise _UsageError(f"argument --out: {args.out} is a folder")
    if not os.access(folder, os.W_OK):
        raise _UsageError(f"argument --out: the folder {folder} cannot be written to")
    _refuse_overwriting(args.out, args.data)


def _refuse_overwriting(out, *inputs):
    for path in inputs:
        if out is not None and os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise _UsageError(f"argument --out: {out} is the file that is read, and would be overwritten")


def _split(args, dataset, classification):
    X, y = dataset
    if args.test_size == 0.0:
        return X, X[:0], y, y[:0]
    n_test = min(max(round(len(X) * args.test_size), 1), len(X) - 1)
    stratify = False
    if classification:                       # every class on both sides, where there are enough examples for that
        counts = np.unique(y, return_counts=True)[1]
        stratify = bool(counts.min() >= 2 and len(counts) <= n_test <= len(y) - len(counts))
    return data.split(X, y, test_size=args.test_size, stratify=stratify, seed=args.seed)


def _prepare(args, dataset, classification, X, y):
    """(the untrained Model, targets as the network learns them)."""
    scaler = None if args.no_standardize else data.Standardizer().fit(X)
    target_scaler = classes = None
    if classification:
        classes = dataset.classes
        if len(classes) < 2:
            raise ValueError(f"the target has the one class {classes.tolist()[0]!r}: there is nothing to tell apart")
        Y, output, loss = data.one_hot(y, classes), "softmax", "log_loss"
    else:
        Y, output, loss = np.asarray(y, np.float64).reshape(len(y), -1), "identity", "squared_error"
        if not args.no_standardize:
            target_scaler = data.Standardizer().fit(Y)
            Y = target_scaler.transform(Y)
    network = backprop.Network([X.shape[1], *args.hidden, Y.shape[1]], hidden=args.activation, output=output, loss=loss,
                               seed=args.seed)
    target = args.target if dataset.target_name is None else dataset.target_name
    model = Model(network, classes, scaler, target_scaler, dataset.feature_names, target)
    model.record = {"data": os.path.basename(args.data), "rows": len(X), "optimizer": args.optimizer,
                    "batch_size": args.batch_size, "l2": args.l2}
    return model, Y


def _fit(args, model, X, Y):
    """Train; returns whether Ctrl-C ended it."""
    X = X if model.scaler is None else model.scaler.transform(X)
    progress = not (args.quiet or args.json) and sys.stderr.isatty()
    started, interrupted = time.perf_counter(), False
    try:
        model.network.train(X, Y, epochs=args.epochs, batch_size=args.batch_size, optimizer=args.optimizer,
                            learning_rate=args.learning_rate, l2=args.l2, max_seconds=args.max_seconds,
                            progress=progress, n_threads=args.threads)
    except KeyboardInterrupt:
        interrupted = True
    model.record["seconds"] = time.perf_counter() - started
    return interrupted


def _save(model, path):
    try:
        model.save(path)
    except OSError as error:
        raise _RunError(f"cannot write the model: {_os_message(error)}") from error


def _report_training(args, model, scores):
    history = model.network.history
    if args.json:
        print(json.dumps({"model": args.out, "epochs": len(history), "seconds": model.record["seconds"],
                          "loss": history.loss[-1] if history.loss else None, "stop_reason": history.stop_reason,
                          "test": scores or None}))
        return
    if history.loss:
        _say(args, f"trained {len(history)} epochs in {model.record['seconds']:.2f} s: "
                   f"loss {history.loss[0]:.6g} -> {history.loss[-1]:.6g}")
    if scores:
        _say(args, "test " + "\n".join(_score_lines(model, scores)))
    _say(args, f"saved to {args.out}")


def _say(args, line):
    if not (args.quiet or args.json):
        print(line, flush=True)


def _described(args, dataset):
    rows, features = dataset.X.shape
    target = "" if dataset.target_name is None else f" {dataset.target_name!r}"
    return f"{args.data}: {rows:,} rows, {features:,} features, target{target}"


# ---- predict, evaluate, info -----------------------------------------------------------------------------------


def _open_model(path):
    """The Model at `path`; a network saved on its own becomes one without labels and scaling."""
    saved = model_file.load(path)
    return Model(saved) if isinstance(saved, backprop.Network) else saved


def _predict(args):
    _refuse_overwriting(args.out, args.model, args.data)
    model = _open_model(args.model)
    if args.proba and model.classes is None:
        raise _UsageError("argument --proba: the model is a regression and has no classes")
    outputs = model.outputs(_load_for(model, args, with_target=False).X)
    if model.classes is not None:
        header, columns = ["prediction"], [model.classes[outputs.argmax(axis=1)].tolist()]
        if args.proba:
            header += [f"probability_{label}" for label in model.classes.tolist()]
            columns += outputs.T.tolist()
    else:
        width = outputs.shape[1]
        header = ["prediction"] if width == 1 else [f"prediction_{j}" for j in range(width)]
        columns = outputs.T.tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns))                      # csv writes floats by repr, which reads back to the same bits
    _write(args.out, text.getvalue())
    return 0


def _write(path, text):
    if path is None:
        if sys.stdout is None:                           # the process was started with it closed
            raise _RunError("stdout is closed; name a file for the predictions with --out")
        sys.stdout.write(text)
        return
    try:
        model_file.write_atomically(path, text.encode())
    except OSError as error:
        raise _RunError(f"cannot write the predictions: {_os_message(error)}") from error


def _evaluate(args):
    model = _open_model(args.model)
    dataset = _load_for(model, args, with_target=True)
    scores = _scores(model, dataset.X, dataset.y)
    if args.json:
        print(json.dumps({"data": args.data, **scores}))
    else:
        print(f"{args.data}: {scores['rows']:,} rows")
        print("\n".join(_score_lines(model, scores)))
    return 0


def _scores(model, X, y):
    """Scores of the predictions against the targets, in kinds that JSON has."""
    if model.classes is None:
        return {"rows": len(X), **_regression_scores(np.reshape(y, (len(X), -1)), model.outputs(X))}
    column = {label: i for i, label in enumerate(model.classes.tolist())}
    labels = (y.astype(str) if model.classes.dtype.kind == "U" else y).tolist()
    unknown = next((row for row, label in enumerate(labels) if label not in column), None)
    if unknown is not None:
        raise ValueError(f"the target {labels[unknown]!r} at row {unknown} is none of the model's classes, "
                         f"{', '.join(map(str, list(column)[:20]))}")
    true, predicted = np.array([column[label] for label in labels]), model.outputs(X).argmax(axis=1)
    matrix = np.zeros((len(column), len(column)), np.int64)
    np.add.at(matrix, (true, predicted), 1)
    right = int(np.trace(matrix))
    return {"rows": len(X), "right": right, "accuracy": right / len(X), "confusion_matrix": matrix.tolist()}


def _regression_scores(Y, predicted):
    """MAE, RMSE and R2 = 1 - Σ (y - y')² / Σ (y - mean)², None for targets that are all equal."""
    if Y.shape != predicted.shape:
        raise ValueError(f"the data have {Y.shape[1]} targets per row, and the model gives {predicted.shape[1]}")
    residual, spread = Y - predicted, Y - Y.mean(axis=0)
    unit = max(float(np.abs(residual).max()), float(np.abs(spread).max()), np.finfo(float).tiny)
    residual, spread = residual / unit, spread / unit     # no square overflows
    total = float(np.square(spread).sum())
    return {"mae": unit * float(np.abs(residual).mean()), "rmse": unit * float(np.sqrt(np.square(residual).mean())),
            "r2": 1.0 - float(np.square(residual).sum()) / total if total > 0.0 else None}


def _score_lines(model, scores):
    if "accuracy" not in scores:
        r2 = "undefined (all targets are equal)" if scores["r2"] is None else f"{scores['r2']:.4f}"
        return [f"MAE {scores['mae']:.6g}  RMSE {scores['rmse']:.6g}  R2 {r2}"]
    return [f"accuracy {scores['accuracy']:.4f} ({scores['right']:,} of {scores['rows']:,})",
            "confusion matrix (a row per true class, a column per predicted class):",
            *_table(["", *model.classes.tolist()],
                    [[label, *row] for label, row in zip(model.classes.tolist(), scores["confusion_matrix"])])]


def _table(header, rows):
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in cells]


def _info(args):
    model = _open_model(args.model)
    network, checksum = model.network, model_file.checksum(args.model)
    if args.json:
        history = network.history
        print(json.dumps({
            "model": args.model, "sha256": checksum, "sizes": network.sizes, "activations": network.activations,
            "loss": network.loss, "bias": network.bias, "parameters": network.n_parameters,
            "epochs_trained": network.epochs_trained,
            "classes": None if model.classes is None else model.classes.tolist(),
            "target": model.target, "feature_names": model.feature_names, "standardized": model.scaler is not None,
            "record": model.record, "final_loss": history.loss[-1] if history is not None and history.loss else None,
            "stop_reason": None if history is None else history.stop_reason}))
        return 0
    print(network.summary())
    for name, value in _facts(model):
        print(f"{name}: {value}")
    print(f"sha256: {checksum}")
    return 0


def _facts(model):
    """(name, value) of what a model has besides its layers."""
    history, record = model.network.history, dict(model.record)
    test = record.pop("test", None)
    if model.classes is not None:
        yield "classes", ", ".join(map(str, model.classes.tolist()))
    if model.target is not None:
        yield "target", model.target
    if model.feature_names is not None:
        names = model.feature_names
        yield "features", ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")
    yield "inputs", "as they are" if model.scaler is None else "standardized by the model"
    if history is not None and history.loss:
        yield "training", (f"{len(history)} epochs, loss {history.loss[0]:.6g} -> {history.loss[-1]:.6g}, "
                           f"{history.stop_reason}")
    if record:
        yield "record", ", ".join(f"{key} {_short(value)}" for key, value in record.items())
    if test:
        yield "test", ", ".join(f"{key} {_short(value)}" for key, value in test.items())


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value
