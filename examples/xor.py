# %% [markdown]
# # Exclusive or, and why a perceptron cannot
#
# A perceptron answers 1 where $w_1 x_1 + w_2 x_2 + b > 0$. Exclusive or asks for
#
# - 0 at (0, 0): $b \le 0$
# - 1 at (1, 0): $w_1 + b > 0$
# - 1 at (0, 1): $w_2 + b > 0$
# - 0 at (1, 1): $w_1 + w_2 + b \le 0$
#
# The two in the middle add up to $w_1 + w_2 + 2 b > 0$, so $w_1 + w_2 + b > -b \ge 0$: the last one cannot hold. No
# line separates the two classes. A hidden layer can fold the plane so that one does.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import arguments, save

import backprop as bp

options = arguments("Exclusive or: a perceptron gets at most three of four right, a network with a hidden layer all")

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
y = np.array([0, 1, 1, 0])
LIMITS = [(-0.5, 1.5), (-0.5, 1.5)]

# %% [markdown]
# ## The perceptron
#
# On separable data the perceptron rule makes a limited number of mistakes. Here it makes them for ever, whatever the
# number of epochs. `average=True` hands out the mean of all the weights it passed, which is three times right.

# %%
perceptron = bp.Perceptron(max_iter=100, average=True, random_state=2)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")             # it warns that it did not converge: that is the point
    perceptron.fit(X, y)
print(f"perceptron: {perceptron.score(X, y) * 4:.0f} of 4 right; "
      f"mistakes in the last five epochs: {perceptron.history_.mistakes[-5:]}")

# %% [markdown]
# ## The network
#
# Two inputs, four hidden units, one output; the lecture's algorithm, one example at a time.

# %%
network = bp.Network([2, 4, 1], hidden="tanh", output="sigmoid", loss="squared_error", seed=3)
film = bp.plot.BoundaryAnimation(X, y, every=16 if options.quick else 6)
history = network.train(X, y, epochs=240, learning_rate=0.5, callbacks=film)
outputs = network.predict(X).ravel()
print(f"network: {np.sum((outputs > 0.5) == y)} of 4 right; outputs {outputs.round(2)}")

# %%
figure, axes = plt.subplots(2, 2, figsize=(9, 7.6), layout="constrained")
bp.plot.hyperplane(perceptron, X, y, ax=axes[0, 0], limits=LIMITS, legend=False)
axes[0, 0].set_title("a perceptron: three of four at best")
bp.plot.decision_boundary(network, X, y, ax=axes[0, 1], limits=LIMITS)
axes[0, 1].set_title("a network with a hidden layer")
axes[0, 1].set_aspect("equal")
for ax in axes[0]:
    ax.set(xticks=[0, 1], yticks=[0, 1])
bp.plot.network(network, ax=axes[1, 0], x=[1, 0], colorbar=False)
axes[1, 0].set_title("its answer to (1, 0); dashed: negative weights")
bp.plot.history(history, ax=axes[1, 1])
axes[1, 1].set_title("how it learned")
save(figure, options.out / "xor.png")

# %% [markdown]
# The boundary while it is learned:

# %%
film.save(options.out / "xor.gif", fps=8)
print(f"animation: {options.out / 'xor.gif'}, {len(film.frames)} frames")
