"""DATA as the commands read it: to learn from, or as rows for a model."""

import array
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from backprop import _read_table, _readers, data
from backprop._read_lines import DECIMAL_COMMA, target_values
from backprop._read_source import Options, open_source, plain_name, position
from backprop._read_text import TextReader, guess_delimiter, read_text
from backprop.cli.arguments import UsageError
from backprop.columns import Column, input_names
from backprop.errors import DataFormatError
from backprop.streams import open_stream

BLOCK_ROWS = 65536          # rows that are predicted at a time, at most
BLOCK_CELLS = 2**20         # of their inputs, likewise
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
    weight : ndarray or None
        (n,) of the rows.
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
    weight: np.ndarray | None = None


def learn(args, kind):
    """The Table that a model is to learn from; `kind` is that of the target, as `bp.data.load` takes it."""
    if args.data == "digits":
        return _digits(args)
    if not _is_text(args):
        if args.categorical or args.missing != "error" or args.sample_weight is not None:
            raise UsageError("--categorical, --missing and --sample-weight are for text files, and "
                             f"{args.data} is not one")
        return _of_dataset(_load(args, args.target, args.drop, kind))
    _require_target(args)
    if not args.categorical and args.sample_weight is None and args.decimal == ".":
        try:
            return _of_dataset(_load(args, args.target, args.drop, kind))
        except DataFormatError:
            pass                 # read again, cell by cell: either there are columns of text, or the error comes again
    options = Options(args.target, drop=args.drop, target_kind=kind, **_as_given(args))
    found = _read_table.learn(args.data, options, args.categorical, args.missing, args.decimal, args.sample_weight)
    plain = all(column.categories is None for column in found.columns) and not np.isnan(found.X).any()
    columns = None if plain else found.columns
    return Table(found.X, found.y, input_names(found.columns), found.target_name, found.classes, columns, found.dropped,
                 weight=found.weight)


def _require_target(args):
    """Refuse, before a text file is read, one whose target is not named."""
    if args.target is None:
        with open_source(args.data) as stream:
            names = TextReader(stream, args.data, Options(**_as_given(args))).names
        listed = f"; the columns are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if names else ""
        raise UsageError(f"{args.data} has no target; name its column with --target{listed}")


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
    """(inputs (n_i, n_0), {name: cells} of --keep) of the rows of DATA, some at a time; once none where it has none.

    The inputs stand in the order of the model's.
    """
    if args.data != "digits" and _is_text(args):
        empty = True
        for _, _, X, _, kept in _text(model, args, with_target=False, keep=args.keep):
            empty = False
            yield X, kept
        if empty:
            yield np.empty((0, model.network.sizes[0])), _nothing_kept(model, args)
        return
    if args.keep:
        raise UsageError(f"argument --keep: {args.data} is not a text file, whose cells could be kept")
    for X in [_array(model, args, False).X] if args.data == "digits" else _array_blocks(model, args):
        yield X, {}


def examples(model, args):
    """The Table of DATA with targets, in the order of the model's inputs."""
    if args.data == "digits" or not _is_text(args):
        return _array(model, args, with_target=True)
    text, parts, lines, cells = None, [], array.array("q"), []
    for reader, numbers, X, targets, _ in _text(model, args, with_target=True):
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


def _names(args):
    """The cells of a text file's first row."""
    with open_source(args.data) as stream:
        return TextReader(stream, args.data, Options(**{**_as_given(args), "header": True})).names


def _as_given(args):
    """Header and delimiter of a text file, as Options take them; a comma in the numbers neither separates nor names."""
    header, delimiter = HEADER[args.header], args.delimiter
    if args.decimal == ",":
        with open_source(args.data) as stream:
            first = stream.readline().decode("latin-1")
        delimiter = delimiter or guess_delimiter(first, args.data, among=";\t")
        if header == "auto" and any(DECIMAL_COMMA.fullmatch(cell.strip()) for cell in first.split(delimiter)):
            header = False
    return {"header": header, "delimiter": delimiter}


def _load(args, target, drop, kind, n_features=None):
    return data.load(args.data, target, header=HEADER[args.header], delimiter=args.delimiter, drop=drop,
                     target_kind=kind, **_libsvm(args, n_features))


def _libsvm(args, n_features):
    """The arguments that only a LIBSVM file has."""
    if not _is_libsvm(args):
        return {}
    if args.index_base is None:
        raise UsageError(f"{args.data} is LIBSVM, and does not tell whether its columns count from 0 or from 1: "
                         "give --index-base 0 or --index-base 1")
    return {"zero_based": args.index_base == 0, "n_features": n_features, "sparse": False}


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
    _refuse_columns(model, args)
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


def _refuse_columns(model, args):
    if model.columns is not None:
        raise ValueError(f"{args.data} holds numbers alone, and the model takes columns of a text file")


def _array_blocks(model, args):
    """(n_i, n_0) inputs of an array's rows; its width decides whether the target is among the columns."""
    width, error = model.network.sizes[0], None
    _refuse_columns(model, args)
    rows = max(1, min(BLOCK_ROWS, BLOCK_CELLS // width))
    plan = Options(header=HEADER[args.header], delimiter=args.delimiter, labels=False, **_libsvm(args, width))
    for target in dict.fromkeys(_positions_of_target(model, args, with_target=False)):
        drop = (*args.drop, *(() if target is None else (target,)))
        try:
            chunks = open_stream(args.data, replace(plan, drop=drop), None, rows, False, None)
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


def _text(model, args, with_target, keep=()):
    """(reader, line numbers, inputs, target cells or None, {name: cells} to keep) of some rows at a time."""
    options, positions = _plan(model, args, with_target)
    with open_source(args.data) as stream:
        if model.columns is not None or keep or args.decimal != ".":
            table = _read_table.TableReader(stream, args.data, options, args.decimal)
            kept = _kept(table, options, keep)
            columns = model.columns or [Column(table.name(k)) for k in positions]
            for lines, X, cells in _read_table.encoded(table, columns, positions, args.unknown):
                targets = None if table.target is None else cells[table.target]
                yield table.text, lines, X, targets, {name: cells[k] for name, k in kept.items()}
            return
        reader = TextReader(stream, args.data, options)
        order = [reader.features.index(k) for k in positions]
        for X, targets, lines in reader:
            yield reader, lines, np.ascontiguousarray(X[:, order]), targets, {}


def _nothing_kept(model, args):
    """{name: no cells} of the columns of --keep in a file of names alone."""
    options, _ = _plan(model, args, with_target=False)
    with open_source(args.data) as stream:
        return dict.fromkeys(_kept(_read_table.TableReader(stream, args.data, options), options, args.keep), ())


def _kept(table, options, keep):
    """{name: position} of the columns of --keep."""
    if keep == ("all",) and "all" not in (table.names or ()):
        keep = range(table.width)
    places = [position(column, table.names, table.width, options.spell("keep", column), table.path) for column in keep]
    return {table.name(k) or f"column {k}": k for k in places}


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
        options = Options(target, drop=args.drop, target_kind=_target_kind(model), **_as_given(args))
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
    options = Options(target, drop=drop, target_kind=_target_kind(model), **{**_as_given(args), "header": True})
    return options, [names.index(name) for name in wanted]


def _target_kind(model):
    return "number" if model.classes is None else "class"


def _no_target(args):
    return ValueError(f"{args.data} has no target to compare with; name its column with --target")


def _wrong_width(args, found, expected, names=None):
    listed = f": {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if any(names or ()) else ""
    return DataFormatError(f"{found} columns of features, and the model takes {expected}{listed}", path=args.data)
