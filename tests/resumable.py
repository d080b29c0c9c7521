"""Trainings that are broken off and go on in another process; `test_resume.py` runs this file as a program.

    python tests/resumable.py second FOLDER     train the second part of every configuration whose file is in FOLDER
    python tests/resumable.py killed PATH       train from the checkpoint at PATH, or from the start, until killed
"""

import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
import safetensors.numpy

import backprop as bp
from backprop import model_file

FIRST, SECOND = 17, 23
LONG = 2500                  # epochs of the training that is killed
SCHEDULES = {
    "none": None, "constant": "constant", "step": bp.schedules.step(every=7), "exponential": "exponential",
    "cosine": bp.schedules.cosine(epochs=FIRST + SECOND), "inverse_scaling": "inverse_scaling",
    "reduce_on_plateau": bp.schedules.reduce_on_plateau(patience=2, min_delta=0.02),
    "warm_up": bp.schedules.warm_up(20, then=bp.schedules.reduce_on_plateau(patience=3, min_delta=0.01)),
    "function": lambda epoch, learning_rate: learning_rate / (1 + epoch % 3),
}
CONFIGURATIONS = ["-".join(each) for each in itertools.product(
    bp.optimizers.RULES, SCHEDULES, ["shuffled", "ordered"], ["held", "whole"])]


def examples():
    rng = np.random.default_rng(7)
    return rng.normal(size=(12, 3)), rng.normal(size=(12, 2))


def network():
    return bp.Network([3, 4, 2], hidden="sigmoid", seed=11)


def options(configuration):
    optimizer, schedule, order, validation = configuration.split("-")
    return {"optimizer": optimizer, "schedule": SCHEDULES[schedule], "shuffle": order == "shuffled",
            "validation": 0.25 if validation == "held" else None,
            "batch_size": "full" if optimizer == "rprop" else 4, "l2": 1e-3, "clip_norm": 5.0}


def untimed(history):
    """A history as plain lists, without what no two runs share."""
    times = ("seconds", "examples_per_second")
    return {name: values for name, values in history.to_dict().items() if name not in times}


def result(network, history):
    """What must be equal to the bit, in kinds that JSON has."""
    return {"parameters": network.parameters.tobytes().hex(), "history": untimed(history),
            "predictions": network.predict(examples()[0]).tobytes().hex()}


def long_options():
    return {"optimizer": "adam", "batch_size": 5, "validation": 0.25, "schedule": "reduce_on_plateau", "metrics": "r2",
            "early_stopping": LONG, "l2": 1e-4}


def second(folder):
    for path in Path(folder).glob("*.safetensors"):
        again = bp.load(path)
        first = again.history
        history = first + again.train(*examples(), epochs=SECOND, **options(path.stem))
        path.with_suffix(".json").write_text(json.dumps(result(again, history)))


def killed(path):
    assert safetensors.numpy.save and model_file.save    # loaded before the clock starts, not at the first save
    again = bp.load(path) if Path(path).exists() else network()
    print("ready", flush=True)
    again.train(*examples(), epochs=LONG - again.epochs_trained, checkpoint_path=path, checkpoint_every=3,
                callbacks=lambda state: time.sleep(2e-4), **long_options())


if __name__ == "__main__":
    {"second": second, "killed": killed}[sys.argv[1]](sys.argv[2])
