"""Recognise the format of a data file, by its first bytes or by its name, and read it whole."""

import os

from backprop._read_arrays import IDX_TYPES, read_idx, read_npy, read_npz
from backprop._read_source import Table, open_source, plain_name
from backprop._read_text import read_text
from backprop.errors import DataFormatError

TEXT_EXTENSIONS = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
ARRAY_EXTENSIONS = {".npy": "NPY", ".npz": "NPZ", "-ubyte": "IDX", ".idx": "IDX"}
FORMATS = ("CSV and TSV (.csv, .tsv, .tab, .txt, .data, .dat), NPY (.npy), NPZ (.npz, keys X and y) and "
           "IDX (MNIST's *-images-idx3-ubyte), all but NPZ also as .gz")


def read(path, options) -> Table:
    """The Table that the file at `path` holds."""
    with open_source(path) as stream:
        head = stream.peek(8)[:8]
        reader = _reader(head, path, options)
        if reader is not read_text and (options.delimiter is not None or options.header != "auto"):
            raise ValueError(f"header and delimiter are for text files, and {os.path.basename(path)} is not one")
        return reader(stream, path, options)


def _reader(head, path, options):
    name = plain_name(path)
    if head.startswith(b"\x93NUMPY"):
        return read_npy
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return read_npz
    if len(head) >= 4 and head[:2] == b"\0\0" and head[2] in IDX_TYPES and head[3]:
        return read_idx
    for extension, known in ARRAY_EXTENSIONS.items():
        if name.endswith(extension):
            raise DataFormatError(f"not the start of a file in {known} format: {head!r}", path=path, offset=0)
    if name.endswith(TEXT_EXTENSIONS) or options.delimiter is not None:
        return read_text
    raise DataFormatError(f"unknown format (first bytes {head!r}); known are {FORMATS}; a text file of another "
                          "name is read when its delimiter= is given", path=path, offset=0)
