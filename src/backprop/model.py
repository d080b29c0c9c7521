"""A network with what its data need: labels, scaling, names of columns. What the command line trains and saves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from backprop import _check
from backprop.data import Standardizer
from backprop.errors import ModelFormatError
from backprop.network import Network

if TYPE_CHECKING:
    from typing import Any

    from backprop._types import ArrayLike, FloatArray, PathLike

_KINDS = {"U": str, "i": int, "u": int, "b": bool, "f": float}     # of class labels, by NumPy's letters
_DTYPES = {int: ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64"), float: ("float16", "float32")}


@dataclass(eq=False)
class Model:
    """A network that takes raw data and answers in the labels or units of the target.

    Attributes
    ----------
    network : Network
    classes : ndarray or None
        (n_L,) class labels, one per output of the network; None for regression.
    scaler : Standardizer or None
        Of the inputs.
    target_scaler : Standardizer or None
        Of the targets, in regression.
    feature_names : list of str or None
        Names of the n_0 columns.
    target : str, int or None
        The target's column, by name or position, as `bp.data.load` takes it.
    record : dict
        How the model came to be, in kinds that JSON has.
    columns : list of backprop.columns.Column or None
        The columns of the table that the inputs are made of, where some hold categories or a value for missing cells;
        `predict` then takes rows of that table, texts and numbers. None: the table's columns are the inputs.

    Examples
    --------
    >>> import backprop as bp
    >>> network = bp.Network([1, 2], loss="log_loss", init=([[[1.0, -1.0]]], None))
    >>> model = bp.Model(network, classes=["no", "yes"])
    >>> model.predict([[3.0], [-3.0]])
    array(['no', 'yes'], dtype='<U3')
    """

    network: Network
    classes: np.ndarray | None = None
    scaler: Standardizer | None = None
    target_scaler: Standardizer | None = None
    feature_names: list | None = None
    target: str | int | None = None
    record: dict = field(default_factory=dict)
    columns: list | None = None

    def __post_init__(self):
        if not isinstance(self.network, Network):
            raise TypeError(f"network must be a Network, got {type(self.network).__name__}")
        for name in ("feature_names", "columns"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple, np.ndarray, type(None))) or getattr(value, "ndim", 1) == 0:
                raise TypeError(f"{name} must be a list, got {type(value).__name__}")
        if self.columns is not None and not all(hasattr(column, "width") for column in self.columns):
            raise TypeError("columns must be a list of backprop.columns.Column")
        if self.target is not None and not isinstance(self.target, str):
            self.target = _check.integer(self.target, "target")
        n_inputs, n_outputs = self.network.sizes[0], self.network.sizes[-1]
        if self.classes is not None:
            self.classes = _text(_check.labels(self.classes, "classes"))
            if self.classes.dtype.kind not in _KINDS:
                raise TypeError(f"classes must be strings, integers, bools or floats, got dtype {self.classes.dtype}")
            if len(self.classes) != n_outputs or len(np.unique(self.classes)) != n_outputs:
                raise ValueError(f"classes must be {n_outputs} different labels, one per output, "
                                 f"got {len(self.classes)}")
        for name, width in (("scaler", n_inputs), ("target_scaler", n_outputs)):
            scaler = getattr(self, name)
            if scaler is not None and getattr(scaler, "n_features_in_", None) != width:
                kind = ValueError if isinstance(scaler, Standardizer) else TypeError
                raise kind(f"{name} must be a Standardizer fitted to {width} columns, got {scaler!r}")
        if self.feature_names is not None and len(self.feature_names) != n_inputs:
            raise ValueError(f"feature_names has {len(self.feature_names)} names, expected {n_inputs}")
        if self.columns is not None and sum(column.width for column in self.columns) != n_inputs:
            raise ValueError(f"the columns make {sum(column.width for column in self.columns)} inputs, "
                             f"and the network has {n_inputs}")

    def _parts(self):
        """(what, text) of everything beside the network."""
        parts = []
        if self.classes is not None:
            parts.append(("classes", _check.shown(self.classes.tolist())))
        if self.target is not None:
            parts.append(("target", repr(self.target)))
        if self.feature_names is not None:
            parts.append(("features", _check.shown(self.feature_names)))
        for name in ("scaler", "target_scaler"):
            if getattr(self, name) is not None:
                parts.append((name, repr(getattr(self, name))))
        return parts

    def __repr__(self):
        return f"Model({', '.join([repr(self.network), *[f'{what}={text}' for what, text in self._parts()]])})"

    def _repr_html_(self):
        from backprop import _html

        return self.network._repr_html_() + _html.table(("model", ""), self._parts())

    def outputs(self, X: ArrayLike) -> FloatArray:
        """(n, d) raw rows -> (n, n_L): probabilities of the classes, or values in the target's units."""
        return self.outputs_of(self.inputs(X))

    def inputs(self, X: ArrayLike) -> ArrayLike:
        """(n, d) raw rows -> (n, n_0) inputs: what `columns` make of them, unscaled."""
        if self.columns is None:
            return X
        from backprop.columns import encode

        return encode(self.columns, X)

    def outputs_of(self, X: ArrayLike) -> FloatArray:
        """(n, n_0) inputs, unscaled -> (n, n_L) as `outputs`."""
        X = _check.matrix(X, columns=self.network.sizes[0], of="the model's inputs")
        Y = self.network.predict(X if self.scaler is None else self.scaler.transform(X))
        return Y if self.target_scaler is None else self.target_scaler.inverse_transform(Y)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels or values.

        Parameters
        ----------
        X : array_like
            (n, n_0) inputs as they are in the data, unscaled; (n, len(columns)) cells where the model has `columns`.

        Returns
        -------
        ndarray
            (n,) labels of the most probable classes, the first of equals; in regression (n,) values, or (n, n_L) where
            the network has several outputs.
        """
        Y = self.outputs(X)
        if self.classes is not None:
            return self.classes[Y.argmax(axis=1)]
        return Y[:, 0] if Y.shape[1] == 1 else Y

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """(n, n_0) raw inputs -> (n, n_L) probabilities of the classes, in the order of `classes`."""
        if self.classes is None:
            raise ValueError("predict_proba needs a model with classes; this one is a regression")
        return self.outputs(X)

    def save(self, path: PathLike) -> None:
        """Write the model to one file, atomically, as `Network.save` does; `backprop.load` reads it back."""
        from backprop import model_file

        model_file.save(path, self)

    def _file_parts(self):
        """(kind, network, properties) for the model file."""
        classes = None if self.classes is None else labels_document(self.classes)
        columns = {} if self.columns is None else {"columns": [column.to_dict() for column in self.columns]}
        return "model", self.network, {
            **columns, "classes": classes, "feature_names": self.feature_names, "target": self.target,
            "record": self.record,
            **{name: None if scaler is None else scaler.to_dict()
               for name, scaler in (("scaler", self.scaler), ("target_scaler", self.target_scaler))}}

    @classmethod
    def _from_file(cls, network, properties):
        """The model of a file's properties; ValueError or TypeError for what is none."""
        keys = {"classes", "feature_names", "target", "record", "scaler", "target_scaler"}
        if set(properties) - {"columns"} != keys:
            raise ModelFormatError(f"the properties of a model are {', '.join(sorted(keys))}, "
                                   f"and the file has {', '.join(sorted(properties))}")
        names, target, record = properties["feature_names"], properties["target"], properties["record"]
        if not (names is None or isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ModelFormatError("the feature_names must be null or a list of strings")
        if isinstance(target, bool) or not isinstance(target, (str, int, type(None))) or not isinstance(record, dict):
            raise ModelFormatError("the target must be a column's name or position, and the record an object")
        scalers = {name: None if properties[name] is None else Standardizer.from_dict(properties[name])
                   for name in ("scaler", "target_scaler")}
        return cls(network, classes=labels_of(properties["classes"]), feature_names=names, target=target, record=record,
                   columns=_columns(properties.get("columns")), **scalers)


def _columns(document):
    """Columns from the file; None for a model that has none."""
    if document is None:
        return None
    from backprop.columns import Column

    if not isinstance(document, list):
        raise ModelFormatError("the columns must be a list")
    return [Column.from_dict(column) for column in document]


def _text(labels):
    """Objects that are all text, as a frame's are, as an array of text; anything else as it is."""
    return labels.astype(str) if labels.dtype.kind == "O" and all(type(each) is str for each in labels) else labels


def labels_document(labels: np.ndarray) -> dict[str, Any]:
    """Class labels for the file; TypeError where they are of a kind that JSON does not have."""
    labels = _text(labels)
    kind = _KINDS.get(labels.dtype.kind)
    if labels.dtype.kind == "O" and all(type(each) is int for each in labels):      # beyond NumPy's integers
        kind = int
    if kind is None:
        raise TypeError(f"classes must be strings, integers, bools or floats, got dtype {labels.dtype}")
    narrow = {"dtype": labels.dtype.name} if labels.dtype.name in _DTYPES.get(kind, ()) else {}
    return {"kind": kind.__name__, "labels": labels.tolist(), **narrow}


def labels_of(document: Any) -> np.ndarray | None:
    """Class labels from the file: an array of the kind that was saved."""
    if document is None:
        return None
    kinds = {kind.__name__: kind for kind in (str, int, bool, float)}
    if not isinstance(document, dict) or set(document) - {"dtype"} != {"kind", "labels"} \
            or document["kind"] not in kinds:
        raise ModelFormatError(f"the classes must have a kind, one of {', '.join(kinds)}, and labels")
    kind, labels = kinds[document["kind"]], document["labels"]
    if not isinstance(labels, list) or not all(type(label) is kind for label in labels):
        raise ModelFormatError(f"the class labels must be a list of {kind.__name__}")
    out = _check.integers(labels) if kind is int and labels else np.array(
        labels, {str: str, int: np.int64, bool: np.bool_, float: np.float64}[kind])
    if "dtype" not in document:
        return out
    dtype = document["dtype"]
    if dtype not in _DTYPES.get(kind, ()):
        raise ModelFormatError(f"class labels of {kind.__name__} cannot be {dtype!r}")
    with np.errstate(over="ignore"):
        narrow = out.astype(dtype)
    if narrow.tolist() != labels:
        raise ModelFormatError(f"the class labels do not fit {dtype}")
    return narrow
