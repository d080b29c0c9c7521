"""What backpropagation did with an example, to look at: gradients, the check of gradients, and the five-step trace."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gradients:
    """Loss and gradients of a batch, as copies.

    Attributes
    ----------
    loss : float
        Weighted mean of the examples' losses.
    weights : list of ndarray
        ∂C/∂W[l], (n_{l-1}, n_l), for l = 1..L.
    biases : list of (ndarray or None)
        ∂C/∂b[l], (n_l,); None without bias.
    inputs : ndarray
        (n, n_0): row i is ∂C_i/∂x_i, the gradient of that example's own loss.
    """

    loss: float
    weights: list
    biases: list
    inputs: np.ndarray

    def __repr__(self):
        shapes = {name: [None if part is None else part.shape for part in getattr(self, name)]
                  for name in ("weights", "biases")}
        return (f"Gradients(loss={self.loss:.6g}, weights of shapes {shapes['weights']}, biases {shapes['biases']}, "
                f"inputs {self.inputs.shape})")


@dataclass(frozen=True)
class GradientCheck:
    """Backpropagation's gradient against central differences.

    Attributes
    ----------
    max_relative_error : float
        Largest ``|analytic - numeric| / max(|analytic|, |numeric|, 1e-4 of the largest |analytic|)`` over the
        parameters.
    analytic, numeric : ndarray
        The gradients compared, in the order of `indices`.
    indices : ndarray
        Which elements of `network.parameters` were compared.
    step : float
        Step of the differences.
    """

    max_relative_error: float
    analytic: np.ndarray
    numeric: np.ndarray
    indices: np.ndarray
    step: float

    def __repr__(self):
        return (f"GradientCheck(max_relative_error={self.max_relative_error:.3g}, parameters={self.indices.size}, "
                f"step={self.step:.3g})")


@dataclass(frozen=True)
class Trace:
    """One example's way through one step of backpropagation, in the lecture's notation; prints as its five steps.

    Lists are indexed by layer, 0..L; a[0], deltas[0] and the gradients and updates of layer 0 are None.

    Attributes
    ----------
    x, y : ndarray
        The example, (n_0,), and its target, (n_L,).
    a, z, deltas : list of ndarray
        Net inputs a[l], activations z[l] (z[0] = x) and deltas δ[l] = ∂C/∂a[l], each (n_l,).
    weight_gradients, bias_gradients : list of ndarray
        ∂C/∂W[l] = z[l-1]ᵀ δ[l] and ∂C/∂b[l] = δ[l].
    weight_updates, bias_updates : list of ndarray
        What a step adds: z[l-1]ᵀ (-η δ[l]) and -η δ[l]; all None without a learning rate.
    weights, biases : list of ndarray
        W[l] and b[l] before the step.
    loss : float
        C.
    learning_rate : float or None
        η.
    """

    x: np.ndarray
    y: np.ndarray
    a: list
    z: list
    deltas: list
    weight_gradients: list
    bias_gradients: list
    weight_updates: list
    bias_updates: list
    weights: list
    biases: list
    loss: float
    learning_rate: float | None
    activations: list
    loss_name: str

    def __repr__(self):
        sizes = "-".join(str(z.size) for z in self.z)
        return f"Trace({sizes}, loss={self.loss:.6g}, learning_rate={self.learning_rate}; print() shows its five steps)"

    def __str__(self):
        return "\n".join(_five_steps(self))

    def _repr_html_(self):
        from backprop import _html

        return _html.preformatted(str(self))


def _numbers(values, limit=8):
    """A few numbers for a line of text."""
    values = np.atleast_1d(values)
    text = "  ".join(f"{v: .6g}" for v in values[:limit])
    return text + (f"  ... ({values.size} in all)" if values.size > limit else "")


def _matrix(lines, values, limit=6):
    lines += [f"        from unit {j}:  {_numbers(row)}" for j, row in enumerate(values[:limit])]
    if len(values) > limit:
        lines.append(f"        ... ({len(values)} rows in all)")


def _parameters(lines, l, W, b):
    lines.append(f"   W[{l}]")
    _matrix(lines, W)
    if b is not None:
        lines.append(f"   b[{l}]      =  {_numbers(b)}")


def _five_steps(t):
    L = len(t.a) - 1
    lines = ["1. Feedforward: a[l] = z[l-1] W[l] + b[l], z[l] = σ(a[l])", f"   z[0] = x  =  {_numbers(t.x)}"]
    for l in range(1, L + 1):
        _parameters(lines, l, t.weights[l], t.biases[l])
        lines += [f"   a[{l}]      =  {_numbers(t.a[l])}",
                  f"   z[{l}]      =  {_numbers(t.z[l])}   ({t.activations[l - 1]})"]
    lines += ["2. Output delta: δ[L] = ∂C/∂y' · σ'(a[L])",
              f"   target y  =  {_numbers(t.y)}", f"   C         =  {t.loss:.10g}   ({t.loss_name})",
              f"   δ[{L}]      =  {_numbers(t.deltas[L])}", "3. Hidden deltas: δ[l] = σ'(a[l]) · (δ[l+1] W[l+1]ᵀ)"]
    lines += [f"   δ[{l}]      =  {_numbers(t.deltas[l])}" for l in range(L - 1, 0, -1)] or ["   (no hidden layer)"]
    lines.append("4. Gradients: ∂C/∂W[l] = z[l-1]ᵀ δ[l], ∂C/∂b[l] = δ[l]")
    for l in range(1, L + 1):
        lines.append(f"   ∂C/∂W[{l}]")
        _matrix(lines, t.weight_gradients[l])
        if t.bias_gradients[l] is not None:
            lines.append(f"   ∂C/∂b[{l}]  =  {_numbers(t.bias_gradients[l])}")
    lines.append("5. Update: W[l] := W[l] - η ∂C/∂W[l], b[l] := b[l] - η ∂C/∂b[l]")
    if t.learning_rate is None:
        return [*lines, "   (no learning rate given: nothing is updated)"]
    lines.append(f"   η = {t.learning_rate:g}")
    for l in range(1, L + 1):
        lines.append(f"   ΔW[{l}]")
        _matrix(lines, t.weight_updates[l])
        if t.bias_updates[l] is not None:
            lines.append(f"   Δb[{l}]     =  {_numbers(t.bias_updates[l])}")
    lines.append("   and so, after the step:")
    for l in range(1, L + 1):
        b = None if t.biases[l] is None else t.biases[l] + t.bias_updates[l]
        _parameters(lines, l, t.weights[l] + t.weight_updates[l], b)
    return lines
