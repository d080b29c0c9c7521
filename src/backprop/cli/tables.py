"""DATA as the commands read it: to learn from, or as rows for a model."""

import array
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from backprop import _read_table, _readers, data
from backprop._read_arrays import read_idx, read_npy
from backprop._read_lines import target_values
from backprop._read_source import Options, open_source, plain_name
from backprop._read_text import TextReader, read_text
from backprop.cli.arguments import UsageError
from backprop.columns import input_names
from backprop.errors import DataFormatError

BLOCK_ROWS = 65536          # rows of an array that are predicted at a time
LIBSVM = (".libsvm", ".svm", ".svmlight")
HEADER = {"auto": "auto", "yes": True, "no": False}


@dataclass
class Table:
    """Inputs and targets.

    Attributes
    ----------
    X : ndarray
        (n, n_0); NaN where a number is missing and is to be filled.
    y : ndarray or None
    names : list of str or None
        Of the inputs.
    target_name : str or None
    classes : ndarray or None
    columns : list of Column or None
        What the inputs were made of, where they are not the file's columns.
    dropped : int
        Rows left out because a cell was missing.
    lines : sequence of int or None
        Lines of a text file that the rows stand in.
    target_column : int or None
        The target's column there, from 1.
    """

    X: np.ndarray
    y: np.ndarray | None
    names: list | None
    target_name: str | None
    classes: np.ndarray | None = None
    columns: list | None = None
    dropped: int = 0
    lines: object = None
    target_column: int | None = None


def learn(args, kind):
    """The Table that a model is to learn from; `kind` is that of the target, as `bp.data.load` takes it."""
    if args.data == "digits":
        return _digits(args)
    if not _is_text(args):
        if args.categorical or args.missing != "error":
            raise UsageError(f"--categorical and --missing are for text files, and {args.data} is not one")
        return _of_dataset(_load(args, args.target, args.drop, kind))
    if not args.categorical:
        try:
            return _of_dataset(_load(args, args.target, args.drop, kind))
        except DataFormatError:
            pass                 # read again, cell by cell: either there are columns of text, or the error comes again
    options = Options(args.target, HEADER[args.header], args.delimiter, args.drop, kind)
    found = _read_table.learn(args.data, options, args.categorical, args.missing)
    plain = all(column.categories is None for column in found.columns) and not np.isnan(found.X).any()
    columns = None if plain else found.columns
    return Table(found.X, found.y, input_names(found.columns), found.target_name, found.classes, columns, found.dropped)


def fill(table, rows):
    """Put the mean over `rows` in the place of missing numbers, and keep it in the columns."""
    holes = np.isnan(table.X)
    if not holes.any():
        return
    start = 0
    for k, column in enumerate(table.columns):
        values = table.X[:, start]
        if column.categories is None and holes[:, start].any():
            known = values[rows][~holes[rows, start]]
            mean = float((known if len(known) else values[~holes[:, start]]).mean())
            table.columns[k] = replace(column, fill=mean)
            values[holes[:, start]] = mean
        start += column.width


def blocks(model, args):
    """(n_i, n_0) inputs of the rows of DATA, some rows at a time, in the order of the model's inputs."""
    if args.data == "digits" or not _is_text(args):
        if _is_array(args) and model.columns is None:
            yield from _array_blocks(model, args)
            return
        X = _array(model, args, with_target=False).X
        for start in range(0, len(X), BLOCK_ROWS):
            yield X[start:start + BLOCK_ROWS]
    else:
        for _, _, X, _ in _text(model, args, with_target=False):
            yield X


def examples(model, args):
    """The Table of DATA with targets, in the order of the model's inputs."""
    if args.data == "digits" or not _is_text(args):
        return _array(model, args, with_target=True)
    text, parts, lines, cells = None, [], array.array("q"), []
    for reader, numbers, X, targets in _text(model, args, with_target=True):
        text = reader
        parts.append(X)
        lines.extend(numbers)
        cells += targets
    if text is None:
        raise DataFormatError("the file has no rows of data", path=args.data, line=1)
    y, _ = target_values(text, cells, lines, _target_kind(model), text.target + 1)
    name = text.names and text.names[text.target]
    return Table(np.vstack(parts), y, model.feature_names, name, lines=lines, target_column=text.target + 1)


def row(table, number):
    """The Table of one row of a Table."""
    part = slice(number, number + 1)
    lines = None if table.lines is None else table.lines[part]
    return replace(table, X=table.X[part], y=table.y[part], lines=lines)


@contextmanager
def standard_input(args):
    """`-` as DATA: stdin, kept in a file for the time of the command, for it is looked at twice."""
    if args.data != "-":
        yield
        return
    import shutil
    import sys
    import tempfile

    if sys.stdin is None:
        raise UsageError("DATA is - and stdin is closed")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "standard input.csv")
        with open(path, "wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        args.data = path
        try:
            yield
        except DataFormatError as error:
            raise DataFormatError(error.message, path="standard input", line=error.line, column=error.column,
                                  offset=error.offset) from None
        except ValueError as error:
            raise type(error)(str(error).replace(path, "standard input")) from None


# ---- what a file is --------------------------------------------------------------------------------------------


def _is_libsvm(args):
    return args.index_base is not None or plain_name(args.data).endswith(LIBSVM)


def _reader(args):
    """The function that reads DATA, by its first bytes and its name."""
    with open_source(args.data) as stream:
        return _readers._reader(stream.peek(8)[:8], args.data, Options(delimiter=args.delimiter))


def _is_text(args):
    """Whether DATA is delimited text."""
    return not _is_libsvm(args) and _reader(args) is read_text


def _is_array(args):
    """Whether DATA is one binary array, NPY or IDX, whose rows can be read some at a time."""
    return args.data != "digits" and not _is_libsvm(args) and _reader(args) in (read_npy, read_idx)


def _names(args):
    """The cells of a text file's first row."""
    with open_source(args.data) as stream:
        return TextReader(stream, args.data, Options(header=True, delimiter=args.delimiter)).names


def _load(args, target, drop, kind, n_features=None):
    libsvm = {}
    if _is_libsvm(args):
        if args.index_base is None:
            raise UsageError(f"{args.data} is LIBSVM, and does not tell whether its columns count from 0 or from 1: "
                             "give --index-base 0 or --index-base 1")
        libsvm = {"zero_based": args.index_base == 0, "n_features": n_features, "sparse": False}
    return data.load(args.data, target, header=HEADER[args.header], delimiter=args.delimiter, drop=drop,
                     target_kind=kind, **libsvm)


def _of_dataset(dataset):
    return Table(dataset.X, dataset.y, dataset.feature_names, dataset.target_name, dataset.classes)


def _digits(args):
    if args.target not in (None, "digit") or args.drop:
        raise UsageError("the bundled digits have the target 'digit', and no column of them is left out")
    return _of_dataset(data.digits())


# ---- rows for a model ------------------------------------------------------------------------------------------


def _array(model, args, with_target):
    """The Table of a file of arrays; without names the width decides whether the target is among the columns."""
    width, error = model.network.sizes[0], None
    if model.columns is not None:
        raise ValueError(f"{args.data} holds numbers alone, and the model takes columns of a text file")
    for target in dict.fromkeys(_positions_of_target(model, args, with_target)):
        try:
            table = _digits(args) if args.data == "digits" else _of_dataset(
                _load(args, target, args.drop, _target_kind(model), width))
        except ValueError as refusal:
            error = error or refusal
            continue
        if table.X.shape[1] == width:
            if with_target and table.y is None:
                raise _no_target(args)
            return table
        error = _wrong_width(args, table.X.shape[1], width)
    raise error


def _array_blocks(model, args):
    """(n_i, n_0) inputs of an array's rows; its width decides whether the target is among the columns."""
    width, error = model.network.sizes[0], None
    for target in dict.fromkeys(_positions_of_target(model, args, with_target=False)):
        drop = (*args.drop, *(() if target is None else (target,)))
        try:
            chunks = data.stream(args.data, None, BLOCK_ROWS, header=HEADER[args.header], delimiter=args.delimiter,
                                 drop=drop)
        except ValueError as refusal:
            error = error or refusal
            continue
        if chunks.n_features == width:
            for X, _ in chunks:
                yield X
            return
        error = _wrong_width(args, chunks.n_features, width)
    raise error


def _positions_of_target(model, args, with_target):
    """Where the target may be, by the command line or by the model; None for a file without."""
    target = model.target if args.target is None and isinstance(model.target, int) else args.target
    return [target] if with_target else [target, None]


def _text(model, args, with_target):
    """(reader, line numbers, inputs, target cells or None) of some rows at a time."""
    options, positions = _plan(model, args, with_target)
    with open_source(args.data) as stream:
        if model.columns is not None:
            table = _read_table.TableReader(stream, args.data, options)
            for lines, X, targets in _read_table.encoded(table, model.columns, positions, args.unknown):
                yield table.text, lines, X, targets
            return
        reader = TextReader(stream, args.data, options)
        order = [reader.features.index(k) for k in positions]
        for X, targets, lines in reader:
            yield reader, lines, np.ascontiguousarray(X[:, order]), targets


def _plan(model, args, with_target):
    """(options for the reader, positions of the model's columns in the file)."""
    wanted = model.feature_names if model.columns is None else [column.name for column in model.columns]
    if args.header != "no" and any(wanted or ()):
        names = _names(args)
        if set(names) & set(wanted):
            return _plan_by_name(model, args, wanted, names, with_target)
    count = model.network.sizes[0] if wanted is None else len(wanted)
    candidates = dict.fromkeys(_positions_of_target(model, args, with_target))
    error = _no_target(args)
    for target in candidates:
        if with_target and target is None:
            break
        options = Options(target, HEADER[args.header], args.delimiter, args.drop, _target_kind(model))
        with open_source(args.data) as stream:
            try:
                reader = TextReader(stream, args.data, options)
            except ValueError as refusal:
                error = refusal
                continue
        if len(reader.features) == count:
            return options, reader.features
        error = _wrong_width(args, len(reader.features), count, wanted)
    raise error


def _plan_by_name(model, args, wanted, names, with_target):
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataFormatError(f"no column {missing[0]!r}, which the model takes; "
                              f"the columns are {', '.join(names[:20])}", path=args.data)
    target = (model.target if args.target is None else args.target) if with_target else None
    if with_target and target is None:
        raise _no_target(args)
    if isinstance(target, int) and -len(names) <= target < len(names):
        target %= len(names)
    kept = {names.index(name) for name in wanted} | {names.index(target) if target in names else target}
    drop = tuple(position for position in range(len(names)) if position not in kept)
    options = Options(target, True, args.delimiter, drop, _target_kind(model))
    return options, [names.index(name) for name in wanted]


def _target_kind(model):
    return "number" if model.classes is None else "class"


def _no_target(args):
    return ValueError(f"{args.data} has no target to compare with; name its column with --target")


def _wrong_width(args, found, expected, names=None):
    listed = f": {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if any(names or ()) else ""
    return DataFormatError(f"{found} columns of features, and the model takes {expected}{listed}", path=args.data)
