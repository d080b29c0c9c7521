"""Parquet files by pyarrow (the extra `parquet`), chunk by chunk, with every value checked."""

import numpy as np

from backprop._read_source import columns
from backprop.errors import DataFormatError


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
            self.n_rows, self.n_groups = file.metadata.num_rows, file.metadata.num_row_groups
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
            labels = collected((self._target(batch) for batch in self._batches(None, [self.target_name])), self._error)
            self.targets.take(np.array(labels))
        elif self.target_name is not None and classes is None and not self._is_number(schema.field(target).type):
            raise self._error(f"the target {self.target_name!r} holds {schema.field(target).type}, not numbers; pass "
                              f"{options.spell('classes', 'auto')} or the labels if they are classes")

    def _open(self):
        try:
            return self.arrow.parquet.ParquetFile(self.path)
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except self.damage as error:
            raise self._error(f"not a whole Parquet file ({error})") from None

    def _error(self, message, row=None):
        return DataFormatError(message if row is None else f"{message} at row {row}", path=self.path)

    def _batches(self, groups, names):
        """Record batches of the named columns, each with the number of its first row in the order read."""
        with self._open() as file:
            try:
                yield from file.iter_batches(self.chunk_rows, row_groups=groups, columns=names)
            except self.damage as error:
                raise self._error(f"damaged data ({error})") from None

    def chunks(self, generator):
        """(X, Y) of every chunk, row groups in an order drawn from the generator or in that of the file."""
        groups = None if generator is None else generator.permutation(self.n_groups).tolist()
        names = [*self.names, *([self.target_name] if self.target_name is not None else [])]
        seen = 0
        for batch in self._batches(groups, names):
            X = np.empty((batch.num_rows, self.width))
            for column, name in enumerate(self.names):
                X[:, column] = self._numbers(batch.column(name), name, seen)
            yield X, self._encoded(batch, seen)
            seen += batch.num_rows

    def _numbers(self, column, name, seen):
        """A column as float64, all finite."""
        self._whole(column, name, seen)
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise self._error(f"the value {values[row]} of column {name!r} is not a finite float64", seen + row)
        return values

    def _whole(self, column, name, seen):
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise self._error(f"the value of column {name!r} is missing", seen + row)

    def _target(self, batch, seen=0):
        """The raw targets of a batch: numbers or strings."""
        column = batch.column(self.target_name)
        types = self.arrow.types
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        self._whole(column, self.target_name, seen)
        if self._is_number(column.type):
            values = column.to_numpy(zero_copy_only=False)
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
