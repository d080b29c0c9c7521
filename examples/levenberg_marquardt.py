# %% [markdown]
# # Regression with Levenberg-Marquardt
#
# For a small network, squared errors and not too many examples, the Levenberg-Marquardt method uses what gradient
# descent throws away: each residual's own gradient. It solves $(J^T J + \lambda I)\, s = -J^T r$ for its step, and gets
# to where first-order methods need very many epochs. `docs/solvers.md` tells when to take it.

# %%
import matplotlib.pyplot as plt
import numpy as np
from common import arguments, save

import backprop as bp

options = arguments("Fit a curve with Levenberg-Marquardt and with Adam, and compare")

# %% [markdown]
# A damped oscillation, sampled at 120 points with a little noise.

# %%
rng = np.random.default_rng(0)


def truth(x):
    return np.exp(-0.4 * x) * np.sin(3 * x)


x = np.sort(rng.uniform(0, 6, 120))
y = truth(x) + rng.normal(0, 0.03, x.size)
scaler = bp.data.Standardizer().fit(x[:, None])
X = scaler.transform(x[:, None])

# %%
runs = {"levenberg_marquardt": 20 if options.quick else 60, "adam": 500 if options.quick else 5000}
networks, histories = {}, {}
for name, epochs in runs.items():
    networks[name] = bp.Network([1, 12, 1], hidden="tanh", output="identity", seed=1)
    histories[name] = networks[name].train(X, y, epochs=epochs, batch_size="full", optimizer=name,
                                           learning_rate=0.01 if name == "adam" else None)
    print(f"{name:20s} {len(histories[name]):5d} epochs, {sum(histories[name].seconds):6.3f} s: mean squared error "
          f"{networks[name].evaluate(X, y):.6f} (the noise's is {0.03 ** 2:.6f})")

# %% [markdown]
# One iteration costs more than one of Adam's epochs, so the fair axis is time.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
grid = np.linspace(0, 6, 400)
axes[0].plot(x, y, ".", color="0.45", label="data")
styles = {"levenberg_marquardt": {"color": "#0072B2", "linestyle": "-"},
          "adam": {"color": "#D55E00", "linestyle": "--"}}
for name, network in networks.items():
    axes[0].plot(grid, network.predict(scaler.transform(grid[:, None])), **styles[name], linewidth=2, label=name)
    axes[1].loglog(np.cumsum(histories[name].seconds), histories[name].loss, **styles[name], linewidth=2, label=name)
axes[0].set(xlabel="x", ylabel="y", title="what was learned")
axes[1].axhline(0.03 ** 2, color="0.45", linestyle=":", label="the noise")
axes[1].set(xlabel="seconds of training", ylabel="mean squared error", title="how fast")
for ax in axes:
    ax.legend(frameon=False)
save(figure, options.out / "levenberg_marquardt.png")
