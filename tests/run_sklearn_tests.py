"""Run the installed scikit-learn's own tests of MLPClassifier, MLPRegressor and Perceptron against ours.

    PYTHONPATH=src python tests/run_sklearn_tests.py [pytest's options]

The classes are substituted in scikit-learn's modules before its test files, unmodified, import them from there. What
asserts a private function, or what docs/from-sklearn.md lists as a difference, is in NOT_OURS with its reason and not
run; everything else must pass. The exit status is pytest's, or 1 where NOT_OURS names a test that does not exist.
"""

import sys

import pytest
import sklearn.linear_model
import sklearn.neural_network

import backprop as bp

FILES = ["sklearn.neural_network.tests.test_mlp", "sklearn.linear_model.tests.test_perceptron"]
NOT_OURS = {
    "test_gradient": "calls the private _loss_grad_lbfgs; tests/test_network.py checks gradients",
    "test_mlp_diverging_loss": "a bug: NaN passes in silence through early stopping; here it raises DivergenceError",
    "test_perceptron_l1_ratio": "wants a penalty, and the perceptron rule has none; and compares fits without a "
                                "random_state, whose default is None here and 0 there",
}


class Selection:
    """Leaves out what is in NOT_OURS, by exact name, and notes which of its names there are."""

    def __init__(self):
        self.seen = set()

    def pytest_collection_modifyitems(self, config, items):
        out = [item for item in items if item.name in NOT_OURS]
        self.seen |= {item.name for item in out}
        items[:] = [item for item in items if item.name not in NOT_OURS]
        config.hook.pytest_deselected(items=out)


def main(arguments):
    """pytest's exit status; 1 where NOT_OURS names what is not there, unless options choose some of the tests."""
    sklearn.neural_network.MLPClassifier = bp.MLPClassifier
    sklearn.neural_network.MLPRegressor = bp.MLPRegressor
    sklearn.linear_model.Perceptron = bp.Perceptron
    selection = Selection()
    status = pytest.main(["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--pyargs", *FILES, *arguments],
                         plugins=[selection])
    gone = set() if "-k" in arguments else NOT_OURS.keys() - selection.seen
    if gone:
        print(f"NOT_OURS names what scikit-learn {sklearn.__version__} does not have: {', '.join(sorted(gone))}")
    return 1 if gone else int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
