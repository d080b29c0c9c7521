"""Make boundary.png, the README's figure of a boundary being learned: two spirals, three moments.

Run it where `backprop` and matplotlib are installed::

    python docs/boundary.py [FILE]
"""

import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import backprop as bp

EPOCHS = (1, 60, 400)


def spirals(n=120, turns=1.6, noise=0.08, seed=0):
    """Two intertwined spirals of n points each; X (2 n, 2), y (2 n,)."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * turns * np.sqrt(np.linspace(0.02, 1, n))
    arm = np.column_stack([np.cos(angle), np.sin(angle)]) * (3 * angle / angle.max())[:, None]
    X = np.vstack([arm, -arm]) + rng.normal(0, noise, (2 * n, 2))
    return X, np.repeat([0, 1], n)


def main(path):
    X, y = spirals()
    network = bp.Network([2, 24, 24, 1], hidden="tanh", output="sigmoid", loss="log_loss", seed=0)
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.3), layout="constrained")
    for ax, epoch in zip(axes, EPOCHS):
        network.train(X, y, epochs=epoch - network.epochs_trained, batch_size=8, optimizer="adam", learning_rate=0.01)
        accuracy = ((network.predict(X).ravel() > 0.5) == y).mean()
        bp.plot.decision_boundary(network, X, y, ax=ax, limits=[(-3.4, 3.4)] * 2, legend=False)
        ax.set(title=f"epoch {epoch}: {accuracy:.0%} right", aspect="equal", xlabel="", ylabel="", xticks=[], yticks=[])
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100)
    Image.open(picture).convert("RGB").quantize(128).save(path, optimize=True)      # half the bytes, no loss to see


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
