"""What the fuzzer calls: one function per reader, from bytes to nothing, or to an exception that is a finding.

The first byte of an input chooses the reader's options, the rest is the file. A reader may refuse a file only by the
errors that it documents, by exactly these classes: a UnicodeDecodeError is a ValueError, and yet nobody's intention.
What it accepts must hold together: all numbers finite, `load` and `stream` of one mind, a model file that is written
again the same.
"""

import contextlib
import json
import os
import tempfile
from unittest import mock

import numpy as np

from backprop import _read_libsvm, data, model_file
from backprop.errors import DataFormatError, ModelFormatError, ModelVersionError

CHUNK_ROWS = 3                  # chunks end inside even small files
DENSE_BYTES = 2**24             # for `_read_libsvm`: its bound of a dense array within the fuzzer's memory


class Finding(Exception):
    """A reader accepted a file and gave something that it promises not to give."""


def demand(condition, message):
    """Raise a Finding; `assert` would vanish under -O."""
    if not condition:
        raise Finding(message)


@contextlib.contextmanager
def stored(content, name):
    """The path of a file that holds `content`; in memory where the system has a folder there."""
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="backprop-fuzz-", dir=shared) as folder:
        path = os.path.join(folder, name)
        with open(path, "wb") as stream:
            stream.write(content)
        yield path


def attempt(call, errors):
    """(result, None), or (None, the error) where it is of exactly one of these classes; others are findings."""
    try:
        return call(), None
    except Exception as error:
        if type(error) not in errors:
            raise
        return None, error


# ---- data files ------------------------------------------------------------------------------------------------


def _loaded(path, options):
    """(the Dataset at `path`, checked, or None where it is refused, the error)."""
    dataset, error = attempt(lambda: data.load(path, **options), (DataFormatError, ValueError))
    if error is None:
        X, y = dataset
        demand(X.dtype == np.float64 and X.ndim == 2 and X.flags.c_contiguous, f"X is {X.dtype} {X.shape}")
        demand(np.isfinite(X).all(), "X is not finite")
        demand(y is None or len(y) == len(X), "X and y have different lengths")
        demand(y is None or y.dtype.kind != "f" or np.isfinite(y).all(), "y is not finite")
    return dataset, error


def _streamed(path, options):
    """All rows of `path` read chunk by chunk, or None where it is refused."""
    def rows():
        chunks = [X for X, _ in data.stream(path, chunk_rows=CHUNK_ROWS, **options)]
        demand(all(len(X) <= CHUNK_ROWS for X in chunks), "a chunk is larger than was asked for")
        return np.concatenate(chunks)

    return attempt(rows, (DataFormatError, ValueError))[0]


def _both(content, name, options, **whole):
    """`load`, with the options `whole`, too, and `stream` give the same rows or both refuse."""
    with stored(content, name) as path:
        (dataset, error), streamed = _loaded(path, {**options, **whole}), _streamed(path, options)
    demand(dataset is None or streamed is not None, "stream refuses what load accepts")
    demand(dataset is not None or streamed is None or "as a dense array" in str(error),
           f"stream accepts what load refuses: {error}")
    demand(dataset is None or dataset.X.tobytes() == streamed.tobytes(), "load and stream give different rows")


def csv(flags, content):
    """Delimited text, with a guessed or given delimiter and header, without a target and with one of each kind."""
    options = {"header": ("auto", True, False)[flags % 3], "delimiter": (None, ";", "\t", " ")[flags // 4 % 4]}
    name = ("a.csv", "a.tsv")[flags // 16 % 2]
    _both(content, name, options)
    with stored(content, name) as path:
        target = flags // 32 % 2 - 1            # the first column or the last
        for kind in ("auto", "class", "number"):
            _loaded(path, {**options, "target": target, "target_kind": kind})
        attempt(lambda: list(data.stream(path, target, classes="auto", chunk_rows=CHUNK_ROWS, **options)),
                (DataFormatError, ValueError))


def libsvm(flags, content):
    """LIBSVM counted from 0 or 1, of a given width or the widest row's."""
    with mock.patch.object(_read_libsvm, "DENSE_BYTES", DENSE_BYTES):
        _both(content, "a.libsvm", {"zero_based": bool(flags % 2), "n_features": (None, 3)[flags // 2 % 2],
                                    "sparse": False}, target_kind="number")


def idx(flags, content):
    """IDX, MNIST's format."""
    _both(content, "a.idx", {})


def npy(flags, content):
    """NumPy's array file, all columns features or one of them the target."""
    _both(content, "a.npy", {})
    with stored(content, "a.npy") as path:
        _loaded(path, {"target": flags % 2 - 1, "target_kind": ("auto", "class", "number")[flags // 2 % 3]})


def npz(flags, content):
    """NumPy's archive."""
    with stored(content, "a.npz") as path:
        _loaded(path, {"target": (None, 0)[flags % 2], "target_kind": ("auto", "class", "number")[flags // 2 % 3]})


# ---- the model file --------------------------------------------------------------------------------------------


def sealed(content):
    """A model file whose checksum is right for what it holds; as it is where it holds nothing of the form.

    No fuzzer finds a SHA-256: without this all damage would end at the checksum.
    """
    try:
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        document = json.loads(header["__metadata__"]["backprop"])
        tensors = {}
        for name, entry in header.items():
            if name != "__metadata__":
                start, stop = entry["data_offsets"]
                tensors[name] = entry["shape"], np.frombuffer(content[end + start:end + stop], "<f8")
        document["sha256"] = model_file._digest(document, tensors)
        header["__metadata__"]["backprop"] = json.dumps(document)
        text = json.dumps(header).encode()
    except Exception:           # of a damaged file anything may be of any kind here
        return content
    return len(text).to_bytes(8, "little") + text + content[end:]


def model(flags, content):
    """A model file, with its own checksum (odd flags) or the right one."""
    errors = (ModelFormatError, ModelVersionError)
    with stored(content if flags % 2 else sealed(content), "a.safetensors") as path:
        found, error = attempt(lambda: model_file.load(path), errors)
        if error is None:
            network = getattr(found, "network", found)
            demand(np.isfinite(network.parameters).all(), "a parameter is not finite")
            found.save(path)
            demand(model_file.encode(*model_file.load(path)._file_parts()) == model_file.encode(*found._file_parts()),
                   "what was loaded is not saved and loaded the same")


TARGETS = {"model": model, "csv": csv, "libsvm": libsvm, "idx": idx, "npy": npy, "npz": npz}


def replay(name, content):
    """Run one input of the target `name`."""
    TARGETS[name](content[0] if content else 0, content[1:])
