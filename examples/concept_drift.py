# %% [markdown]
# # Online learning on a stream with concept drift
#
# A network that learns from each example as it comes follows a world that changes; one that was trained once does not.
# The stream is made of real handwritten digits, the bundled ones in random order, and drifts twice at known places:
#
# - an abrupt change of the concept: at first the question is whether a digit is even, then whether it is 5 or more;
# - a gradual change of the input: the scanner is replaced by one that delivers negatives, at first for a few images,
#   after a sixth of the stream for all.
#
# Both networks are tested on each example before it is learned (prequential evaluation, Gama et al. 2013), so that no
# answer profits from its own solution.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from common import arguments, save

import backprop as bp

options = arguments("Online learning, one example at a time, on a stream of digits that drifts twice")

N = 3000 if options.quick else 18000
ABRUPT, GRADUAL = N // 3, 2 * N // 3
WINDOW = N // 40                        # examples that a point of the curve is the mean of


def stream(n, seed=0):
    """(x, y) one after the other, (64,) pixels and (1,) target."""
    X, digit = bp.data.digits()
    rng = np.random.default_rng(seed)
    for t, i in enumerate(rng.integers(len(X), size=n)):
        negative = rng.random() < (t - GRADUAL) / (n / 6)
        target = digit[i] % 2 == 0 if t < ABRUPT else digit[i] >= 5
        yield (1 - X[i] if negative else X[i]), np.array([float(target)])


# %% [markdown]
# `learn_one` is one step of the lecture's algorithm. The frozen network is a copy from just before the first drift.

# %%
online = bp.Network([64, 24, 1], hidden="tanh", output="sigmoid", loss="log_loss", seed=0)
frozen = None
right = np.zeros((2, N), dtype=bool)
seconds = np.zeros(N)
for t, (x, y) in enumerate(stream(N)):
    if t == ABRUPT:
        frozen = online.copy()
    right[0, t] = (online.predict_one(x)[0] > 0.5) == y[0]
    right[1, t] = right[0, t] if frozen is None else (frozen.predict_one(x)[0] > 0.5) == y[0]
    start = time.perf_counter()
    online.learn_one(x, y, learning_rate=0.1)
    seconds[t] = time.perf_counter() - start

# %%
parts = {"before the drift": slice(ABRUPT // 2, ABRUPT), "after the abrupt drift": slice(ABRUPT, GRADUAL),
         "during and after the gradual one": slice(GRADUAL, N)}
for name, part in parts.items():
    print(f"{name:33s} learning on: {right[0, part].mean():.3f} right; frozen: {right[1, part].mean():.3f}")
print(f"one learn_one: {1e6 * np.median(seconds):.1f} µs (median of {N:,})")

# %%
figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
mean = np.array([np.convolve(row, np.full(WINDOW, 1 / WINDOW), "valid") for row in right])
at = np.arange(WINDOW - 1, N)
ax.plot(at, mean[1], color="#D55E00", linestyle="--", linewidth=1.8, label="trained until the drift, then frozen")
ax.plot(at, mean[0], color="#0072B2", linewidth=1.8, label="learning on, one example at a time")
ax.axvline(ABRUPT, color="black", linestyle=":")
ax.axvspan(GRADUAL, GRADUAL + N / 6, color="0.5", alpha=0.25, linewidth=0)
ax.text(ABRUPT, 1.02, "another question", ha="center", va="bottom")
ax.text(GRADUAL + N / 12, 1.02, "more and more negatives", ha="center", va="bottom")
ax.set(xlim=(0, N), ylim=(0.0, 1.0), xlabel="examples so far", ylabel=f"right, of the last {WINDOW}")
ax.legend(loc="lower left", bbox_to_anchor=(ABRUPT / N + 0.01, 0.0), frameon=False)
save(figure, options.out / "concept_drift.png")
