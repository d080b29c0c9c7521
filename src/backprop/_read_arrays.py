"""Binary arrays: NPY, NPZ and IDX. A header is held against the bytes that follow it before anything is allocated."""

import errno
import io
import math
import os
import re
import struct
import zipfile
from dataclasses import dataclass, replace

import numpy as np

from backprop._read_source import BLOCK_BYTES, Bytes, Table, assemble, columns, open_source
from backprop.errors import DataFormatError

MAX_HEADER = 10_000             # bytes; NumPy's own limit
MAX_LABEL = 256                 # characters

ZIP_END = struct.Struct("<4s4H2IH")     # end of central directory: signature, 2 disks, 2 counts of members, size, ...

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass
class Layout:
    """What the header of an array says, and where the values begin."""

    source: Bytes
    dtype: np.dtype
    shape: tuple
    fortran: bool = False

    def __post_init__(self):
        self.start = self.source.offset

    def error(self, message, offset=None):
        return self.source.error(message, self.start if offset is None else offset)

    def offset_of(self, row, column):
        """Offset of an element of the array seen as a matrix (rows, everything else)."""
        rows, width = self.shape[0], math.prod(self.shape[1:])
        index = column * rows + row if self.fortran else row * width + column
        return self.start + index * self.dtype.itemsize


def read_npy(stream, path, options):
    """An NPY file: X, or X with the target in one of its columns."""
    layout = npy_layout(Bytes.of_file(stream, path))
    return _column_table(layout, _features(layout), options)


def read_npz(stream, path, options):
    """An NPZ archive with the key X and, where the target is not a column of X, the key y."""
    members = npz_members(stream, path)
    layout = npy_layout(members["X"])
    X = _features(layout)
    if "y" not in members:
        return _column_table(layout, X, options)
    return _labelled_table(layout, X, options, npz_labels(members, path, len(X), options))


def read_idx(stream, path, options):
    """An IDX file of examples; its labels are the file that `target` names, or the one of the usual name beside it."""
    layout = idx_layout(Bytes.of_file(stream, path))
    if len(layout.shape) < 2:
        raise layout.error("one value per example: this is a file of labels; load the file of images instead", 4)
    if options.target is not None and not isinstance(options.target, str):
        given = options.spell("target", options.target)
        raise ValueError(f"{path} is IDX: target names the file of labels, got {given}")
    X = _features(layout)
    labels = idx_labels(path, options.target)
    if labels is None:
        return _labelled_table(layout, X, options, None)
    with open_source(labels) as other:
        y = _labels(idx_layout(Bytes.of_file(other, labels)), len(X), options)
    return _labelled_table(layout, X, options, y)


# Headers

def npy_layout(source):
    magic = source.read(8)
    size = {b"\x93NUMPY\1\0": "<H", b"\x93NUMPY\2\0": "<I", b"\x93NUMPY\3\0": "<I"}.get(magic)
    if size is None:
        raise source.error(f"not the start of an NPY array: {magic!r}", 0)
    prefix = source.read(struct.calcsize(size))
    length, = struct.unpack(size, prefix)
    if length > MAX_HEADER:
        raise source.error(f"a header of {length} bytes; at most {MAX_HEADER} are read", 8)
    header = io.BytesIO(prefix + source.read(length))
    parse = np.lib.format.read_array_header_1_0 if size == "<H" else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = parse(header, max_header_size=MAX_HEADER)
    except Exception as error:      # Python's own parser reads it: syntax, recursion, memory, unknown dtypes, ...
        raise source.error(f"the NPY header cannot be read ({error})", 8) from None
    layout = Layout(source, dtype, shape, fortran)
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise layout.error(f"the NPY header has the impossible shape {shape}", 8)
    if dtype.hasobject:
        raise layout.error("the array holds pickled Python objects, which are never loaded; save numbers or strings", 8)
    return layout


def idx_layout(source):
    magic = source.read(4)
    if magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or magic[3] == 0:
        raise source.error(f"not the start of an IDX file: {magic!r}", 0)
    shape = struct.unpack(f">{magic[3]}I", source.read(4 * magic[3]))
    return Layout(source, np.dtype(IDX_TYPES[magic[2]]), shape)


def npz_members(stream, path):
    """{key: the bytes of the array}, X among them."""
    size = os.fstat(stream.fileno()).st_size if stream.seekable() else None
    if size is None:
        raise DataFormatError("an NPZ archive inside gzip is not read; it is compressed by itself", path=path, offset=0)

    def damaged(error):
        return DataFormatError(f"not a whole NPZ archive ({error})", path=path, offset=size)

    archive = _attempt(lambda: zipfile.ZipFile(stream), damaged)
    stream.seek(max(size - ZIP_END.size, 0))
    end = stream.read()
    if len(end) < ZIP_END.size or ZIP_END.unpack(end)[::4] != (b"PK\5\6", len(archive.infolist())):
        raise damaged("its directory does not list as many members as it says")       # zipfile does not look
    members = {}
    for info in archive.infolist():
        key = info.filename.removesuffix(".npy")
        if key in members:
            raise DataFormatError(f"the archive holds {key} twice", path=path, offset=max(info.header_offset, 0))
        if key in ("X", "y") and info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataFormatError(f"{key} is compressed in a way that NumPy does not write", path=path,
                                  offset=max(info.header_offset, 0))
        # Opening a member compares its own name with that of the directory: none is lost by a damaged name.
        member = _attempt(lambda info=info: archive.open(info), damaged)
        members[key] = Bytes(member, path, length=info.file_size, member=key)
    if "xl/workbook.xml" in members:
        raise DataFormatError("an Excel workbook, which is not read; save the sheet as CSV", path=path, offset=0)
    if "X" not in members:
        raise DataFormatError(f"no array X in the archive; it holds {', '.join(sorted(members)) or 'nothing'}",
                              path=path, offset=0)
    return members


def npz_labels(members, path, rows, options):
    """The array y of an archive, for `rows` examples."""
    if options.target is not None:
        given = options.spell("target", options.target)
        raise ValueError(f"{path} holds its targets as y, so {given} has no meaning here")
    return _labels(npy_layout(members["y"]), rows, options)


def _attempt(call, damaged):
    """The result of a call into zipfile, whose exceptions for a damaged archive are of many kinds."""
    try:
        return call()
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError, EOFError, RuntimeError) as error:
        trouble = error.__context__
        if isinstance(trouble, OSError) and trouble.errno != errno.EINVAL:       # zipfile calls that damage too
            raise trouble from None
        raise damaged(error) from None
    except OSError as error:
        if error.errno != errno.EINVAL:         # a seek to nowhere; anything else is the disk's trouble
            raise
        raise damaged(error) from None


def idx_labels(path, target):
    """The file of labels: `target`, or MNIST's name for it beside the images, or None."""
    folder, name = os.path.split(path)
    if target is not None:
        return os.path.join(folder, target)
    guess = re.sub(r"images([-.])idx\d+", r"labels\1idx1", name)
    if guess == name:
        return None
    for candidate in (guess, guess.removesuffix(".gz"), guess.removesuffix(".gz") + ".gz"):
        if os.path.exists(os.path.join(folder, candidate)):
            return os.path.join(folder, candidate)
    return None


# Values

def _values(layout, convert):
    """All values, flat and in the file's order; `convert` makes an array of each block or raises."""
    layout.source.expect(math.prod(layout.shape) * layout.dtype.itemsize)
    step = max(1, BLOCK_BYTES // layout.dtype.itemsize)
    blocks, left = [], math.prod(layout.shape)
    while left:
        start = layout.source.offset
        raw = layout.source.read(min(step, left) * layout.dtype.itemsize)
        blocks.append(convert(np.frombuffer(raw, layout.dtype), start, layout))
        left -= len(blocks[-1])
    layout.source.finish()
    return assemble(blocks)


def check_features(layout):
    """Refuse an array that cannot be X."""
    if layout.dtype.kind not in "fiub":
        raise layout.error(f"X must hold real numbers, not {layout.dtype}", 8)
    if len(layout.shape) < 2 or 0 in layout.shape:
        raise layout.error(f"X must have rows and columns, but its shape is {layout.shape}", 8)


def _features(layout):
    """X: (n, d) float64; what has more dimensions is flattened, as images are."""
    check_features(layout)
    flat = _values(layout, floats)
    return _c_order(flat, layout) if layout.fortran else flat.reshape(layout.shape[0], -1)


def _c_order(flat, layout):
    """Column-major values in row-major order, by slabs so that Ctrl-C is heard."""
    stored = flat.reshape(layout.shape, order="F")
    out = np.empty(layout.shape)
    step = max(1, len(out) * BLOCK_BYTES // out.nbytes)
    for row in range(0, len(out), step):
        out[row:row + step] = stored[row:row + step]
    return out.reshape(len(out), -1)


def floats(raw, start, layout):
    """The values as float64; one that is not finite, or that float64 does not hold exactly, is an error."""
    _check_bools(raw, start, layout)
    with np.errstate(over="ignore", invalid="ignore"):
        values = raw.astype(np.float64)
    ok = np.isfinite(values)
    if not ok.all():
        first = int(np.argmin(ok))
        raise layout.error(f"the value {raw[first]} is not a finite float64", start + first * raw.dtype.itemsize)
    if (first := first_rounded(raw, values)) is not None:
        raise layout.error(f"the value {raw[first]} does not fit float64 exactly", start + first * raw.dtype.itemsize)
    return values


def first_rounded(raw, values):
    """Position of the first of the numbers `raw` that is another number in `values`, which are float64; None where
    all are the same."""
    if raw.dtype.kind in "iu":
        if raw.dtype.itemsize < 8 or not len(raw) or -2**53 <= raw.min() and raw.max() <= 2**53:
            return None
        with np.errstate(invalid="ignore"):              # 2^63 and 2^64, which are rounded already
            same = (values < float(np.iinfo(raw.dtype).max)) & (values.astype(raw.dtype) == raw)
    elif raw.dtype.itemsize > 8:
        same = values.astype(raw.dtype) == raw
    else:
        return None
    return None if same.all() else int(np.argmin(same))


def _check_bools(raw, start, layout):
    if raw.dtype.kind == "b" and raw.view(np.uint8).max() > 1:
        first = int(np.argmax(raw.view(np.uint8) > 1))
        raise layout.error(f"the byte {raw.view(np.uint8)[first]} is not a bool", start + first)


def _integers(raw, start, layout):
    if raw.dtype.kind == "u" and raw.max() >= 2**63:
        first = int(np.argmax(raw >= 2**63))
        raise layout.error(f"the label {raw[first]} does not fit int64", start + first * raw.dtype.itemsize)
    return raw.astype(np.int64)


def _bools(raw, start, layout):
    _check_bools(raw, start, layout)
    return raw


def _strings(raw, start, layout):
    codes = raw.view(np.dtype(np.uint32).newbyteorder(raw.dtype.byteorder))
    bad = (codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))
    if bad.any():
        first = int(np.argmax(bad))
        raise layout.error(f"{codes[first]:#x} is not a character", start + 4 * first)
    return raw.astype(raw.dtype.newbyteorder("="))


def _labels(layout, rows, options):
    """y, one label or one row of numbers for each of `rows` examples; integers as int64."""
    convert = {"i": _integers, "u": _integers, "b": _bools, "f": floats, "U": _strings}.get(layout.dtype.kind)
    if convert is None or layout.dtype.itemsize == 0 or (convert is _strings and layout.dtype.itemsize > 4 * MAX_LABEL):
        raise layout.error(f"y must hold numbers or strings of at most {MAX_LABEL} characters, not {layout.dtype}")
    if len(layout.shape) not in (1, 2) or 0 in layout.shape:
        raise layout.error(f"y must have one label or one row of targets per example, but its shape is {layout.shape}")
    if layout.shape[0] != rows:
        raise layout.error(f"y has {layout.shape[0]} rows, but X has {rows}")
    if convert is _integers and options.target_kind == "number":
        convert = floats
    y = _values(layout, convert)
    y = y.reshape(layout.shape, order="F" if layout.fortran else "C").copy(order="C")
    return _as_kind(y, layout, options)


# Tables

def _column_table(layout, X, options):
    """A table whose target, if there is one, is a column of X."""
    target, features = columns(options, None, X.shape[1], layout.source.path)
    y = None if target is None else _as_kind(_column(layout, X, target), layout, options, target)
    return Table(_chosen(X, features), y)


def _labelled_table(layout, X, options, y):
    """A table whose target is an array of its own."""
    _, features = columns(replace(options, target=None), None, X.shape[1], layout.source.path)
    return Table(_chosen(X, features), y)


def _chosen(X, features):
    return X if len(features) == X.shape[1] else np.ascontiguousarray(X[:, features])


def _column(layout, X, target):
    """Column `target` of X in the kind of number that the file stores."""
    y = X[:, target].copy()
    if layout.dtype.kind == "f":
        return y
    long = y >= 2**63
    if long.any():
        row = int(np.argmax(long))
        raise layout.error(f"the label {int(y[row])} at row {row} does not fit int64", layout.offset_of(row, target))
    return y.astype(bool if layout.dtype.kind == "b" else np.int64)


def _as_kind(y, layout, options, column=0):
    """y as `target_kind` asks: as stored, as classes (no fractions) or as float64."""
    kind, given = options.target_kind, options.spell("target_kind", options.target_kind)
    if kind == "auto":
        return y
    if kind == "number":
        if y.dtype.kind == "U":
            raise layout.error(f"the targets are strings, so {given} cannot be")
        return y.astype(np.float64)
    if y.ndim == 2:
        raise layout.error(f"the targets have two dimensions, so {given} cannot be")
    if y.dtype.kind != "f":
        return y
    odd = (y != np.rint(y)) | (np.abs(y) >= 2**53)
    if odd.any():
        row = int(np.argmax(odd))
        raise layout.error(f"the target {y[row]} at row {row} is no class: it is not a whole number",
                           layout.offset_of(row, column))
    return y.astype(np.int64)
