# %% [markdown]
# # Fashion-MNIST in under a minute
#
# 60,000 photographs of clothes, 28 x 28 pixels, in ten classes, and 10,000 to test on, by H. Xiao, K. Rasul and R.
# Vollgraf (2017), MIT licence. Debian has them as a package.

# %%
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
from common import arguments, save

import backprop as bp

options = arguments("Train a network on Fashion-MNIST in under a minute",
                    data=("/usr/share/datasets/fashion-mnist", "folder of the four .gz files"))
CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
files = [Path(options.data, f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")]
if not all(file.exists() for file in files):
    sys.exit(f"Fashion-MNIST is not in {options.data}. On Debian and Ubuntu: apt-get install dataset-fashion-mnist\n"
             "Elsewhere: take the four files from https://github.com/zalandoresearch/fashion-mnist (data/fashion) and "
             "say --data FOLDER")

# %%
start = time.perf_counter()
(X_train, y_train), (X_test, y_test) = (bp.data.load(file) for file in files)
if options.quick:
    X_train, y_train, X_test, y_test = X_train[:6000], y_train[:6000], X_test[:2000], y_test[:2000]
X_train /= 255
X_test /= 255
print(f"{len(X_train):,} images to learn from and {len(X_test):,} to test on, read in "
      f"{time.perf_counter() - start:.1f} s")

# %%
net = bp.Network([784, 128, 10], hidden="relu", loss="log_loss", seed=0)
start = time.perf_counter()
history = net.train(X_train, bp.data.one_hot(y_train), epochs=3 if options.quick else 12, batch_size=32,
                    learning_rate=0.2, schedule="cosine", dropout=0.1, max_seconds=40,
                    validation=(X_test, bp.data.one_hot(y_test)),
                    callbacks=lambda state: print(f"  epoch {state.epoch:2d}: loss {state.logs['loss']:.4f}, "
                                                  f"on the test images {state.logs['val_loss']:.4f}, "
                                                  f"{state.logs['seconds']:.2f} s"))
predicted = net.predict(X_test).argmax(axis=1)
print(f"accuracy on the test images: {(predicted == y_test).mean():.4f} after {time.perf_counter() - start:.1f} s "
      f"of training ({history.stop_reason})")

# %%
figure, axes = plt.subplots(1, 3, figsize=(17, 5.4), layout="constrained", width_ratios=(1, 1.1, 1.35))
bp.plot.history(history, ax=axes[0])
bp.plot.weights(net, ax=axes[1], max_units=25)
labels = [CLASSES[c] for c in y_test], [CLASSES[c] for c in predicted]
bp.plot.confusion_matrix(*labels, ax=axes[2], classes=CLASSES, normalize=True)
save(figure, options.out / "fashion_mnist.png")
