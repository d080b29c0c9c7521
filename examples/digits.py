# %% [markdown]
# # Handwritten digits
#
# A network with one hidden layer learns three quarters of the 1,797 digits that come with the package, is tested on the
# others, and is saved. `make demo` runs this.

# %%
from pathlib import Path

import numpy as np
from common import arguments, save

import backprop as bp

options = arguments("Train a network on the bundled digits, test it, and save it", out=Path("."))
path = options.out / "digits-model.safetensors"
epochs = 10 if options.quick else 30

# %%
X, y = bp.data.digits()
X_train, X_test, y_train, y_test = bp.data.split(X, y, test_size=0.25, stratify=True, seed=0)
print(f"{len(X_train)} digits to learn from, {len(X_test)} to test on, {X.shape[1]} pixels each")

# %%
net = bp.Network([64, 32, 10], hidden="tanh", loss="log_loss", seed=0)
print(net.summary())


def show_progress(state):
    if state.epoch == 1 or state.epoch % 5 == 0:
        loss, seconds = state.logs["loss"], state.logs["seconds"]
        print(f"  epoch {state.epoch:2d} of {epochs}: loss {loss:.4f}, {1000 * seconds:.1f} ms")


history = net.train(X_train, bp.data.one_hot(y_train), epochs=epochs, batch_size=10, learning_rate=0.3,
                    callbacks=show_progress)

# %%
predicted = net.predict(X_test).argmax(axis=1)
print(f"\nTest accuracy: {(predicted == y_test).mean():.4f}")
counts = np.zeros((10, 10), dtype=int)
np.add.at(counts, (y_test, predicted), 1)
print("\nConfusion matrix (row: the digit, column: the network's answer)")
print("     " + "".join(f"{digit:4d}" for digit in range(10)))
for digit, row in enumerate(counts):
    print(f"{digit:4d} " + "".join(f"{count:4d}" if count else "   ." for count in row))

# %%
net.save(path)
print(f"\nThe network is saved as {path}. To use it:")
print(f"  .venv/bin/backprop info {path}")
print("  .venv/bin/python -c \"import backprop as bp; X, y = bp.data.digits(); "
      f"print(bp.load('{path}').predict(X[:5]).argmax(axis=1), y[:5])\"")

# %% [markdown]
# What the hidden units look for, how the loss fell, and which digits are taken for which. Pictures need matplotlib; the
# rest of this example does not.

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("\nNo figure: pip install 'backprop-core[plot]'")
else:
    figure, axes = plt.subplot_mosaic([["loss", "weights"], ["answers", "weights"]], figsize=(10, 6.2),
                                      layout="constrained", width_ratios=(1, 1.35), height_ratios=(1, 1.6))
    bp.plot.history(history, ax=axes["loss"], log=True)
    bp.plot.confusion_matrix(y_test, predicted, ax=axes["answers"])
    bp.plot.weights(net, ax=axes["weights"])
    print()
    save(figure, options.out / "digits.png")
