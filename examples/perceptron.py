# %% [markdown]
# # A perceptron's hyperplane, mistake by mistake
#
# The perceptron rule looks at one example after the other. Where $y_i (w \cdot x_i + b) \le 0$ it steps:
# $w := w + \eta\, y_i x_i$, $b := b + \eta\, y_i$. Each frame of the animation is the hyperplane after one visit that
# changed it. Novikoff's theorem bounds how many there can be: at most $(R/\gamma)^2$.

# %%
import functools

import numpy as np
from common import arguments, save

import backprop as bp

options = arguments("The hyperplane of a perceptron after each of its mistakes, as an animation")

# %% [markdown]
# Two clouds of points, moved apart so that a line with some room separates them.

# %%
rng = np.random.default_rng(16)
n = 30 if options.quick else 80
X = rng.normal(size=(n, 2)) * [1.0, 1.4] + [1.0, 0.5]
direction = np.array([0.8, 0.6])
y = np.where(X @ direction > 1.1, 1, -1)
X += 0.45 * y[:, None] * direction
limits = [(low - 0.6, high + 0.6) for low, high in zip(X.min(axis=0), X.max(axis=0))]

# %%
film = bp.plot.BoundaryAnimation(X, y, draw=functools.partial(bp.plot.hyperplane, limits=limits))
perceptron = bp.Perceptron(shuffle=False)
mistakes = []                                           # of each epoch
while not mistakes or mistakes[-1]:
    mistakes.append(0)
    for x_i, y_i in zip(X, y):
        perceptron.partial_fit([x_i], [y_i], classes=[-1, 1])
        if perceptron.history_.mistakes[-1]:
            mistakes[-1] += 1
            if perceptron.coef_.any():                  # w = 0 is no hyperplane
                film.add(perceptron, f"epoch {len(mistakes)}, mistake {sum(mistakes)}")
print(f"mistakes in each epoch: {mistakes}")

# %% [markdown]
# The bound: R is the length of the longest example (x, 1), and γ the margin of the line that made the data. The best
# line's is no less, so the theorem promises at least this.

# %%
radius = np.sqrt((X ** 2).sum(axis=1).max() + 1)
gamma = (y * (X @ direction - 1.1)).min() / np.hypot(1, 1.1)
print(f"{sum(mistakes)} mistakes in all; at most (R/γ)² = {(radius / gamma) ** 2:.0f} are possible")

# %%
ax = bp.plot.hyperplane(perceptron, X, y, limits=limits)
ax.set_title(f"after {sum(mistakes)} mistakes in {len(mistakes)} epochs")
save(ax.figure, options.out / "perceptron.png")
film.save(options.out / "perceptron.gif", fps=3, size=(7, 4.2))
print(f"animation: {options.out / 'perceptron.gif'}, {len(film.frames)} frames")
