"""Parquet files by pyarrow (the extra `parquet`), chunk by chunk, with every value checked."""

import numpy as np

from backprop._read_arrays import first_rounded
from backprop._read_source import columns
from backprop.errors import DataFormatError

BLOCK_CELLS = 2**17          # decoded at a time
BUFFER_BYTES = 2**16         # read of each column at a time


def _pyarrow():
    """pyarrow, or the error that tells how to get it."""
    try:
        import pyarrow  # an extra, loaded only for Parquet files
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install 'backprop-core[parquet]'") from error
    return pyarrow


class ParquetRows:
    """Rows of a Parquet file. In another order than the file's, its row groups are permuted."""

    def __init__(self, path, options, classes, chunk_rows, shuffle):
        from backprop.streams import Targets, collected

        self.path, self.options, self.chunk_rows = path, options, chunk_rows
        self.arrow = _pyarrow()
        self.damage = (self.arrow.ArrowException, OSError, OverflowError)
        with self._open() as file:
            schema = file.schema_arrow
            rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        self.n_rows, self.group_starts = sum(rows), np.cumsum([0, *rows])[:-1].tolist()
        if not self.n_rows:
            raise self._error("the file has no rows of data")
        if len(set(schema.names)) < len(schema.names):
            raise self._error("two columns have the same name")
        target, features = columns(options, schema.names, len(schema.names), path)
        self.names = [schema.names[i] for i in features]
        self.target_name = None if target is None else schema.names[target]
        self.width = len(features)
        for name in self.names:
            if not self._is_number(kind := schema.field(name).type):
                raise self._error(f"the column {name!r} holds {kind}, not numbers; a column of labels is named by "
                                  f"{options.spell('target')}, others are left out by {options.spell('drop')}")
        self.targets = Targets(target is not None, classes)
        if isinstance(classes, str):
            batches = self._batches(range(len(rows)), [self.target_name])
            labels = collected((self._target(batch, row) for batch, row in batches), self._error)
            self.targets.take(labels)
        elif self.target_name is not None and classes is None and not self._is_number(schema.field(target).type):
            raise self._error(f"the target {self.target_name!r} holds {schema.field(target).type}, not numbers; pass "
                              f"{options.spell('classes', 'auto')} or the labels if they are classes")

    def _open(self):
        try:
            return self.arrow.parquet.ParquetFile(self.path, buffer_size=BUFFER_BYTES, pre_buffer=False)
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except self.damage as error:
            raise self._error(f"not a whole Parquet file ({error})") from None

    def _error(self, message, row=None):
        return DataFormatError(message if row is None else f"{message} at row {row}", path=self.path)

    def _batches(self, groups, names):
        """(record batch of the named columns, number of its first row in the file) for row groups in this order."""
        step = max(1, min(self.chunk_rows, BLOCK_CELLS // len(names)))
        with self._open() as file:
            for group in groups:
                row = self.group_starts[group]
                try:
                    for batch in file.iter_batches(step, row_groups=[group], columns=names, use_threads=False):
                        yield batch, row
                        row += batch.num_rows
                except self.damage as error:
                    raise self._error(f"damaged data ({error})") from None

    def chunks(self, generator):
        """(X, Y) of every chunk, row groups in an order drawn from the generator or in that of the file."""
        n_groups = len(self.group_starts)
        groups = range(n_groups) if generator is None else generator.permutation(n_groups).tolist()
        names = [*self.names, *([self.target_name] if self.target_name is not None else [])]
        X, Y, count, left = None, None, 0, self.n_rows
        for batch, row in self._batches(groups, names):
            columns = [self._numbers(batch.column(column), name, row) for column, name in enumerate(self.names)]
            targets = self._encoded(batch, row)
            start = 0
            while start < batch.num_rows:
                if X is None:
                    rows = min(self.chunk_rows, left)
                    X, Y = np.empty((rows, self.width)), None if targets is None else np.empty((rows, targets.shape[1]))
                taken = min(batch.num_rows - start, len(X) - count)
                for column, values in enumerate(columns):
                    X[count:count + taken, column] = values[start:start + taken]
                if Y is not None:
                    Y[count:count + taken] = targets[start:start + taken]
                start, count, left = start + taken, count + taken, left - taken
                if count == len(X):
                    chunk, X, Y, count = (X, Y), None, None, 0
                    yield chunk
                    del chunk

    def _numbers(self, column, name, seen):
        """A column as float64, all finite."""
        self._whole(column, name, seen)
        raw = self._array(column)
        values = raw.astype(np.float64)
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise self._error(f"the value {values[row]} of column {name!r} is not a finite float64", seen + row)
        if (row := first_rounded(raw, values)) is not None:
            raise self._error(f"the value {raw[row]} of column {name!r} does not fit float64 exactly", seen + row)
        return values

    def _array(self, column):
        """The numbers of a column without holes. (pyarrow's `to_numpy` imports pandas first, and takes Ctrl-C for a
        failure of that.)"""
        if self.arrow.types.is_boolean(column.type):
            return np.from_dlpack(column.cast(self.arrow.uint8())).view(np.bool_)
        return np.from_dlpack(column)

    def _whole(self, column, name, seen):
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise self._error(f"the value of column {name!r} is missing", seen + row)

    def _target(self, batch, seen):
        """The raw targets of a batch: numbers or strings."""
        column = batch.column(self.target_name)
        types = self.arrow.types
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        self._whole(column, self.target_name, seen)
        if self._is_number(column.type):
            values = self._array(column)
            if values.dtype.kind == "f":
                self._numbers(column, self.target_name, seen)
            return values
        if not (types.is_string(column.type) or types.is_large_string(column.type)):
            raise self._error(f"the target {self.target_name!r} holds {column.type}, neither numbers nor strings")
        return np.array(column.to_pylist())

    def _encoded(self, batch, seen):
        if self.target_name is None:
            return None
        return self.targets.of_numbers(self._target(batch, seen), lambda row, why: self._error(why, seen + row))

    def _is_number(self, kind):
        types = self.arrow.types
        return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
