"""Going on from a checkpoint with other data or options is refused where it would replace the checkpoint."""

import os

import numpy as np
import pytest

import backprop as bp
from backprop.errors import CheckpointMismatchError
from backprop.options import RECORDED

rng = np.random.default_rng(2)
X, Y = rng.normal(size=(24, 3)), rng.normal(size=(24, 2))
OPTIONS = {"batch_size": 5, "optimizer": "adam", "validation": (X[:4], Y[:4]), "early_stopping": 50, "schedule": "step",
           "dropout": 0.1, "l1": 1e-4, "l2": 1e-4, "clip_norm": 5.0, "max_norm": 9.0,
           "sample_weight": np.arange(24) + 1.0}
OTHER = {"optimizer": ["sgd", bp.optimizers.Adam(beta_1=0.8)], "batch_size": [4, 24], "shuffle": [False],
         "schedule": [None, bp.schedules.step(every=3), lambda epoch, rate: rate], "early_stopping": [None, 49],
         "l1": [0.0], "l2": [2e-4], "dropout": [0.0, 0.2], "clip_norm": [None], "max_norm": [8.0],
         "validation": [None, 0.2, (X[1:5], Y[:4]), (X[:4], Y[:4], np.arange(4) + 1.0)], "weights": [None, X[:, 0]**2],
         "learning_rate": [0.5], "X": [X * 2, X[::-1]], "Y": [Y + 1]}
CASES = [(name, value) for name, values in OTHER.items() for value in values]


def train(net, path, **changed):
    given = {**OPTIONS, "X": X, "Y": Y, "checkpoint_path": path, **changed}
    if "weights" in given:
        given["sample_weight"] = given.pop("weights")
    if given["validation"] is None and given["early_stopping"] is not None:
        given["early_stopping"] = bp.EarlyStopping(50, monitor="loss")
    return net.train(**given)


@pytest.fixture
def path(tmp_path):
    """The checkpoint of a training that was broken off after two epochs."""
    def stop(state):
        if state.epoch == 3:
            raise KeyError

    path = tmp_path / "run"
    with pytest.raises(KeyError):
        train(bp.Network([3, 4, 2], seed=0), path, epochs=9, callbacks=stop)
    return path


@pytest.mark.parametrize("name, value", CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_what_differs_is_named_and_nothing_changes(path, name, value):
    net, file = bp.load(path), path.read_bytes()
    before = net.parameters.tobytes(), net._training_state.to_dict(), net._generator.bit_generator.state
    named = "optimizer" if name == "learning_rate" else name
    with pytest.raises(CheckpointMismatchError, match=f"differs from this one in .*{named}"):
        train(net, path, epochs=7, **{name: value})
    assert (net.parameters.tobytes(), net._training_state.to_dict(), net._generator.bit_generator.state) == before
    assert path.read_bytes() == file
    assert len(train(net, path, epochs=7)) == 7          # the same training goes on


@pytest.mark.parametrize("name, value", CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_another_file_or_none_may_go_on_differently(path, tmp_path, name, value):
    for where in (None, tmp_path / "other"):
        train(bp.load(path), where, epochs=1, **{name: value})


def test_every_recorded_option_has_a_case():
    assert set(RECORDED) == set(OTHER) - {"learning_rate"}


def test_what_does_not_bear_on_the_bits_may_differ(path):
    train(bp.load(path), path, epochs=3, metrics="r2", checkpoint_every=2, n_threads=2, max_updates=8)


def test_only_a_loaded_checkpoint_binds(path):
    net = bp.load(path)
    train(net, path, epochs=2)
    train(net, path, epochs=2, l2=0.5)                   # the same process goes on as it likes
    net.save(path)
    train(bp.load(path), path, epochs=2, l2=0.25)        # and so does a model that was saved after training
    os.unlink(path)
    assert len(train(bp.Network([3, 4, 2], seed=0), path, epochs=2)) == 2
