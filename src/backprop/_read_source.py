"""What the readers of data files share: the table they return, opened files, and the choice of columns."""

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backprop.errors import DataFormatError

BLOCK_BYTES = 2**22
DAMAGE = (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile)


@dataclass
class Table:
    """What a file holds: X (n, d) float64; y (n,), (n, k) or None; names where the file has them.

    `classes` are the sorted labels where the reader knows them without another pass over y.
    """

    X: np.ndarray
    y: np.ndarray | None = None
    feature_names: list | None = None
    target_name: str | None = None
    classes: np.ndarray | None = None


def in_python(argument, value=None):
    """An argument as Python's users write it: ``target=`` or ``target='price'``."""
    return f"{argument}=" if value is None else f"{argument}={value!r}"


@dataclass(frozen=True)
class Options:
    """The arguments of `load`, checked.

    `labels` says whether a stream reads targets that stand apart from X, as in NPZ and IDX files. `spell` writes an
    argument, with its value or without, for whoever reads the errors: another door than Python (the command line) has
    its own.
    """

    target: int | str | None = None
    header: bool | str = "auto"
    delimiter: str | None = None
    drop: tuple = ()
    target_kind: str = "auto"
    zero_based: bool | None = None
    n_features: int | None = None
    sparse: bool | None = None
    labels: bool = True
    spell: Callable[..., str] = in_python


def plain_name(path):
    """The file's name in lower case, without .gz."""
    return os.path.basename(path).lower().removesuffix(".gz")


def open_source(path):
    """The file as a buffered stream of bytes, decompressed where it is gzip."""
    stream = open(path, "rb")
    try:
        return io.BufferedReader(_Gunzip(stream, path)) if stream.peek(2)[:2] == b"\x1f\x8b" else stream
    except BaseException:
        stream.close()
        raise


class _Gunzip(io.RawIOBase):
    """A gzip file as a raw stream; damage is a DataFormatError at the offset reached in the decompressed data."""

    def __init__(self, stream, path):
        self._stream, self._path, self._offset = stream, path, 0
        self._gzip = gzip.GzipFile(fileobj=stream, mode="rb")

    def readable(self):
        return True

    def readinto(self, buffer):
        try:
            count = self._gzip.readinto(buffer)
        except DAMAGE as error:
            raise DataFormatError(f"damaged gzip data ({error})", path=self._path, offset=self._offset) from None
        self._offset += count
        return count

    def close(self):
        self._gzip.close()
        self._stream.close()
        super().close()


class Bytes:
    """Bytes of one array file, in order: `read` gives all that is asked for or raises at the offset where they end.

    `length` is how long the whole is, where that is known beforehand; `member` is its name inside an archive.
    """

    def __init__(self, stream, path, *, length=None, member=None):
        self._stream, self.path, self._length, self._member = stream, path, length, member
        self.offset = 0

    @classmethod
    def of_file(cls, stream, path):
        compressed = isinstance(stream.raw, _Gunzip)
        return cls(stream, path, length=None if compressed else os.fstat(stream.fileno()).st_size)

    def error(self, message, offset):
        prefix = f"member {self._member}: " if self._member else ""
        return DataFormatError(prefix + message, path=self.path, offset=offset)

    def read(self, count):
        """Exactly `count` bytes, fetched piece by piece: nothing is allocated for what is only promised."""
        parts = []
        while count:
            part = self._fetch(min(count, BLOCK_BYTES))
            if not part:
                raise self.error(f"the file ends here, {count} bytes too early", self.offset)
            parts.append(part)
            self.offset += len(part)
            count -= len(part)
        return b"".join(parts)

    def _fetch(self, count):
        try:
            return self._stream.read(count)
        except DAMAGE as error:
            raise self.error(f"damaged data ({error})", self.offset) from None

    def go_to(self, offset):
        """Read on from an offset."""
        self._stream.seek(offset)
        self.offset = offset

    def expect(self, count):
        """Raise unless exactly `count` more bytes follow, where the length is known: the header against the file."""
        end = self.offset + count
        if self._length is not None and end > self._length:
            raise self.error(f"the file ends here, but its header promises {end} bytes in all", self._length)
        if self._length is not None and end < self._length:
            raise self.error(f"the file goes on after the {end} bytes that its header promises", end)

    def finish(self):
        """Raise unless the data ends here; the checksums of compressed data are compared now."""
        if self._fetch(1):
            raise self.error(f"the file goes on after the {self.offset} bytes that its header promises", self.offset)


def position(column, names, width, given, path):
    """The position 0..width-1 of a column that is given by name or by position; `given` is how it was written."""
    if isinstance(column, str):
        if names is None:
            raise ValueError(f"{given} is a name, but {path} has no column names; give a position")
        if column not in names:
            listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise ValueError(f"{given} is not a column of {path}; its columns are {listed}")
        return names.index(column)
    if not -width <= column < width:
        raise ValueError(f"{given} is out of range: {path} has {width} columns, from 0 to {width - 1}")
    return column % width


def columns(options, names, width, path):
    """Positions of the target (or None) and of the features."""
    def place(argument, column):
        return position(column, names, width, options.spell(argument, column), path)

    target = None if options.target is None else place("target", options.target)
    dropped = {place("drop", column) for column in options.drop}
    if target in dropped:
        raise ValueError(f"{options.spell('drop', options.target)} is the target column")
    features = [i for i in range(width) if i != target and i not in dropped]
    if not features:
        raise ValueError(f"no feature column is left of the {width} of {path}")
    return target, features


def assemble(blocks):
    """One array of all blocks, which are given up on the way: the peak is one copy, not two."""
    out = np.empty((sum(map(len, blocks)), *blocks[0].shape[1:]), blocks[0].dtype)
    end = len(out)
    while blocks:
        block = blocks.pop()
        out[end - len(block):end] = block
        end -= len(block)
    return out
