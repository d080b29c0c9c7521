"""The loss functions: names, formulas and conditions, from the core's own table (kernels/losses.pxi)."""

import numpy as np

from backprop import _check
from backprop._dispatch import core
from backprop.errors import DivergenceError

TABLE = core.losses()
OWN = "own"                       # the row that takes ∂C/∂y' of a user's loss in place of targets
DOMAINS = tuple(row["domain"] for row in TABLE)
NAMES = tuple(dict.fromkeys(row["name"] for row in TABLE if row["name"] != OWN))


class OwnLoss:
    """A user's loss: f(Y, Y_predicted) -> (losses, derivatives) of a batch.

    Parameters
    ----------
    function : callable
        From (B, n_L) targets and outputs to the losses C of the examples, (B,), and their derivatives ∂C/∂y', (B, n_L).
    """

    def __init__(self, function):
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def __call__(self, Y, P):
        """Checked (losses (B,), derivatives (B, n_L)); DivergenceError where they are not finite."""
        Y = Y.view()
        Y.flags.writeable = False                  # it may be the caller's own array
        with _check.calls("the loss"):
            result = self.function(Y, P)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(f"loss {self.name!r} must return two arrays, the losses and their derivatives, "
                            f"got {type(result).__name__}")
        try:
            each, derivative = (np.asarray(part, dtype=np.float64) for part in result)
        except (TypeError, ValueError) as error:
            raise TypeError(f"loss {self.name!r} must return two arrays of numbers: {error}") from None
        for part, what, shape in ((each, "losses", Y.shape[:1]), (derivative, "derivatives", Y.shape)):
            if part.shape != shape:
                raise ValueError(f"loss {self.name!r} must return {what} of shape {shape}, got {part.shape}")
            if not np.isfinite(part).all():
                raise DivergenceError(f"loss {self.name!r} returned {what} that are not finite")
        return each, np.ascontiguousarray(derivative)


def resolve(loss, output, n_outputs):
    """(number of the core's row, output activation) for a loss and an output activation (None: the loss's natural one).

    Raises ValueError for an unknown name and for a pair whose mathematics does not fit.
    """
    if callable(loss):
        loss = OWN
    else:
        _check.choice(loss, "loss", NAMES)
    rows = [(number, row) for number, row in enumerate(TABLE) if row["name"] == loss]
    if output is None:
        output = rows[0][1]["natural"]
        if output == "softmax" and n_outputs == 1:
            output = "sigmoid"
    if output == "softmax" and n_outputs == 1:
        raise ValueError("output='softmax' needs at least 2 outputs (with one, y' is always 1); use output='sigmoid'")
    for number, row in rows:
        if not row["output"] or output in row["output"]:
            return number, output
    fitting = ", ".join(name for _, row in rows for name in row["output"])
    raise ValueError(f"loss={loss!r} does not go with output={output!r}; it needs output = {fitting}")


def check_targets(Y, number, name="Y"):
    """Raise ValueError, with the row, where targets are outside the domain of a loss."""
    domain = DOMAINS[number]
    if domain == "real":
        return
    loss = TABLE[number]["name"]
    if domain == "unit":
        _refuse((Y < 0) | (Y > 1), Y, name, f"{loss} with a sigmoid output needs targets in [0, 1]")
    elif domain == "nonnegative":
        _refuse(Y < 0, Y, name, f"{loss} needs targets >= 0")
    elif domain == "sign":
        _refuse(np.abs(Y) != 1, Y, name, f"{loss} needs targets -1 or +1")
    else:                                                # a distribution
        _refuse(Y < 0, Y, name, f"{loss} with a softmax output needs targets >= 0")
        total = Y.sum(axis=1)
        bad = np.abs(total - 1) > 1e-6
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"{name}: {loss} with a softmax output needs rows that sum to 1 (see bp.data.one_hot), "
                             f"row {row} sums to {total[row]:.6g}")


def _refuse(bad, Y, name, rule):
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}: {rule}, got {Y[row, column]:.6g} at row {row}, column {column}")
