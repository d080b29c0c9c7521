"""The model file: one safetensors file that holds numbers and JSON, never code.

The tensors, all float64 and without padding:

==========================================  ==========================================================================
``layers.{l}.weight``, ``layers.{l}.bias``  W[l] (n_{l-1}, n_l) and b[l] (n_l,), l = 1..L; no bias in a network without
``optimizer.{s}.layers.{l}.weight``, bias   slot s = 0, 1, ... of the optimizer (velocity, moments), each like its layer
``best.layers.{l}.weight``, bias            in a file saved during training with early stopping: the best parameters,
``best.optimizer.{s}.layers.{l}.weight``    and the optimizer's slots of their epoch, with those of the biases
``init.layers.{l}.weight``, bias            the arrays given as ``init=``, where arrays were given
``history.{name}``                          (n,) columns of the last training's history; NaN where nothing was measured
``members.{k}.`` before each of these       of the k-th network, k = 0, 1, ..., of a file that holds an ensemble
==========================================  ==========================================================================

The file's metadata has one entry, ``backprop``: a JSON document with the format's name and version, the library's
version, the kind of object, the network, its random generator, the training state (optimizer, schedule, split, dropout,
in a checkpoint its options), early stopping, the history, the properties of the kind (class labels, scaler, names of
columns) and ``sha256``; of an ensemble, `members`, a list of what is said of one network otherwise. ``sha256`` is the
hash of the canonical JSON (sorted keys, no spaces, ASCII) of all the rest, followed, for every tensor in the order of
names, by a line feed, the canonical JSON of [name, "F64", shape], a line feed, and the little-endian values. Numbers in
JSON are written so that they read back to the same bits.

A reader refuses what it does not know: an unknown key, tensor or name is an error, and a change of the format that
older readers would get wrong raises VERSION.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check, _memory, initializers, optimizers, options, schedules, stopping
from backprop.errors import ModelFormatError, ModelVersionError
from backprop.history import COLUMNS, History
from backprop.network import Network
from backprop.training import TrainingState

try:
    import fcntl
except ImportError:                 # pragma: no cover - Windows: no locks, no permissions, no folders to be synced
    fcntl = None                    # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from backprop._types import PathLike

FORMAT = "backprop"
VERSION = 1
MAX_HEADER = 100_000_000            # bytes: the limit of every safetensors reader
GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")

# Flags of a file that no child process inherits and that takes bytes as they are, as far as the system knows them.
_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)

ABANDONED_SECONDS = 10              # a writer locks its file within this time of making it
_PREFIX, _SUFFIX = b".backprop-", b".tmp"

# One above the largest value of each number; beyond `pos` and `buffer_pos` NumPy would read foreign memory.
_GENERATOR_LIMITS = {
    "state": 2**128, "inc": 2**128, "pos": 625, "buffer_pos": 5, "has_uint32": 2, "uinteger": 2**32,
}
_STOPPING_KEYS = ("rule", "sign", "value", "epoch", "reference", "waited", "numbers")
_SECTIONS = ("network", "generator", "training", "early_stopping", "history")      # of each network in a file
_TRAINING_KEYS = ("optimizer", "numbers", "schedule", "schedule_state", "split_seed", "visits", "dropout_key")


def save(path: PathLike, model: Any) -> None:
    """Write a network, a `Model`, an estimator or an `Ensemble` to one file, atomically.

    The file appears whole or not at all: it is written beside `path` under another name, flushed to the disk, and
    renamed.

    Parameters
    ----------
    path : str or os.PathLike
        Any name; ``.safetensors`` is the custom. A file that is there is replaced and keeps its permissions; through a
        symbolic link the file behind it is replaced.
    model : Network, Model, Ensemble or an estimator

    Raises
    ------
    ValueError
        If a parameter is not finite, if the loss is a function, if the generator is not one of NumPy's own, or if
        `path` is a device or a pipe.
    ConcurrentUseError
        If another thread is training the network.
    OSError
        As it comes; what was at `path` is unchanged then, and no temporary file is left.

    Examples
    --------
    >>> import os, tempfile
    >>> import backprop as bp
    >>> net = bp.Network([2, 3, 1], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     net.save(path)
    ...     again = bp.load(path)
    >>> bool((again.parameters == net.parameters).all())
    True
    """
    kind, network, properties = model._file_parts()
    with contextlib.ExitStack() as locks:
        for each in network if isinstance(network, list) else [network]:
            locks.enter_context(each._exclusive("save", within=True))
        data = encode(kind, network, properties)
    write_atomically(path, data)


def load(path: PathLike) -> Any:
    """Read back what was saved: parameters, optimizer state, generator, epoch count, last history.

    Training goes on as if it had never been interrupted, to the last bit.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    Network, Model, Ensemble or an estimator
        What was saved.

    Raises
    ------
    ModelFormatError
        If the file is not a whole and undamaged model file.
    ModelVersionError
        If a newer format wrote it.
    OSError
        As it comes: FileNotFoundError and so on.
    """
    path = _check.path(path)
    try:
        return _decode(_read(path))
    except ModelFormatError as error:
        raise type(error)(f"{os.fsdecode(path)}: {error}") from None


def checksum(path: PathLike) -> str:
    """The SHA-256 of the model file at `path`, 64 hexadecimal digits, after comparing it with the content."""
    path = _check.path(path)
    try:
        return _read(path).sha256
    except ModelFormatError as error:
        raise type(error)(f"{os.fsdecode(path)}: {error}") from None


# ---- writing ---------------------------------------------------------------------------------------------------


def write_atomically(path: PathLike, data: bytes) -> None:
    """Put the bytes `data` at `path`; afterwards, or after any failure, it holds the new or the old file, whole."""
    with replacing(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A binary stream whose content stands at `path` once the block ends; after any failure the old file does."""
    path = os.path.realpath(_check.path(path))
    mode = _mode_of(path)
    folder = os.path.dirname(path)
    os.stat(folder)                                      # or the error would name the temporary file
    _remove_abandoned(os.fsencode(folder))
    temporary = os.path.join(os.fsencode(folder), _PREFIX + os.urandom(8).hex().encode() + _SUFFIX)
    try:
        # 0o666 less the umask, which the system subtracts; O_EXCL follows no link that somebody put there
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o666)
        with open(descriptor, "wb") as stream:
            _lock(descriptor)                            # until the file has its name: somebody is alive and writes it
            if mode is not None and fcntl is not None:
                os.fchmod(descriptor, mode)
            yield stream
            stream.flush()
            os.fsync(descriptor)
            if fcntl is not None:
                os.replace(temporary, path)
        if fcntl is None:                                # Windows renames no open file
            os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise
    _sync_folder(folder)


def _lock(descriptor):
    """Whether the file, which nobody else has locked, is locked now; a lock ends with the process that holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:                                      # taken, or a file system without locks
        return False
    return True


def _remove_abandoned(folder):
    """Delete temporary files whose writers were killed: old enough to have been locked, and not locked."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX)
                     and entry.is_file(follow_symlinks=False)]
        for entry in found:
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS:
                _remove_unlocked(entry.path)
    except OSError:                                      # not ours to read or to delete: saving does not need it
        pass


def _remove_unlocked(path):
    if fcntl is None:                                    # no telling whether the writer is alive
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if _lock(descriptor):
            os.unlink(path)
    finally:
        os.close(descriptor)


def _mode_of(path, name="path"):
    """Permissions of the file that is to be replaced; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(path))
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{name} must be a regular file, and {os.fsdecode(path)} is a device, a pipe or a socket")
    return stat.S_IMODE(found.st_mode)


def check_target(path: PathLike, name: str = "path") -> None:
    """Refuse, with the error that saving would raise, a path where no file can be written; nothing is written."""
    path = os.path.realpath(_check.path(path, name))
    _mode_of(path, name)
    os.stat(os.path.dirname(path))


def _sync_folder(folder):
    """Make the new name last; a folder that may be written but not read cannot be opened for that, nor any on
    Windows."""
    if fcntl is None:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encode(kind: str, network: Network | list[Network], properties: dict[str, Any]) -> bytes:
    """The bytes of a model file; `properties` is what the kind keeps besides its network or its list of networks."""
    from safetensors.numpy import save as to_bytes  # loaded only when a model is saved

    from backprop import __version__

    tensors: dict[str, np.ndarray] = {}
    document = {"format": FORMAT, "version": VERSION, "library": __version__, "kind": kind, "properties": properties}
    if isinstance(network, list):
        document["members"] = [_member_sections(each, tensors, k) for k, each in enumerate(network)]
    else:
        document.update(_sections(network, tensors))
    document["sha256"] = _digest(document, {name: (array.shape, array) for name, array in tensors.items()})
    text = _canonical(document)
    if len(text) > MAX_HEADER // 2:                      # every quote is escaped once more in the header
        raise ValueError(f"the model's names, labels and other properties take {len(text)} bytes, "
                         "too many for a model file")
    return to_bytes(tensors, {FORMAT: text})


def _member_sections(network, tensors, k):
    own: dict[str, np.ndarray] = {}
    try:
        sections = _sections(network, own)
    except ValueError as error:
        raise ValueError(f"networks[{k}]: {error}") from None
    tensors.update((f"members.{k}.{name}", array) for name, array in own.items())
    return sections


def _sections(network, tensors):
    """What the document says of a network, whose arrays go into `tensors`."""
    if network._own_loss is not None:
        raise ValueError("the network's loss is a function, which a model file cannot hold")
    if not np.isfinite(network.parameters).all():
        raise ValueError("the network's parameters are not finite; such a model is not saved")
    return {
        "network": _network_document(network, tensors),
        "generator": _generator_document(network._generator),
        "training": _training_document(network, tensors),
        "early_stopping": _stopping_document(network, tensors),
        "history": _history_document(network, tensors),
    }


def _canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(document, tensors):
    """SHA-256 over the document without its hash and over all tensors, {name: (shape, values)}."""
    digest = hashlib.sha256(_canonical({key: value for key, value in document.items() if key != "sha256"}).encode())
    for name in sorted(tensors):
        shape, values = tensors[name]
        digest.update(f"\n{_canonical([name, 'F64', list(shape)])}\n".encode())
        digest.update(np.ascontiguousarray(values, "<f8").data.cast("B") if values.size else b"")
    return digest.hexdigest()


def _layers(weights, biases, prefix=""):
    """Names of a network's arrays in the file, {name: array}; no entry where a bias is None."""
    named = {}
    for l, (W, b) in enumerate(zip(weights, biases), start=1):
        named[f"{prefix}layers.{l}.weight"] = np.ascontiguousarray(W)
        if b is not None:
            named[f"{prefix}layers.{l}.bias"] = np.ascontiguousarray(b)
    return named


def _network_document(network, tensors):
    tensors.update(_layers(network.weights, network.biases))
    init = network._init
    if not isinstance(init, str):
        weights, biases = init
        tensors.update(_layers(weights, biases if network.bias else [None] * len(weights), "init."))
        init = "arrays"
    return {"sizes": network.sizes, "activations": network.activations, "loss": network.loss, "bias": network.bias,
            "init": init, "seed": None if network._seed is None else int(network._seed),
            "epochs_trained": network.epochs_trained}


def _generator_document(generator):
    state = generator.bit_generator.state
    name = state.get("bit_generator") if isinstance(state, dict) else type(generator.bit_generator).__name__
    if name not in GENERATORS:
        raise ValueError(f"the network's random generator is {name}, which a model file cannot hold; "
                         f"expected one of {', '.join(GENERATORS)}")
    return {"name": name, "state": {key: _plain(value) for key, value in state.items() if key != "bit_generator"}}


def _plain(value):
    """A generator's state in JSON's kinds: dicts, whole numbers and lists of them."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [int(each) for each in value] if isinstance(value, np.ndarray) else int(value)


def _training_document(network, tensors):
    state = network._training_state
    if state is None:
        return None
    tensors.update(_slots(network, state.slots))
    document = state.to_dict()
    if document["schedule"] is not None:
        schedules.from_dict(document["schedule"])        # what no reader would take is not written
    return document


def _slots(network, slots, prefix=""):
    """Names of an optimizer's arrays in the file, {name: array}."""
    named = {}
    for s, slot in enumerate(slots):
        named.update(_layers(*network._split(slot), f"{prefix}optimizer.{s}."))
    return named


def _stopping_document(network, tensors):
    """What early stopping remembers, while the network is in training; its best epoch's arrays as tensors."""
    state = network._stopping_state
    if state is None:
        return None
    parameters, slots, numbers = state.kept
    if state.epoch is not None:
        tensors.update(_layers(*network._split(parameters), "best."))
        tensors.update(_slots(network, slots, "best."))
    return {"rule": stopping.plain(state.rule), "sign": state.sign, "value": state.value, "epoch": state.epoch,
            "reference": state.reference, "waited": state.waited, "numbers": numbers.tolist()}


def _history_document(network, tensors):
    """Columns as tensors (None as NaN), their names in order, and which of them hold whole numbers.

    What an interrupt left half written of an epoch is left out. A training that goes on from a checkpoint saves the
    whole history, from the first epoch.
    """
    history = network.history
    if history is None:
        return None
    if network._earlier_history is not None:
        history = network._earlier_history + history
    columns = history.to_dict(columns_only=True)
    length = min(len(values) for values in columns.values())
    for name, values in columns.items():
        values = [math.nan if value is None else value for value in values[:length]]
        tensors[f"history.{name}"] = np.array(values, np.float64)
    whole = [name for name, values in columns.items() if values and all(isinstance(value, int) for value in values)]
    return {"columns": list(columns), "length": length, "integers": whole, "stop_reason": history.stop_reason,
            "best_epoch": history.best_epoch}


# ---- reading ---------------------------------------------------------------------------------------------------


@dataclass
class _File:
    """A file as read: its document and the tensors that nobody has taken yet, {name: (shape, flat values)}."""

    document: dict
    tensors: dict
    sha256: str

    def take(self, name, shape, finite=True):
        """The tensor `name`, which must be there with this shape."""
        if name not in self.tensors:
            raise ModelFormatError(f"the tensor {name} is missing")
        found, values = self.tensors.pop(name)
        if found != list(shape):
            raise ModelFormatError(f"the tensor {name} has shape {found}, expected {list(shape)}")
        if finite and not np.isfinite(values).all():
            raise ModelFormatError(f"the tensor {name} holds NaN or infinity")
        return values.reshape(shape)

    def take_layers(self, sizes, bias, prefix="", finite=True):
        """Lists (weights, biases) of tensors named and shaped like a network's parameters."""
        weights, biases = [], []
        for l, (n_in, n_out) in enumerate(zip(sizes, sizes[1:]), start=1):
            weights.append(self.take(f"{prefix}layers.{l}.weight", (n_in, n_out), finite))
            biases.append(self.take(f"{prefix}layers.{l}.bias", (n_out,), finite) if bias else None)
        return weights, biases


def _read(path):
    """The `_File` at `path`, its hash compared; nothing is allocated that the file's own size does not cover."""
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):       # a pipe would block in open
        raise ModelFormatError("not a regular file")
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        entries, text, data_size = _read_header(stream, size)
        document = _document(text)
        tensors = {name: (shape, _values(stream, shape)) for name, shape in _tiling(entries, data_size)}
        if stream.read(1):
            raise ModelFormatError("the file grew while it was read")
    digest = _digest(document, tensors)
    if document.get("sha256") != digest:
        raise ModelFormatError(f"the file is damaged: its content has the SHA-256 {digest}, "
                               f"and the file says {document.get('sha256')}")
    return _File(document, tensors, digest)


def _read_header(stream, size):
    """(tensor entries, the JSON document's text, bytes of tensor data)."""
    prefix = stream.read(8)
    if len(prefix) < 8:
        raise ModelFormatError(f"not a model file: it has {size} bytes")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER or length > size - 8:
        raise ModelFormatError(f"not a whole model file: it promises a header of {length} bytes, "
                               f"and has {size} bytes in all")
    raw = stream.read(length)
    if not raw.startswith(b"{"):
        raise ModelFormatError("not a model file: no safetensors header")
    entries = _object(_parse(raw, "header"), "header")
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(FORMAT), str):
        raise ModelFormatError("a safetensors file, but not one that backprop wrote: "
                               "it lacks the metadata entry 'backprop'")
    if len(metadata) > 1:
        raise ModelFormatError("the metadata has more entries than 'backprop'")
    return entries, metadata[FORMAT], size - 8 - length


def _parse(text, what):
    """JSON, strictly: no key twice, no NaN or Infinity, no foreign exception."""
    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ModelFormatError(f"the {what} names a key twice")
        return found

    def refuse(constant):
        raise ModelFormatError(f"the {what} holds {constant}")

    def finite(number):
        value = float(number)
        return value if math.isfinite(value) else refuse(number)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except ModelFormatError:
        raise
    except (ValueError, RecursionError) as error:        # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise ModelFormatError(f"the {what} is not JSON: {error}") from None


def _object(value, what, keys=None):
    """`value` if it is a JSON object with exactly these keys."""
    if not isinstance(value, dict):
        raise ModelFormatError(f"the {what} must be a JSON object, got {type(value).__name__}")
    if keys is not None and set(value) != set(keys):
        wrong = sorted(set(value) ^ set(keys))[0]
        raise ModelFormatError(f"the {what} {'has the unknown' if wrong in value else 'lacks the'} key {wrong!r}")
    return value


def _typed(value, kinds, what):
    """`value` if it is of these kinds (bool is not a number)."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise ModelFormatError(f"the {what} has the wrong kind: {type(value).__name__}")
    return value


def _document(text):
    document = _object(_parse(text, "document"), "document")
    if document.get("format") != FORMAT:
        raise ModelFormatError(f"the document's format is {document.get('format')!r}, expected {FORMAT!r}")
    version = _typed(document.get("version"), int, "format version")
    if version > VERSION:
        raise ModelVersionError(f"the file has format version {version}, and this backprop reads versions up to "
                                f"{VERSION}: it takes a newer backprop to load it")
    if version < 1:
        raise ModelFormatError(f"the format version is {version}, expected at least 1")
    networks = ("members",) if document.get("kind") == "ensemble" else _SECTIONS
    return _object(document, "document", ("format", "version", "library", "kind", "properties", "sha256", *networks))


def _tiling(entries, data_size):
    """[(name, shape)] in the order of the data, which they must cover without gap or overlap."""
    found = []
    for name, entry in entries.items():
        what = f"header's entry of {name!r}"
        entry = _object(entry, what, ("dtype", "shape", "data_offsets"))
        if entry["dtype"] != "F64":
            raise ModelFormatError(f"the tensor {name} has dtype {entry['dtype']!r}, expected 'F64'")
        for key in ("shape", "data_offsets"):
            for number in _typed(entry[key], list, what):
                if _typed(number, int, what) < 0:
                    raise ModelFormatError(f"the {what} holds a negative number")
        if len(entry["data_offsets"]) != 2 or len(entry["shape"]) > 2:
            raise ModelFormatError(f"the {what} has {len(entry['shape'])} dimensions and "
                                   f"{len(entry['data_offsets'])} offsets, expected at most 2 and exactly 2")
        found.append((*entry["data_offsets"], name, entry["shape"]))
    end = 0
    for start, stop, name, shape in sorted(found):
        if start != end or stop - start != 8 * math.prod(shape):
            raise ModelFormatError(f"the tensor {name} with shape {shape} does not fit its place, "
                                   f"bytes {start} to {stop}")
        end = stop
    if end != data_size:
        raise ModelFormatError(f"the tensors take {end} bytes, and the file has {data_size} bytes of them")
    return [(name, shape) for _, _, name, shape in sorted(found)]


def _values(stream, shape):
    flat = np.empty(math.prod(shape), "<f8")
    if flat.size and stream.readinto(flat.data.cast("B")) != flat.nbytes:
        raise ModelFormatError("the file shrank while it was read")
    return flat.astype(np.float64, copy=False)


def _decode(file):
    """The saved object. Whatever a constructor refuses is a wrong file here."""
    document = file.document
    kind = _typed(document["kind"], str, "kind")
    try:
        network = _members(file) if kind == "ensemble" else _one_network(file)
        if file.tensors:
            raise ModelFormatError(f"the tensor {min(file.tensors)} belongs to nothing in the file")
        return _of_kind(kind, network, _object(document["properties"], "properties"))
    except ModelFormatError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelFormatError(f"the file describes no possible model: {error}") from None


def _one_network(file):
    network = _network(file)
    network._training_state = _training(file, network)
    network._stopping_state = _stopping(file, network)
    network.history = _history(file)
    return network


def _members(file):
    """The networks of an ensemble, each read as if it had a file of its own."""
    documents = _typed(file.document["members"], list, "members")
    tensors: dict[str, dict] = {str(k): {} for k in range(len(documents))}
    for name in list(file.tensors):
        head, _, rest = name.partition(".")
        number, _, rest = rest.partition(".")
        if head == "members" and number in tensors:
            tensors[number][rest] = file.tensors.pop(name)
    networks = []
    for k, (document, own) in enumerate(zip(documents, tensors.values())):
        member = _File(_object(document, f"members[{k}]", _SECTIONS), own, file.sha256)
        try:
            networks.append(_one_network(member))
        except ModelFormatError as error:
            raise type(error)(f"members[{k}]: {error}") from None
        if own:
            raise ModelFormatError(f"the tensor members.{k}.{min(own)} belongs to nothing in the file")
    return networks


def _of_kind(kind, network, properties):
    """The object of a kind; a new kind is one more branch here and a `_file_parts` on its class."""
    if kind == "network":
        _object(properties, "properties of a network", ())
        return network
    if kind == "model":
        from backprop.model import Model

        return Model._from_file(network, properties)
    if kind == "estimator":
        from backprop import _estimator_file

        return _estimator_file.estimator(network, properties)
    if kind == "ensemble":
        from backprop.ensemble import Ensemble

        return Ensemble._from_file(network, properties)
    raise ModelFormatError(f"the kind of object is {kind!r}, expected network, model, ensemble or estimator")


def _network(file):
    fields = _object(file.document["network"], "network", ("sizes", "activations", "loss", "bias", "init", "seed",
                                                           "epochs_trained"))
    sizes = [_typed(n, int, "network's sizes") for n in _typed(fields["sizes"], list, "network's sizes")]
    names = [_typed(name, str, "network's activations") for name in _typed(fields["activations"], list, "activations")]
    bias = _typed(fields["bias"], bool, "network's bias")
    if min(sizes, default=0) < 1 or len(sizes) < 2 or len(names) != len(sizes) - 1:
        raise ModelFormatError(f"the network has sizes {_check.shown(sizes)} and {len(names)} activations")
    weights, biases = file.take_layers(sizes, bias)      # first: now the file covers what the constructor allocates
    network = Network(sizes, hidden=names[:-1], output=names[-1], loss=_typed(fields["loss"], str, "network's loss"),
                      bias=bias, init="zeros", seed=0)
    _fill((network._weights, network._biases), (weights, biases))
    network._init = _init(file, _typed(fields["init"], str, "network's init"), sizes, bias)
    network._seed = None if fields["seed"] is None else _non_negative(fields["seed"], "network's seed")
    network._generator = _generator(file.document["generator"])
    network.epochs_trained = _non_negative(fields["epochs_trained"], "network's epochs_trained")
    return network


def _non_negative(value, what):
    if _typed(value, int, what) < 0:
        raise ModelFormatError(f"the {what} is negative: {value}")
    return value


def _init(file, name, sizes, bias):
    if name != "arrays":
        return initializers.check(name, sizes, bias)
    return initializers.check(file.take_layers(sizes, bias, "init."), sizes, bias)


def _generator(document):
    document = _object(document, "generator", ("name", "state"))
    name = _typed(document["name"], str, "generator's name")
    if name not in GENERATORS:
        raise ModelFormatError(f"the generator is {name!r}, expected one of {', '.join(GENERATORS)}")
    bit_generator = getattr(np.random, name)(0)
    template = {key: value for key, value in bit_generator.state.items() if key != "bit_generator"}
    bit_generator.state = {"bit_generator": name, **_like(template, document["state"], "state")}
    return np.random.Generator(bit_generator)


def _like(template, value, key):
    """`value` in the form of `template`, the state of a generator of the same name, with every number in its bounds."""
    what = f"generator's {key}"
    if isinstance(template, dict):
        value = _object(value, what, template)
        return {name: _like(template[name], value[name], name) for name in template}
    if isinstance(template, np.ndarray):
        limit = np.iinfo(template.dtype).max + 1
        if len(_typed(value, list, what)) != template.size:
            raise ModelFormatError(f"the {what} has {len(value)} numbers, expected {template.size}")
        return np.array([_below(each, limit, what) for each in value], template.dtype)
    return _below(value, _GENERATOR_LIMITS[key], what)


def _below(value, limit, what):
    if not 0 <= _typed(value, int, what) < limit:
        raise ModelFormatError(f"the {what} is out of range")
    return value


def _training(file, network):
    document = file.document["training"]
    if document is None:
        return None
    optional = {"checkpoint"} & set(_object(document, "training state"))       # only in a checkpoint
    document = _object(document, "training state", {*_TRAINING_KEYS, *optional})
    if optional:
        _object(document["checkpoint"], "checkpoint's record", options.RECORDED)
    rule = dict(_object(document["optimizer"], "optimizer"))
    optimizer = _optimizer(rule.pop("name", None), rule)
    _numbers(document["numbers"])
    _schedule_state(document["schedule"], _object(document["schedule_state"], "schedule's state"))
    if document["split_seed"] is not None:
        _non_negative(document["split_seed"], "seed of the split")
    return TrainingState.from_dict(document, _take_slots(file, network, optimizer.n_slots))


def _numbers(value):
    what = "optimizer's numbers"
    return [_typed(number, (int, float), what) for number in _typed(value, list, what)]


def _take_slots(file, network, n_slots, prefix=""):
    """(n_slots, n_padded) an optimizer's arrays, in the layout of the parameters."""
    slots = _memory.zeros(n_slots, network._parameters.size)
    for s, slot in enumerate(slots):
        prefix_of_slot = f"{prefix}optimizer.{s}."
        _fill(network._split(slot), file.take_layers(network.sizes, network.bias, prefix_of_slot, finite=False))
    return slots


def _stopping(file, network):
    document = file.document["early_stopping"]
    if document is None:
        return None
    document = _object(document, "early stopping", _STOPPING_KEYS)
    training = network._training_state
    if training is None:
        raise ModelFormatError("the file has a state of early stopping, and no training state")
    rule = _object(document["rule"], "early stopping rule", [each.name for each in fields(stopping.EarlyStopping)])
    if abs(_typed(document["sign"], float, "sign")) != 1.0:
        raise ModelFormatError("the early stopping has a wrong sign")
    if (document["epoch"] is None) != (document["value"] is None):
        raise ModelFormatError("the early stopping has one of epoch and value without the other")
    kept = [np.zeros_like(network._parameters), np.zeros_like(training.slots),
            _check.vector(_numbers(document["numbers"]), "numbers", length=training.numbers.size)]
    if document["epoch"] is not None:
        _non_negative(document["epoch"], "best epoch")
        _fill(network._split(kept[0]), file.take_layers(network.sizes, network.bias, "best."))
        kept[1] = _take_slots(file, network, len(training.slots), "best.")
    value, reference = (None if document[key] is None else _check.real(document[key], key)
                        for key in ("value", "reference"))
    return stopping.StoppingState(stopping.EarlyStopping(**rule), float(document["sign"]), kept, value,
                                  document["epoch"], reference, _non_negative(document["waited"], "waited"))


def _fill(views, values):
    """Copy lists (weights, biases) of arrays into views of the same shapes."""
    for view, array in zip(views[0] + views[1], values[0] + values[1]):
        if view is not None:
            view[...] = array


def _optimizer(name, hyper):
    """The optimizer of a file, with every hyper-parameter of its rule and no other."""
    default = optimizers.Optimizer(_typed(name, str, "optimizer's name"))
    _object(hyper, f"hyper-parameters of {name}", default.hyper)
    return optimizers.Optimizer(name, **{key: _typed(hyper[key], (int, float), key) for key in default.hyper})


def _schedule_state(schedule, state):
    """Refuse a state that is not one of this schedule; None is a function, which has none."""
    if schedule is not None:
        schedules.from_dict(_object(schedule, "schedule")).check_state(state)
    elif state:
        raise ModelFormatError("the file has the state of a schedule, and no schedule")


def _history(file):
    document = file.document["history"]
    if document is None:
        return None
    document = _object(document, "history", ("columns", "length", "integers", "stop_reason", "best_epoch"))
    names = _names(document["columns"], "history's columns")
    whole = _names(document["integers"], "history's integers")
    length = _non_negative(document["length"], "history's length")
    if names[:len(COLUMNS)] != list(COLUMNS) or not set(whole) <= set(names):
        raise ModelFormatError(f"the history's columns must be {', '.join(COLUMNS)} and others, and its integers "
                               "among them")
    columns = {name: _column(file, name, length, name in whole) for name in names}
    best = document["best_epoch"]
    return History.from_dict({
        **columns, "stop_reason": _typed(document["stop_reason"], (str, type(None)), "stop_reason"),
        "best_epoch": None if best is None else _non_negative(best, "history's best_epoch")})


def _names(value, what):
    """A list of different names that a history's columns may have."""
    names = [_typed(name, str, what) for name in _typed(value, list, what)]
    for name in names:
        if not name.isidentifier():
            raise ModelFormatError(f"the history's column {name!r} has no possible name")
        if hasattr(History, name) or name in ("_names", "stop_reason", "best_epoch"):
            raise ModelFormatError(f"the history's column {name!r} is the name of something else")
    if len(set(names)) < len(names):
        raise ModelFormatError(f"the {what} name one twice")
    return names


def _column(file, name, length, whole):
    values = file.take(f"history.{name}", (length,), finite=whole).tolist()
    if whole:
        if not all(value.is_integer() for value in values):
            raise ModelFormatError(f"the history's column {name!r} must hold whole numbers")
        return [int(value) for value in values]
    return [None if math.isnan(value) else value for value in values]
