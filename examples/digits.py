"""Train a network on the bundled handwritten digits, test it, and save it. Run it with `make demo`."""

import numpy as np

import backprop as bp

PATH = "digits-model.safetensors"
EPOCHS = 30


def confusion(y, predicted):
    """Counts (10, 10): row = the digit, column = what the network says."""
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (y, predicted), 1)
    return counts


def show_progress(state):
    if state.epoch == 1 or state.epoch % 5 == 0:
        loss, seconds = state.logs["loss"], state.logs["seconds"]
        print(f"  epoch {state.epoch:2d} of {EPOCHS}: loss {loss:.4f}, {1000 * seconds:.1f} ms")


def main():
    X, y = bp.data.digits()
    X_train, X_test, y_train, y_test = bp.data.split(X, y, test_size=0.25, stratify=True, seed=0)
    print(f"{len(X_train)} digits to learn from, {len(X_test)} to test on, {X.shape[1]} pixels each")

    net = bp.Network([64, 32, 10], hidden="tanh", loss="log_loss", seed=0)
    print(net.summary())
    net.train(X_train, bp.data.one_hot(y_train), epochs=EPOCHS, batch_size=10, learning_rate=0.3,
              callbacks=show_progress)

    predicted = net.predict(X_test).argmax(axis=1)
    print(f"\nTest accuracy: {(predicted == y_test).mean():.4f}")
    print("\nConfusion matrix (row: the digit, column: the network's answer)")
    print("     " + "".join(f"{digit:4d}" for digit in range(10)))
    for digit, row in enumerate(confusion(y_test, predicted)):
        print(f"{digit:4d} " + "".join(f"{count:4d}" if count else "   ." for count in row))

    net.save(PATH)
    print(f"\nThe network is saved as {PATH}. To use it:")
    print(f"  .venv/bin/backprop info {PATH}")
    print("  .venv/bin/python -c \"import backprop as bp; X, y = bp.data.digits(); "
          f"print(bp.load('{PATH}').predict(X[:5]).argmax(axis=1), y[:5])\"")


if __name__ == "__main__":
    main()
