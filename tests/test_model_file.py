"""The model file: what is saved comes back to the bit, training goes on to the bit, nothing damaged is ever loaded."""

import copy
import errno
import hashlib
import json
import os
import pickle
import stat
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

import backprop as bp
from backprop import model_file, optimizers
from backprop.data import Standardizer
from backprop.errors import ModelFormatError, ModelVersionError
from backprop.model import Model

GENERATORS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


def examples(n=23, inputs=5, outputs=3, seed=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, inputs)), rng.normal(size=(n, outputs))


def options(name):
    full = optimizers.Optimizer(name).full_batch_only
    return {"optimizer": name, "batch_size": "full" if full else 4, "shuffle": True, "l2": 1e-4}


def state_of(network):
    """Everything that training goes on from, as comparable bytes and values; the last is the history."""
    training = network._training_state
    slots = None if training is None else [network._compact(slot).tobytes() for slot in training.slots]
    return (network.sizes, network.activations, network.loss, network.bias, network.parameters.tobytes(),
            network.epochs_trained, str(network._generator.bit_generator.state), network._seed, slots,
            None if training is None else training.to_dict(),
            None if network.history is None else network.history.to_dict())


def trained(name="adam", **changed):
    network = bp.Network([5, 4, 3], seed=3, **changed)
    network.train(*examples(), epochs=2, **options(name))
    return network


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# ---- what is saved comes back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", optimizers.NAMES)
@pytest.mark.parametrize("bias", [True, False])
def test_a_network_comes_back_whole(path, name, bias):
    network = trained(name, bias=bias)
    network.save(path)
    again = bp.load(path)
    assert type(again) is bp.Network
    assert state_of(again) == state_of(network)
    X = examples()[0]
    assert again.predict(X).tobytes() == network.predict(X).tobytes()


@pytest.mark.parametrize("network", [
    bp.Network([1, 1], seed=0),
    bp.Network([3, 9, 8, 7, 2], hidden=["relu", "sigmoid", "elu"], output="softmax", loss="log_loss", seed=2**70),
    bp.Network([4, 1], output="sigmoid", loss="log_loss", seed=None),
    bp.Network([2, 3, 1], init="small_normal", loss="half_squared_error", seed=np.int64(5)),
], ids=["smallest", "deep", "no-seed", "numpy-seed"])
def test_an_untrained_network_comes_back(path, network):
    network.save(path)
    again = bp.load(path)
    assert state_of(again) == state_of(network)
    assert again._training_state is None and again.history is None
    if network._seed is not None:
        assert again.reset().parameters.tobytes() == network.copy().reset().parameters.tobytes()


@pytest.mark.parametrize("bias", [True, False])
def test_given_initial_weights_come_back_for_reset(path, bias):
    weights = [np.full((2, 3), 0.5), np.full((3, 1), -0.25)]
    biases = [np.ones(3), np.zeros(1)] if bias else None
    network = bp.Network([2, 3, 1], init=(weights, biases), bias=bias, seed=1)
    start = network.parameters
    network.train([[0.0, 1.0]], [[1.0]], epochs=3)
    network.save(path)
    again = bp.load(path)
    assert again.parameters.tobytes() == network.parameters.tobytes() != start.tobytes()
    assert again.reset().parameters.tobytes() == start.tobytes()


def test_extreme_parameters_keep_their_bits(path):
    network = bp.Network([2, 2], init="zeros", seed=0)
    network.weights[0][...] = [[-0.0, 5e-324], [1.7976931348623157e308, -1e-310]]
    network.save(path)
    assert bp.load(path).parameters.tobytes() == network.parameters.tobytes()


def test_history_comes_back_with_its_kinds(path):
    network = trained()
    network.save(path)
    history = bp.load(path).history
    assert history == network.history
    assert type(history.epoch[0]) is int and type(history.loss[0]) is float and history.stop_reason == "epochs"


def test_of_a_history_cut_by_an_interrupt_the_whole_epochs_are_saved(path):
    network = trained()
    network.history.loss.pop()                           # as when Ctrl-C comes between two columns
    network.history.stop_reason = None
    network.save(path)
    network.history.trim()
    assert bp.load(path).history == network.history and len(network.history) == 1


def confidence(Y, P):
    return np.abs(P).max()


def test_everything_that_training_knows_comes_back(path):
    X, Y = examples()
    network = bp.Network([5, 4, 3], seed=3)
    plateau = bp.schedules.reduce_on_plateau(patience=1, min_delta=np.float64(9))
    schedule = bp.schedules.warm_up(np.int64(2), then=plateau)
    network.train(X, Y, epochs=6, validation=0.2, early_stopping=9, schedule=schedule,
                  metrics=["r2", confidence, "gradient_norm"])
    state = network._training_state
    assert state.split_seed is not None and state.schedule_state["scale"] < 1 and network.history.best_epoch
    network.save(path)
    again = bp.load(path)
    assert state_of(again) == state_of(network)
    assert again.history.keys() == network.history.keys() and again.history.keys()[-1] == "val_confidence"
    assert type(again.history.best_epoch) is int
    assert again.history.gradient_norm == network.history.gradient_norm


def test_what_was_not_measured_comes_back_as_none(path):
    X, Y = examples(outputs=1)
    network = bp.Network([5, 1], seed=3)
    values = iter([1.0, np.nan, 3.0])
    network.train(X, Y, epochs=3, metrics=bp.metrics.Metric("odd", lambda Y, P: next(values)))
    network.save(path)
    again = bp.load(path).history
    assert again.odd == [1.0, None, 3.0] and again.val_loss == [None] * 3


@pytest.mark.parametrize("schedule", [None, *bp.schedules.NAMES, lambda epoch, rate: rate])
def test_schedules_come_back(path, schedule):
    network = bp.Network([5, 4, 3], seed=3)
    network.train(*examples(), epochs=3, schedule=schedule)
    network.save(path)
    assert state_of(bp.load(path)) == state_of(network)


def test_a_schedule_or_loss_of_ones_own_is_refused_by_name(path):
    class Mine(bp.schedules.Schedule):
        def rate(self, epoch, learning_rate, last, state):
            return learning_rate

        def to_dict(self):
            return {"name": "mine"}

    network = bp.Network([5, 4, 3], seed=3)
    network.train(*examples(), schedule=Mine())
    with pytest.raises(ValueError, match="unknown schedule 'mine'"):
        network.save(path)
    network = bp.Network([5, 3], loss=lambda Y, P: (((P - Y)**2).sum(axis=1), 2 * (P - Y)), seed=3)
    with pytest.raises(ValueError, match="loss is a function, which a model file cannot hold"):
        network.save(path)
    assert not path.exists()


@pytest.mark.parametrize("classes", [["b", "a", "ü"], [3, 1, 2], [0.5, 1.5, 2.5]])
def test_a_model_comes_back_whole(path, classes):
    X = examples()[0]
    model = Model(trained(output="softmax", loss="squared_error"), np.array(classes), Standardizer().fit(X),
                  feature_names=["a", "b", "c", 'd"\\\n', "é\ud800"], target="label",
                  record={"rows": 23, "note": [None, 1.5]})
    model.save(path)
    again = bp.load(path)
    assert type(again) is Model
    assert again.classes.tolist() == classes and again.classes.dtype.kind == model.classes.dtype.kind
    assert (again.feature_names, again.target, again.record) == (model.feature_names, model.target, model.record)
    assert again.scaler.mean_.tobytes() == model.scaler.mean_.tobytes()
    assert again.scaler.scale_.tobytes() == model.scaler.scale_.tobytes()
    assert again.target_scaler is None
    assert state_of(again.network) == state_of(model.network)
    assert again.predict(X).tolist() == model.predict(X).tolist()
    assert again.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()


def test_classes_of_bools_and_a_regression_come_back(path):
    Model(bp.Network([2, 2], seed=0), np.array([False, True]), target=-1).save(path)
    again = bp.load(path)
    assert again.classes.dtype == bool and again.target == -1
    X, Y = examples(outputs=1)
    model = Model(bp.Network([5, 1], seed=0), target_scaler=Standardizer().fit(1e6 * Y))
    model.save(path)
    assert bp.load(path).predict(X).tobytes() == model.predict(X).tobytes()
    assert model.predict(X).shape == (23,) and np.abs(model.predict(X)).max() > 1e4
    with pytest.raises(ValueError, match="predict_proba needs a model with classes"):
        model.predict_proba(X)


@pytest.mark.parametrize("wrong, message", [
    ({"classes": ["a"]}, "classes must be 2 different labels"),
    ({"classes": ["a", "a"]}, "classes must be 2 different labels"),
    ({"scaler": Standardizer().fit([[1.0]])},
     r"scaler must be a Standardizer fitted to 3 columns, got Standardizer\(1"),
    ({"scaler": Standardizer()}, "scaler must be a Standardizer fitted to 3 columns"),
    ({"target_scaler": Standardizer().fit([[1.0]])}, "target_scaler must be a Standardizer fitted to 2 columns"),
    ({"feature_names": ["a"]}, "feature_names has 1 names, expected 3"),
])
def test_a_model_refuses_what_does_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        Model(bp.Network([3, 2], seed=0), **wrong)


def test_any_reader_of_safetensors_sees_the_weights(path):
    network = trained("momentum")
    network.save(path)
    tensors = safetensors.numpy.load_file(path)
    for l in (1, 2):
        assert tensors[f"layers.{l}.weight"].tobytes() == np.ascontiguousarray(network.weights[l - 1]).tobytes()
        assert tensors[f"layers.{l}.weight"].shape == (network.sizes[l - 1], network.sizes[l])
        assert tensors[f"layers.{l}.bias"].tobytes() == network.biases[l - 1].tobytes()
        assert tensors[f"optimizer.0.layers.{l}.weight"].shape == (network.sizes[l - 1], network.sizes[l])
    assert all(tensor.dtype == np.float64 for tensor in tensors.values())


def test_the_same_model_makes_the_same_file_and_the_checksum_is_as_documented(tmp_path):
    network = trained()
    network.save(tmp_path / "a")
    network.copy().save(tmp_path / "b")
    bp.load(tmp_path / "a").save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()
    tensors = safetensors.numpy.load_file(tmp_path / "a")
    document = read_document(tmp_path / "a")
    said = document.pop("sha256")
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    for name in sorted(tensors):
        entry = json.dumps([name, "F64", list(tensors[name].shape)], separators=(",", ":"))
        content += f"\n{entry}\n".encode() + tensors[name].astype("<f8").tobytes()
    assert hashlib.sha256(content).hexdigest() == said == model_file.checksum(tmp_path / "a")


def test_there_is_no_class_path_in_the_file(path):
    trained().save(path)
    document = read_document(path)
    assert document["generator"]["name"] == "PCG64" and document["training"]["optimizer"]["name"] == "adam"
    assert b"backprop." not in path.read_bytes() and b"numpy" not in path.read_bytes()


# ---- training goes on to the bit -------------------------------------------------------------------------------


RESUMED = [name for name in optimizers.NAMES if name != "lbfgs"]       # its memory of past steps ends with the call


@pytest.mark.parametrize("name", RESUMED)
def test_resume_is_uninterrupted_training(path, name):
    X, Y = examples()
    whole = bp.Network([5, 4, 3], seed=11)
    whole.train(X, Y, epochs=40, **options(name))
    part = bp.Network([5, 4, 3], seed=11)
    part.train(X, Y, epochs=17, **options(name))
    part.save(path)
    resumed = bp.load(path)
    resumed.train(X, Y, epochs=23, **options(name))
    assert resumed.epochs_trained == 40
    assert state_of(resumed)[:-1] == state_of(whole)[:-1]
    weights_only = bp.Network([5, 4, 3], init=(part.weights, part.biases), seed=11)
    weights_only.train(X, Y, epochs=23, **options(name))
    assert weights_only.parameters.tobytes() != whole.parameters.tobytes()


RESUME = """
import sys
import numpy as np
import backprop as bp
rng = np.random.default_rng(7)
X, Y = rng.normal(size=(23, 5)), rng.normal(size=(23, 3))
network = bp.load(sys.argv[1])
network.train(X, Y, epochs=23, optimizer=sys.argv[2], l2=1e-4,
              batch_size="full" if bp.optimizers.Optimizer(sys.argv[2]).full_batch_only else 4)
print(network.parameters.tobytes().hex())
"""


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "rprop", "levenberg_marquardt"])
def test_resume_in_a_new_process(path, name):
    X, Y = examples()
    network = bp.Network([5, 4, 3], seed=11)
    network.train(X, Y, epochs=17, **options(name))
    network.save(path)
    done = subprocess.run([sys.executable, "-c", RESUME, path, name], capture_output=True, text=True, check=True)
    whole = bp.Network([5, 4, 3], seed=11)
    whole.train(X, Y, epochs=40, **options(name))
    assert done.stdout.strip() == whole.parameters.tobytes().hex()


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_of_numpy_resumes(path, name):
    X, Y = examples()
    network = bp.Network([5, 4, 3], seed=np.random.Generator(getattr(np.random, name)(5)))
    network.train(X, Y, epochs=3)
    network.save(path)
    again = bp.load(path)
    again.train(X, Y, epochs=5)
    network.train(X, Y, epochs=5)
    assert state_of(again)[:-1] == state_of(network)[:-1]
    assert again._generator.random(9).tolist() == network._generator.random(9).tolist()


def test_saving_in_a_callback_is_a_checkpoint(path):
    X, Y = examples()

    def checkpoint(state):
        if state.epoch == 17:
            state.network.save(path)

    network = bp.Network([5, 4, 3], seed=11)
    network.train(X, Y, epochs=40, callbacks=checkpoint, **options("adam"))
    resumed = bp.load(path)
    assert resumed.epochs_trained == 17
    resumed.train(X, Y, epochs=23, **options("adam"))
    assert resumed.parameters.tobytes() == network.parameters.tobytes()


@pytest.mark.parametrize("name", optimizers.NAMES)
@pytest.mark.parametrize("clone", [lambda network: pickle.loads(pickle.dumps(network)), copy.deepcopy, bp.Network.copy],
                         ids=["pickle", "deepcopy", "copy"])
def test_copies_go_on_by_themselves_to_the_same_bits(clone, name):
    X, Y = examples()
    network = trained(name)
    other = clone(network)
    assert state_of(other) == state_of(network)
    before = network.parameters.tobytes()
    other.train(X, Y, epochs=5, **options(name))
    assert network.parameters.tobytes() == before != other.parameters.tobytes()
    network.train(X, Y, epochs=5, **options(name))
    assert state_of(other)[:-1] == state_of(network)[:-1]


# ---- nothing damaged is loaded ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small whole file with every part: its bytes and the state of its network."""
    path = tmp_path_factory.mktemp("tiny") / "tiny"
    network = bp.Network([1, 1], seed=1)
    network.train([[0.5], [1.0]], [[1.0], [0.0]], optimizer="momentum")
    model = Model(network, target="y", feature_names=["x"], scaler=Standardizer().fit([[1.0], [2.0]]))
    model.save(path)
    return path.read_bytes(), state_of(network)


def loaded(path):
    """The state of the loaded network, or None where the file is refused as it should be."""
    try:
        model = bp.load(path)
    except ModelFormatError:
        return None
    assert (model.feature_names, model.target, model.scaler.to_dict()) == (["x"], "y", {"mean": [1.5], "scale": [0.5]})
    return state_of(model.network)


def test_every_truncation_is_refused(path, tiny):
    path.write_bytes(tiny[0])
    for length in reversed(range(len(tiny[0]))):
        os.truncate(path, length)
        assert loaded(path) is None, length


def test_every_bit_flip_is_refused_or_harmless(path, tiny):
    raw, state = tiny
    path.write_bytes(raw)
    assert loaded(path) == state
    harmless = 0
    with open(path, "r+b", buffering=0) as stream:       # one byte is written, not the file: 16,000 files take a minute
        for position, byte in enumerate(raw):
            for bit in range(8):
                os.pwrite(stream.fileno(), bytes([byte ^ 1 << bit]), position)
                found = loaded(path)
                assert found is None or found == state, (position, bit)
                harmless += found is not None
            os.pwrite(stream.fileno(), bytes([byte]), position)
    assert loaded(path) == state
    assert harmless <= 8                                 # such as the e of 1e-05, which may be an E


def test_what_follows_the_file_is_refused(path, tiny):
    path.write_bytes(tiny[0] + b"\0")
    assert loaded(path) is None
    path.write_bytes(tiny[0] + tiny[0])
    assert loaded(path) is None


def read_document(path):
    with safetensors.safe_open(path, "np") as opened:
        return json.loads(opened.metadata()["backprop"])


def rewrite(path, change, sign=True):
    """Apply `change(document, tensors)` to the file and, unless told otherwise, make its hash right again."""
    tensors, document = safetensors.numpy.load_file(path), read_document(path)
    document = change(document, tensors) or document
    if sign and isinstance(document, dict):
        document["sha256"] = model_file._digest(document, {name: (each.shape, each) for name, each in tensors.items()})
    path.write_bytes(safetensors.numpy.save(tensors, {"backprop": json.dumps(document)}))


def setting(*keys, value):
    def change(document, tensors):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value
    return change


def deleting(key):
    def change(document, tensors):
        del document[key]
    return change


def tensor(name, value):
    def change(document, tensors):
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = np.asarray(value)
    return change


WRONG = {
    "format": (setting("format", value="other"), "format is 'other'"),
    "version 0": (setting("version", value=0), "at least 1"),
    "version true": (setting("version", value=True), "wrong kind"),
    "version text": (setting("version", value="1"), "wrong kind"),
    "unknown key": (setting("more", value=1), "unknown key 'more'"),
    "missing key": (deleting("generator"), "lacks the key 'generator'"),
    "kind": (setting("kind", value="os.system"), "the kind of object is 'os.system'"),
    "properties": (setting("properties", value={"a": 1}), "unknown key 'a'"),
    "model without properties": (setting("kind", value="model"), "properties of a model"),
    "activation": (setting("network", "activations", value=["frob", "identity"]), "unknown hidden 'frob'"),
    "activations short": (setting("network", "activations", value=["tanh"]), "1 activations"),
    "activation kind": (setting("network", "activations", value=[["tanh"], "identity"]), "wrong kind"),
    "loss": (setting("network", "loss", value="frob"), "unknown loss 'frob'"),
    "pair": (setting("network", "activations", value=["softmax", "identity"]), "output layer only"),
    "sizes": (setting("network", "sizes", value=[5, 4, 4]), "shape"),
    "sizes huge": (setting("network", "sizes", value=[2**62, 2**62, 3]), "shape"),
    "sizes zero": (setting("network", "sizes", value=[5, 0, 3]), "sizes"),
    "sizes negative": (setting("network", "sizes", value=[5, -4, 3]), "sizes"),
    "sizes float": (setting("network", "sizes", value=[5, 4.0, 3]), "wrong kind"),
    "sizes empty": (setting("network", "sizes", value=[]), "sizes"),
    "bias off": (setting("network", "bias", value=False), "belongs to nothing"),
    "bias kind": (setting("network", "bias", value=1), "wrong kind"),
    "init": (setting("network", "init", value="frob"), "unknown init 'frob'"),
    "init arrays": (setting("network", "init", value="arrays"), "init.layers.1.weight is missing"),
    "seed": (setting("network", "seed", value=-1), "seed is negative"),
    "epochs": (setting("network", "epochs_trained", value=-1), "epochs_trained is negative"),
    "generator": (setting("generator", "name", value="Generator"), "the generator is 'Generator'"),
    "generator path": (setting("generator", "name", value="mtrand.RandomState"), "the generator is"),
    "generator other": (setting("generator", "name", value="MT19937"), "unknown key|lacks the key"),
    "generator state": (setting("generator", "state", "state", "state", value=2**128), "out of range"),
    "generator flag": (setting("generator", "state", "has_uint32", value=2), "out of range"),
    "generator negative": (setting("generator", "state", "uinteger", value=-1), "out of range"),
    "generator list": (setting("generator", "state", "state", value=[1]), "must be a JSON object"),
    "optimizer": (setting("training", "optimizer", "name", value="frob"), "unknown optimizer 'frob'"),
    "optimizer other": (setting("training", "optimizer", "name", value="sgd"), "unknown key"),
    "optimizer unnamed": (setting("training", "optimizer", value={}), "wrong kind"),
    "hyper": (setting("training", "optimizer", "beta_1", value=1.0), "beta_1 must be less than"),
    "hyper kind": (setting("training", "optimizer", "beta_1", value=None), "wrong kind"),
    "numbers short": (setting("training", "numbers", value=[0.1]), "1 values, expected 6"),
    "numbers kind": (setting("training", "numbers", value=["a"]), "wrong kind"),
    "no training": (setting("training", value=None), "belongs to nothing"),
    "training key": (setting("training", "more", value=1), "unknown key 'more'"),
    "schedule": (setting("training", "schedule", value={"name": "frob"}), "unknown schedule 'frob'"),
    "schedule unnamed": (setting("training", "schedule", value={}), "schedule must be a name"),
    "schedule kind": (setting("training", "schedule", value="step"), "JSON object"),
    "schedule short": (setting("training", "schedule", value={"name": "step", "every": 3}), "every, factor, got every"),
    "schedule value": (setting("training", "schedule", value={"name": "step", "every": 0, "factor": 1}), "at least 1"),
    "schedule state": (setting("training", "schedule_state", value={"scale": 1.0}), "has the state"),
    "state alone": (lambda document, tensors: document["training"].update(schedule=None, schedule_state={"a": 1}),
                    "no schedule"),
    "split seed": (setting("training", "split_seed", value=-1), "split is negative"),
    "visits": (setting("training", "visits", value=-1), "visits must be at least 0"),
    "dropout key": (setting("training", "dropout_key", value=2**64), "dropout_key must be at most"),
    "slot missing": (tensor("optimizer.1.layers.2.bias", None), "optimizer.1.layers.2.bias is missing"),
    "history column": (setting("history", "columns", value=["a b"]), "no possible name"),
    "history method": (setting("history", "columns", value=["to_dict"]), "name of something else"),
    "history class": (setting("history", "columns", value=["__class__"]), "name of something else"),
    "history names": (setting("history", "columns", value=["_names"]), "name of something else"),
    "history short": (setting("history", "columns", value=["epoch", "loss"]), "and others"),
    "history twice": (lambda document, tensors: document["history"]["columns"].append("loss"), "name one twice"),
    "history integers": (setting("history", "integers", value=["loss"]), "must hold whole numbers"),
    "history unmeasured": (setting("history", "integers", value=["val_loss"]), "NaN or infinity"),
    "history integer names": (setting("history", "integers", value=["other"]), "among them"),
    "history length": (setting("history", "length", value=3), "shape"),
    "history reason": (setting("history", "stop_reason", value=1), "wrong kind"),
    "history best": (setting("history", "best_epoch", value=-1), "negative"),
    "weight NaN": (tensor("layers.1.weight", np.full((5, 4), np.nan)), "NaN or infinity"),
    "weight inf": (tensor("layers.2.bias", np.array([1.0, np.inf, 0.0])), "NaN or infinity"),
    "weight shape": (tensor("layers.1.weight", np.zeros((4, 5))), r"shape \[4, 5\], expected \[5, 4\]"),
    "weight float32": (tensor("layers.1.weight", np.zeros((5, 4), np.float32)), "dtype 'F32'"),
    "weight missing": (tensor("layers.2.weight", None), "missing"),
    "bias missing": (tensor("layers.2.bias", None), "missing"),
    "extra tensor": (tensor("extra", np.zeros(1)), "extra belongs to nothing"),
    "extra dimension": (tensor("extra", np.zeros((1, 1, 1))), "3 dimensions"),
    "list": (lambda document, tensors: [document], "must be a JSON object"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_signed_file_of_nonsense_is_refused(path, case):
    trained().save(path)
    change, message = WRONG[case]
    rewrite(path, change)
    with pytest.raises(ModelFormatError, match=message) as caught:
        bp.load(path)
    assert not isinstance(caught.value, ModelVersionError)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("key, value", [("scale", 2.0), ("scale", None), ("waited", 0.5), ("best", "x"), ("more", 1)])
@pytest.mark.parametrize("name", ["reduce_on_plateau", "warm_up"])
def test_a_wrong_state_of_a_plateau_is_refused(path, name, key, value):
    plateau = bp.schedules.reduce_on_plateau()
    network = bp.Network([1, 1], seed=1)
    network.train([[0.5]], [[1.0]], schedule=plateau if name == plateau.to_dict()["name"]
                  else bp.schedules.warm_up(then=plateau))
    network.save(path)
    rewrite(path, setting("training", "schedule_state", key, value=value))
    with pytest.raises(ModelFormatError, match="no possible model"):
        bp.load(path)


def stopping_network():
    """As a callback of the fourth epoch sees it, while early stopping runs."""
    kept = []
    network = bp.Network([5, 4, 3], seed=3)
    network.train(*examples(), epochs=4, validation=0.2, early_stopping=9, optimizer="momentum",
                  callbacks=lambda state: kept.append(state.network.copy()))
    return kept[-1]


def test_early_stopping_under_way_comes_back(path):
    network = stopping_network()
    network.save(path)
    again, state = bp.load(path), network._stopping_state
    found = again._stopping_state
    assert state_of(again) == state_of(network) and state.epoch and state.kept[1].any()
    assert [array.tobytes() for array in found.kept] == [array.tobytes() for array in state.kept]
    assert (found.rule, found.sign, found.value, found.epoch, found.reference, found.waited) == (
        state.rule, state.sign, state.value, state.epoch, state.reference, state.waited)
    assert again.reset()._stopping_state is None


@pytest.mark.parametrize("change, message", [
    (setting("early_stopping", "more", value=1), "unknown key 'more'"),
    (setting("early_stopping", "rule", value={}), "lacks the key"),
    (setting("early_stopping", "rule", "patience", value=0), "patience must be at least 1"),
    (setting("early_stopping", "rule", "mode", value="most"), "unknown mode 'most'"),
    (setting("early_stopping", "sign", value=2.0), "wrong sign"),
    (setting("early_stopping", "sign", value=True), "wrong kind"),
    (setting("early_stopping", "value", value=None), "one of epoch and value"),
    (setting("early_stopping", "value", value="low"), "value must be a real number"),
    (setting("early_stopping", "epoch", value=-1), "best epoch is negative"),
    (setting("early_stopping", "waited", value=0.5), "wrong kind"),
    (setting("early_stopping", "numbers", value=[0.1]), "1 values, expected 2"),
    (setting("early_stopping", value=None), "best.layers.1.bias belongs to nothing"),
    (tensor("best.layers.1.weight", np.full((5, 4), np.inf)), "NaN or infinity"),
    (tensor("best.optimizer.0.layers.2.bias", None), "missing"),
    (lambda document, tensors: (document.update(training=None),
                                [tensors.pop(name) for name in list(tensors) if name.startswith("optimizer")])[0],
     "no training state"),
], ids=range(15))
def test_a_wrong_state_of_early_stopping_is_refused(path, change, message):
    stopping_network().save(path)
    rewrite(path, change)
    with pytest.raises(ModelFormatError, match=message):
        bp.load(path)


@pytest.mark.parametrize("name, keys", [("MT19937", ("state", "pos")), ("Philox", ("buffer_pos",))])
def test_a_generator_that_would_read_foreign_memory_is_refused(path, name, keys):
    bp.Network([1, 1], seed=np.random.Generator(getattr(np.random, name)(5))).save(path)
    rewrite(path, setting("generator", "state", *keys, value=700))
    with pytest.raises(ModelFormatError, match=f"generator's {keys[-1]} is out of range"):
        bp.load(path)


def test_a_generator_with_too_few_numbers_is_refused(path):
    bp.Network([1, 1], seed=np.random.Generator(np.random.SFC64(5))).save(path)
    rewrite(path, setting("generator", "state", "state", "state", value=[1, 2]))
    with pytest.raises(ModelFormatError, match="2 numbers, expected 4"):
        bp.load(path)


@pytest.mark.parametrize("key, value, message", [
    ("classes", {"kind": "str", "labels": ["a", "b"]}, "3 different labels"),
    ("classes", {"kind": "str", "labels": ["a", 1, "c"]}, "list of str"),
    ("classes", {"kind": "object", "labels": [1, 2, 3]}, "must have a kind"),
    ("classes", {"kind": "int", "labels": [1, 2, 300], "dtype": "int8"}, "do not fit int8"),
    ("scaler", {"mean": [0.0], "scale": [1.0]}, "scaler must be a Standardizer fitted to 5"),
    ("scaler", {"mean": [0.0] * 5, "scale": [0.0] * 5}, "greater than 0"),
    ("scaler", [1], "state must be a dict of mean and scale"),
    ("feature_names", ["a"], "feature_names has 1 names"),
    ("feature_names", [1, 2, 3, 4, 5], "list of strings"),
    ("target", True, "position"),
    ("record", None, "object"),
])
def test_a_signed_model_of_nonsense_is_refused(path, key, value, message):
    Model(trained()).save(path)
    rewrite(path, setting("properties", key, value=value))
    with pytest.raises(ModelFormatError, match=message):
        bp.load(path)


def test_a_newer_format_says_so(path):
    trained().save(path)
    rewrite(path, setting("version", value=2), sign=False)
    with pytest.raises(ModelVersionError, match="format version 2, and this backprop reads versions up to 1"):
        bp.load(path)


def header(raw):
    return len(raw).to_bytes(8, "little") + raw


@pytest.mark.parametrize("raw, message", [
    (b"", "it has 0 bytes"),
    (b"1,2,3\n4,5,6\n", "promises a header"),
    (b"\xff" * 16, "promises a header"),
    ((2**40).to_bytes(8, "little") + b"{}", "promises a header"),
    (header(b"[" * 100_000), "no safetensors header"),
    (header(b'{"a":' + b"[" * 100_000), "not JSON"),
    (header(b'{"a":1,"a":2}'), "names a key twice"),
    (header(b'{"a":NaN}'), "holds NaN"),
    (header(b'{"a":1e999}'), "holds 1e999"),
    (header(b'{"a":' + b"9" * 10_000 + b"}"), "not JSON"),
    (header(b'{"\xff":1}'), "not JSON"),
    (header(b"{}"), "not one that backprop wrote"),
    (header(b'{"__metadata__":{"format":"pt"}}'), "not one that backprop wrote"),
    (header(b'{"__metadata__":{"backprop":"{}","b":"c"}}'), "more entries"),
    (header(b'{"__metadata__":{"backprop":"{"}}'), "the document is not JSON"),
    (header(b'{"__metadata__":{"backprop":"{}"}}'), "format is None"),
], ids=range(16))
def test_other_files_are_refused(path, raw, message):
    path.write_bytes(raw)
    with pytest.raises(ModelFormatError, match=message):
        bp.load(path)


@pytest.mark.parametrize("entry, message", [
    ({"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}, "does not fit its place"),
    ({"dtype": "F64", "shape": [2**60], "data_offsets": [0, 2**63]}, "the tensors take"),
    ({"dtype": "F64", "shape": [2**62, 0], "data_offsets": [0, 0]}, "the tensors take 0 bytes"),
    ({"dtype": "F64", "shape": [1], "data_offsets": [8, 16]}, "does not fit its place"),
    ({"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}, "negative"),
    ({"dtype": "F64", "shape": [True], "data_offsets": [0, 8]}, "wrong kind"),
    ({"dtype": "F64", "shape": [1], "data_offsets": [0]}, "1 offsets"),
    ({"dtype": "F64", "shape": 1, "data_offsets": [0, 8]}, "wrong kind"),
    ({"dtype": "F64", "shape": [1]}, "lacks the key"),
    ({"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}, "dtype 'I64'"),
    ([], "must be a JSON object"),
], ids=range(11))
def test_lying_headers_are_refused_before_allocation(path, entry, message):
    trained().save(path)
    document = json.dumps(read_document(path))
    raw = json.dumps({"__metadata__": {"backprop": document}, "t": entry}).encode()
    path.write_bytes(header(raw) + bytes(8))
    with pytest.raises(ModelFormatError, match=message):
        bp.load(path)


GIBIBYTE = 2**27                        # numbers, which the system would promise without having the memory


@pytest.mark.parametrize("lie", ["header", "tensor", "sizes", "padding"])
def test_a_lie_of_a_gibibyte_is_refused_without_taking_it(path, lie):
    """Sizes that a machine can allocate, so that no MemoryError would tell."""
    trained().save(path)
    bp.load(path)                                        # what it imports is not measured
    raw = path.read_bytes()
    if lie == "header":
        path.write_bytes((90_000_000).to_bytes(8, "little") + raw[8:])
    elif lie == "tensor":
        entry = {"dtype": "F64", "shape": [GIBIBYTE], "data_offsets": [0, 8 * GIBIBYTE]}
        path.write_bytes(header(json.dumps({"__metadata__": {"backprop": json.dumps(read_document(path))},
                                            "t": entry}).encode()) + bytes(8))
    else:
        rewrite(path, setting("network", "sizes", value=[5, GIBIBYTE, 3] if lie == "sizes" else [GIBIBYTE, 4, 3]))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError):
            bp.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_a_header_is_no_longer_than_the_limit(path, monkeypatch):
    trained().save(path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    monkeypatch.setattr(model_file, "MAX_HEADER", length)
    bp.load(path)
    monkeypatch.setattr(model_file, "MAX_HEADER", length - 1)
    with pytest.raises(ModelFormatError, match=f"it promises a header of {length} bytes"):
        bp.load(path)


def test_errors_of_the_system_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError):
        bp.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        bp.load(tmp_path)
    with pytest.raises(TypeError):
        bp.load(3)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFormatError, match="not a regular file"):
        bp.load(tmp_path / "pipe")


# ---- saving is atomic ------------------------------------------------------------------------------------------

def test_a_link_at_the_temporary_name_is_not_followed(path, monkeypatch):
    """Even where somebody has guessed the name."""
    victim = path.with_name("victim")
    victim.write_bytes(b"untouched")
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    path.with_name(f".backprop-{bytes(8).hex()}.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError):
        trained().save(path)
    assert victim.read_bytes() == b"untouched" and not path.exists()


def failing(monkeypatch, name, at, error=errno.ENOSPC):
    """Let the `at`-th call of os.`name` fail, as on a full disk unless told otherwise."""
    real, calls = getattr(os, name), []

    def fail(*args, **kwargs):
        calls.append(args)
        if len(calls) == at:
            raise OSError(error, os.strerror(error))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("name", ["open", "fchmod", "fsync", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch, name):
    old, new = trained("sgd"), trained("adam")
    old.save(path)
    before = path.read_bytes()
    failing(monkeypatch, name, 1)
    with pytest.raises(OSError, match="No space left"):
        new.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_cannot_be_synced_holds_the_new_file(path, monkeypatch):
    trained("sgd").save(path)
    failing(monkeypatch, "fsync", 2)
    network = trained("adam")
    with pytest.raises(OSError, match="No space left"):
        network.save(path)
    assert state_of(bp.load(path)) == state_of(network)
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_cannot_be_read_is_written(path, monkeypatch):
    failing(monkeypatch, "open", 2, errno.EACCES)
    network = trained("adam")
    network.save(path)
    assert state_of(bp.load(path)) == state_of(network)


def test_an_interrupt_while_saving_leaves_the_old_file(path, monkeypatch):
    old = trained("sgd")
    old.save(path)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained("adam").save(path)
    assert state_of(bp.load(path)) == state_of(old)
    assert os.listdir(path.parent) == [path.name]


def test_permissions_follow_the_umask_and_then_stay(path):
    before = os.umask(0o027)
    try:
        trained().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        trained().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)


def test_a_symbolic_link_stays_and_the_file_behind_it_is_replaced(tmp_path):
    (tmp_path / "models").mkdir()
    link, real = tmp_path / "link", tmp_path / "models" / "real"
    link.symlink_to(real)
    trained("sgd").save(link)
    network = trained("adam")
    network.save(link)
    assert link.is_symlink() and not real.is_symlink()
    assert state_of(bp.load(real)) == state_of(network)
    assert os.listdir(real.parent) == ["real"]


def test_saving_refuses_what_could_not_be_loaded(tmp_path, path):
    with pytest.raises(IsADirectoryError):
        trained().save(tmp_path)
    with pytest.raises(FileNotFoundError):
        trained().save(tmp_path / "nowhere" / "model")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="device, a pipe or a socket"):
        trained().save(tmp_path / "pipe")
    network = trained()
    network.weights[0][1, 1] = np.nan
    with pytest.raises(ValueError, match="parameters are not finite"):
        network.save(path)
    with pytest.raises(ValueError, match="too many for a model file"):
        Model(trained(), record={"note": "x" * 60_000_000}).save(path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        Model(trained(), record={"note": float("nan")}).save(path)
    assert not path.exists()


def test_a_foreign_generator_is_refused_by_name(path):
    class Foreign:
        class bit_generator:
            state = {"bit_generator": "Mine"}

    network = bp.Network([1, 1], seed=0)
    network._generator = Foreign
    with pytest.raises(ValueError, match="generator is Mine, which a model file cannot hold"):
        network.save(path)
    assert not path.exists()
