"""Scores of predictions against targets, in kinds that JSON has, and as lines of text."""

import numpy as np

from backprop.cli.output import table
from backprop.errors import DataFormatError


def scores(model, data, path=None):
    """The scores of a Table's inputs under the model.

    Of classes: ``rows``, ``right``, ``accuracy``, ``f1`` (the mean over the classes that occur among targets or
    predictions), ``per_class`` and ``confusion_matrix``; of values: ``rows``, ``mae``, ``rmse``, ``r2``.
    """
    if model.classes is None:
        return {"rows": len(data.X), **_of_values(np.reshape(data.y, (len(data.X), -1)), model.outputs_of(data.X))}
    true = true_classes(model, data, path)
    return {"rows": len(data.X), **_of_classes(model.classes.tolist(), true, model.outputs_of(data.X).argmax(axis=1))}


def true_classes(model, data, path=None):
    """(n,) numbers of the classes of the targets; an error, with the row's place, for a label the model has not."""
    column = {label: i for i, label in enumerate(model.classes.tolist())}
    labels = (data.y.astype(str) if model.classes.dtype.kind == "U" else data.y).tolist()
    unknown = next((row for row, label in enumerate(labels) if label not in column), None)
    if unknown is not None:
        why = (f"the target {labels[unknown]!r} is none of the model's classes, "
               f"{', '.join(map(str, list(column)[:20]))}")
        if data.lines is None:
            raise ValueError(f"{path or 'the data'}, row {unknown}: {why}")
        raise DataFormatError(why, path=path, line=int(data.lines[unknown]), column=data.target_column)
    return np.array([column[label] for label in labels], np.intp)


def _of_classes(classes, true, predicted):
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(matrix, (true, predicted), 1)
    right, given, found = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        precision, recall, f1 = (np.where(whole > 0, part / whole, 0.0) for part, whole in
                                 ((right, found), (right, given), (2 * right, found + given)))
    occurs = found + given > 0
    return {"right": int(right.sum()), "accuracy": int(right.sum()) / len(true), "f1": float(f1[occurs].mean()),
            "per_class": [{"class": label, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
                          for label, p, r, f, n in zip(classes, precision, recall, f1, given)],
            "confusion_matrix": matrix.tolist()}


def _of_values(Y, predicted):
    """MAE, RMSE and R2 = 1 - Σ (y - y')² / Σ (y - mean)², None for targets that are all equal."""
    if Y.shape != predicted.shape:
        raise ValueError(f"the data have {Y.shape[1]} targets per row, and the model gives {predicted.shape[1]}")
    residual, spread = Y - predicted, Y - Y.mean(axis=0)
    unit = max(float(np.abs(residual).max()), float(np.abs(spread).max()), np.finfo(float).tiny)
    residual, spread = residual / unit, spread / unit     # no square overflows
    total = float(np.square(spread).sum())
    return {"mae": unit * float(np.abs(residual).mean()), "rmse": unit * float(np.sqrt(np.square(residual).mean())),
            "r2": 1.0 - float(np.square(residual).sum()) / total if total > 0.0 else None}


def summary(found):
    """The scores that are single numbers, for a record."""
    return {key: value for key, value in found.items() if key not in ("confusion_matrix", "per_class")}


def pairs_of(found, what=""):
    """(name, value) of the scores that are single numbers."""
    if "accuracy" in found:
        yield f"{what}accuracy", f"{found['accuracy']:.4f} ({found['right']:,} of {found['rows']:,})"
        yield f"{what}F1", f"{found['f1']:.4f} (mean over the classes)"
    else:
        yield f"{what}MAE", f"{found['mae']:.6g}"
        yield f"{what}RMSE", f"{found['rmse']:.6g}"
        yield f"{what}R2", "undefined (all targets are equal)" if found["r2"] is None else f"{found['r2']:.4f}"


def matrix_lines(found):
    """The confusion matrix as lines of text; nothing for a regression."""
    if "confusion_matrix" not in found:
        return []
    labels = [row["class"] for row in found["per_class"]]
    return ["confusion matrix (a row per true class, a column per predicted class):",
            *table([["", *labels], *([label, *row] for label, row in zip(labels, found["confusion_matrix"]))])]


def class_lines(found):
    """Precision, recall and F1 of each class as lines of text; nothing for a regression."""
    if "per_class" not in found:
        return []
    return table([["class", "precision", "recall", "F1", "rows"],
                  *([row["class"], *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")), f"{row['rows']:,}"]
                    for row in found["per_class"])])
