"""Recognise the format of a data file, by its first bytes or by its name, and read it whole."""

import os

from backprop._read_arrays import IDX_TYPES, read_idx, read_npy, read_npz
from backprop._read_libsvm import read_libsvm
from backprop._read_source import Table, open_source, plain_name
from backprop._read_text import read_text
from backprop.errors import DataFormatError

TEXT_EXTENSIONS = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
LIBSVM_EXTENSIONS = (".libsvm", ".svm", ".svmlight")
ARRAY_EXTENSIONS = {".npy": "NPY", ".npz": "NPZ", "-ubyte": "IDX", ".idx": "IDX"}
FORMATS = ("CSV and TSV (.csv, .tsv, .tab, .txt, .data, .dat), NPY (.npy), NPZ (.npz, keys X and y), "
           "IDX (MNIST's *-images-idx3-ubyte) and LIBSVM (.libsvm, .svm, .svmlight), all but NPZ also as .gz")


def read(path, options) -> Table:
    """The Table that the file at `path` holds."""
    with open_source(path) as stream:
        reader = find(stream, path, options)
        return reader(stream, path, options)


def find(stream, path, options):
    """The reader of the format of an opened file; ValueError where `options` do not go with it."""
    reader = _reader(stream.peek(8)[:8], path, options)
    refuse_others(reader, path, options)
    return reader


def refuse_others(reader, path, options):
    """ValueError for options that are for other formats than that of `reader`."""
    name = os.path.basename(path)
    if reader is not read_text and (options.delimiter is not None or options.header != "auto"):
        why = " where zero_based is given" if reader is read_libsvm and options.zero_based is not None else ""
        raise ValueError(f"header and delimiter are for delimited text files, and {name} is not one{why}")
    if reader is read_libsvm:
        if options.zero_based is None:
            from_0, from_1 = options.spell("zero_based", True), options.spell("zero_based", False)
            raise ValueError(f"{name} is LIBSVM, and does not tell whether its indices count from 0 or from 1: pass "
                             f"{from_0} or {from_1}")
        if options.target is not None or options.drop:
            raise ValueError(f"{name} is LIBSVM, whose target is the label that a row begins with: target and drop "
                             "have no meaning here")
    elif (options.zero_based, options.n_features, options.sparse) != (None, None, None):
        raise ValueError(f"zero_based, n_features and sparse are for LIBSVM files, and {name} is not one")


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
    if name.endswith(LIBSVM_EXTENSIONS) or options.zero_based is not None:
        return read_libsvm
    if name.endswith(TEXT_EXTENSIONS) or options.delimiter is not None:
        return read_text
    raise DataFormatError(f"unknown format (first bytes {head!r}); known are {FORMATS}; a text file of another name "
                          f"is read when its {options.spell('delimiter')} is given, or {options.spell('zero_based')} "
                          "where it is LIBSVM", path=path, offset=0)
