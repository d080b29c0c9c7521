"""bp.export: what the written files compute is what the model predicts."""

import ctypes
import json
import os
import runpy
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import backprop as bp
from backprop import _dispatch, activations, model_file
from backprop.export import _c_math, _reader

COMPILER = shutil.which(os.environ.get("CC", "cc"))
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
ARITHMETIC = ("-DBACKPROP_NO_FMA",) if _dispatch.variant == "baseline" else ()
ODD = ['"', "\\", "\n\r\t", "*/ x = 1; /*", "??/", "%s%n", "'''\"\"\"", "Größe 字 \U0001f600", "",
       "\x7f\x1b0", "\\u0041", "{0}"]
NAMES = (*activations.HIDDEN, "softmax")
EDGES = np.array([0.0, 5e-324, 1e-310, 1e-17, 1e-8, 0.34, 0.5, 0.99, 1.0, 1.01, 5.0, 22.0, 38.0, 40.1, 700.0])

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc)")


def network(activation, sizes=(5, 9, 3), seed=1, scale=1.0):
    hidden = "tanh" if activation == "softmax" else activation
    net = bp.Network(list(sizes), hidden=hidden, output=activation, seed=seed)
    rng = np.random.default_rng(seed)
    net.set_parameters(rng.normal(0.0, scale / np.sqrt(sizes[0]), net.n_parameters))
    return net


def bundle(classes=None, seed=2, width=4, **more):
    """A Model with a scaler, of as many outputs as classes, or two in regression with scaled targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, width)) * 10.0 ** np.arange(width) + 1000.0
    scaler = bp.data.Standardizer().fit(X)
    if classes is None:
        net = bp.Network([width, 6, 2], seed=seed)
        target_scaler = bp.data.Standardizer().fit(rng.normal(size=(9, 2)) * 5 + 3)
        return bp.Model(net, scaler=scaler, target_scaler=target_scaler), X
    net = bp.Network([width, 6, len(classes)], hidden="gelu", loss="log_loss", seed=seed)
    return bp.Model(net, classes=classes, scaler=scaler, **more), X


def perceptron(k, seed=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 11))
    names = [f"class {i}" for i in range(k)]
    return bp.Perceptron(random_state=0).partial_fit(X, rng.choice(names, 60), classes=names), X


class Compiled:
    """A C file as a shared library."""

    def __init__(self, path, n_outputs, *flags):
        library = f"{path}.so"
        subprocess.run([COMPILER, *STRICT, "-O2", "-shared", "-fPIC", *ARITHMETIC, *flags, str(path), "-o", library,
                        "-lm"], check=True, timeout=120)
        self.library, self.n_outputs = ctypes.CDLL(library), n_outputs
        self.name = path.stem

    def _call(self, function, x, *more):
        return getattr(self.library, f"{self.name}_{function}")(
            np.ascontiguousarray(x).ctypes.data_as(ctypes.c_void_p), *(m.ctypes.data_as(ctypes.c_void_p) for m in more))

    def outputs(self, X):
        Y = np.full((len(X), self.n_outputs), np.nan)
        assert [self._call("outputs", x, y) for x, y in zip(X, Y)] == [0] * len(X)
        return Y

    def indices(self, X):
        return np.array([self._call("predict", x) for x in X])

    def strings(self, what, count):
        return [text.decode() for text in (ctypes.c_char_p * count).in_dll(self.library, f"{self.name}_{what}")]


def golden_run(path, flags=()):
    """Compile and run the golden vectors."""
    program = f"{path}.test"
    subprocess.run([COMPILER, *STRICT, "-O2", "-DBACKPROP_TEST", *flags, str(path), "-o", program, "-lm"], check=True,
                   timeout=120)
    return subprocess.run([program], capture_output=True, text=True, timeout=60)


def same_bits(actual, expected):
    return actual.shape == expected.shape and actual.tobytes() == np.ascontiguousarray(expected).tobytes()


# ---- C -------------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("activation", NAMES)
def test_c_has_the_bits_of_the_library(activation, tmp_path):
    rng = np.random.default_rng(5)
    net = network(activation, scale=0.7 if activation == "exp" else 2.0)
    X = np.concatenate([rng.normal(size=(300, 5)), rng.normal(size=(20, 5)) * 1e-3, np.zeros((1, 5))])
    bp.export.c(net, tmp_path / "net.c")
    assert same_bits(Compiled(tmp_path / "net.c", 3).outputs(X), net.predict(X))
    golden = golden_run(tmp_path / "net.c", ARITHMETIC)
    assert golden.returncode == 0 and golden.stdout == "net: 16 examples, 0 differences\n"


@needs_compiler
@pytest.mark.parametrize("activation", activations.HIDDEN)
def test_c_functions_have_the_bits_of_the_core(activation, tmp_path):
    net = bp.Network([1, 1], output=activation, init=([[[1.0]]], None))
    rng = np.random.default_rng(6)
    x = np.concatenate([EDGES, -EDGES, rng.normal(size=1000), rng.uniform(-60, 60, 1000), rng.uniform(-745, 700, 500)])
    bp.export.c(net, tmp_path / "one.c")
    assert same_bits(Compiled(tmp_path / "one.c", 1).outputs(x[:, None]), net.predict(x[:, None]))


@needs_compiler
@pytest.mark.parametrize("inputs", [1, 7, 8, 9, 16, 67])
def test_c_single_unit_and_perceptron(inputs, tmp_path):
    rng = np.random.default_rng(inputs)
    net = network("sigmoid", (inputs, 1))
    X = rng.normal(size=(100, inputs))
    bp.export.c(net, tmp_path / "unit.c")
    assert same_bits(Compiled(tmp_path / "unit.c", 1).outputs(X), net.predict(X))


@needs_compiler
@pytest.mark.parametrize("k", [2, 4])
def test_c_perceptron(k, tmp_path):
    model, X = perceptron(k)
    bp.export.c(model, tmp_path / "p.c")
    compiled = Compiled(tmp_path / "p.c", 1 if k == 2 else k)
    assert same_bits(compiled.outputs(X), model.decision_function(X).reshape(len(X), -1))
    labels = compiled.strings("labels", k)
    assert [labels[i] for i in compiled.indices(X)] == model.predict(X).tolist()
    assert golden_run(tmp_path / "p.c", ARITHMETIC).returncode == 0


def test_c_says_what_its_outputs_are(tmp_path):
    exported = {"one per label, the largest wins": perceptron(4)[0], "positive for label 1": perceptron(2)[0],
                "probabilities of the labels": bundle(ODD)[0], "the outputs": network("sigmoid")}
    for what, model in exported.items():
        bp.export.c(model, tmp_path / "m.c")
        assert f"), {what}. Returns 0, or -1" in (tmp_path / "m.c").read_text(encoding="utf-8"), what


@needs_compiler
def test_c_scalers_labels_and_features(tmp_path):
    names = [f"column {text}" for text in ODD[:4]]
    model, X = bundle(ODD, feature_names=names)
    bp.export.c(model, tmp_path / "m.c")
    compiled = Compiled(tmp_path / "m.c", len(ODD), "-trigraphs")
    assert same_bits(compiled.outputs(X), model.predict_proba(X))
    assert [ODD[i] for i in compiled.indices(X)] == model.predict(X).tolist()
    assert compiled.strings("labels", len(ODD)) == ODD and compiled.strings("features", 4) == names
    regression, X = bundle()
    bp.export.c(regression, tmp_path / "r.c")
    assert same_bits(Compiled(tmp_path / "r.c", 2).outputs(X), regression.predict(X))


@needs_compiler
@pytest.mark.parametrize("classes, kind", [([-2**63, 0, 2**63 - 1], ctypes.c_int64), ([True, False], ctypes.c_int),
                                           ([0.1, -0.0, 1e308], ctypes.c_double)])
def test_c_labels_of_other_kinds(classes, kind, tmp_path):
    model, X = bundle(classes)
    bp.export.c(model, tmp_path / "m.c")
    compiled = Compiled(tmp_path / "m.c", len(classes))
    assert list((kind * len(classes)).in_dll(compiled.library, "m_labels")) == classes
    assert [classes[i] for i in compiled.indices(X)] == model.predict(X).tolist()


@needs_compiler
@pytest.mark.parametrize("flags", [("-O0",), ("-O3", "-std=gnu17", "-march=native"), ("-Os", "-std=gnu99"),
                                   ("-O2", "-std=c11", "-funroll-loops")], ids=" ".join)
def test_c_bits_do_not_hang_on_the_compiler_options(flags, tmp_path):
    model, X = bundle(["a", "b", "c"])
    bp.export.c(model, tmp_path / "m.c")
    assert same_bits(Compiled(tmp_path / "m.c", 3, *flags).outputs(X), model.predict_proba(X))


@needs_compiler
def test_c_without_fma_keeps_the_bound_and_fast_math_is_refused(tmp_path):
    net = network("gelu", (5, 9, 9, 2))
    bp.export.c(net, tmp_path / "net.c")
    for flags in ((), ("-DBACKPROP_NO_FMA",)):
        assert golden_run(tmp_path / "net.c", flags).returncode == 0
    X = np.random.default_rng(0).normal(size=(100, 5))
    np.testing.assert_allclose(Compiled(tmp_path / "net.c", 2, "-DBACKPROP_NO_FMA").outputs(X), net.predict(X),
                               rtol=1e-12, atol=1e-12)
    with pytest.raises(subprocess.CalledProcessError):
        Compiled(tmp_path / "net.c", 2, "-ffast-math")


@needs_compiler
def test_c_golden_vectors_find_a_small_error(tmp_path):
    net = network("identity")
    bp.export.c(net, tmp_path / "net.c")
    text, bias = (tmp_path / "net.c").read_text(), float(net.biases[1][0])
    assert text.count(bias.hex()) == 1
    (tmp_path / "net.c").write_text(text.replace(bias.hex(), (bias * (1 + 1e-12)).hex()))
    assert golden_run(tmp_path / "net.c", ARITHMETIC).returncode == 1


@needs_compiler
@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm (binutils)")
@pytest.mark.parametrize("activation", NAMES)
def test_c_needs_nothing_but_fma(activation, tmp_path):
    bp.export.c(network(activation), tmp_path / "net.c")
    subprocess.run([COMPILER, *STRICT, "-O2", "-c", "net.c"], check=True, cwd=tmp_path, timeout=60)
    symbols = subprocess.run(["nm", "-u", "net.o"], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert set(symbols.split()) - {"U"} <= {"fma", "memcpy", "memset", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


@needs_compiler
def test_c_refuses_what_is_not_finite(tmp_path):
    bp.export.c(bundle(["a", "b"])[0], tmp_path / "m.c")
    bp.export.c(bp.Network([1, 1], output="exp", init=([[[1.0]]], None)), tmp_path / "e.c")
    compiled, out = Compiled(tmp_path / "m.c", 2), np.empty(2)
    for bad in (np.nan, np.inf, -np.inf):
        x = np.array([1.0, 2.0, bad, 3.0])
        assert compiled._call("outputs", x, out) == compiled._call("predict", x) == -1
    assert Compiled(tmp_path / "e.c", 1)._call("outputs", np.array([800.0]), out) == -1


@needs_compiler
def test_c_keeps_negative_zeros(tmp_path):
    net = bp.Network([1, 2], init="zeros")
    net.biases[0][...] = -0.0
    net.weights[0][...] = -0.0
    bp.export.c(net, tmp_path / "net.c")
    X = np.array([[0.0], [1.0], [-1.0]])
    expected = net.predict(X)
    assert np.signbit(expected).any()
    assert same_bits(Compiled(tmp_path / "net.c", 2).outputs(X), expected)


@pytest.mark.parametrize("file, name", [("model.c", "model"), ("3 my-é.c", "model_3_my__"), ("__x.c", "x"),
                                        ("é.c", "model"), ("a.b.c", "a_b"), ("int main(){}.c", "int_main____")])
def test_c_names_come_from_the_file(file, name, tmp_path):
    bp.export.c(network("tanh"), tmp_path / file)
    text = (tmp_path / file).read_text("ascii")
    assert f"int {name}_outputs(const double *x, double *y);" in text


def test_c_name_as_given(tmp_path):
    bp.export.c(network("tanh"), tmp_path / "net.c", name="Other_2")
    assert "int Other_2_outputs(const double *x, double *y);" in (tmp_path / "net.c").read_text()


@pytest.mark.parametrize("name", ["", "1a", "_a", "a-b", "é", "a b", "a\n", "x;"])
def test_c_wrong_names(name, tmp_path):
    with pytest.raises(ValueError, match="name must be letters"):
        bp.export.c(network("tanh"), tmp_path / "net.c", name=name)
    with pytest.raises(TypeError, match="name"):
        bp.export.c(network("tanh"), tmp_path / "net.c", name=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("label, message", [("a\0b", "NUL"), ("\ud800", "Unicode"), ("x" * 5000, "4095")])
def test_c_labels_that_no_string_literal_holds(label, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        bp.export.c(bundle(np.array([label, "b"], dtype=object).tolist())[0], tmp_path / "net.c")
    assert not list(tmp_path.iterdir())


def test_every_part_of_the_c_is_needed_by_some_activation():
    used = _c_math.source(["finite", "layer", "units", *(name for name in NAMES if name != "identity")])
    assert all(text in used for _, text in _c_math.PARTS.values())


# ---- Python --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", NAMES)
def test_python_agrees(activation, tmp_path):
    rng = np.random.default_rng(7)
    net = network(activation, scale=0.7 if activation == "exp" else 2.0)
    X = rng.normal(size=(100, 5))
    bp.export.python(net, tmp_path / "net.py")
    predict = runpy.run_path(str(tmp_path / "net.py"))["predict"]
    np.testing.assert_allclose([predict(row) for row in X.tolist()], net.predict(X), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", activations.HIDDEN)
def test_python_functions_at_the_edges(activation, tmp_path):
    net = bp.Network([1, 1], output=activation, init=([[[1.0]]], None))
    bp.export.python(net, tmp_path / "one.py")
    predict = runpy.run_path(str(tmp_path / "one.py"))["predict"]
    x = np.concatenate([EDGES, -EDGES, [1e4, -1e4, 1e300, -1e300]])
    expected = net.predict(x[:, None])[:, 0]
    np.testing.assert_allclose([predict([value])[0] for value in x], expected, rtol=1e-13, atol=1e-320)


@pytest.mark.parametrize("make", [
    lambda: bundle(ODD, feature_names=ODD[:4]), lambda: bundle([-7, 2**62, 9]), lambda: bundle([False, True]),
    lambda: bundle([0.5, -1e-300]), lambda: bundle(), lambda: perceptron(2), lambda: perceptron(3),
], ids=["odd strings", "integers", "bools", "floats", "regression", "perceptron", "perceptron of three"])
def test_python_alone(make, tmp_path):
    """The file runs isolated, without site-packages, and answers like the model."""
    model, X = make()
    bp.export.python(model, tmp_path / "model.py")
    code = ("import json, runpy, sys\nbefore = set(sys.modules)\nm = runpy.run_path(sys.argv[1])\n"
            "assert not {'numpy', 'backprop'} & set(sys.modules)\n"
            "print(json.dumps([m['predict'](row) for row in json.loads(sys.argv[2])]))")
    run = subprocess.run([sys.executable, "-S", "-I", "-W", "error", "-c", code, str(tmp_path / "model.py"),
                          json.dumps(X.tolist())], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    expected = model.predict(X)
    if expected.dtype.kind == "f" and expected.ndim == 2:
        np.testing.assert_allclose(json.loads(run.stdout), expected, rtol=1e-12)
    else:
        assert json.loads(run.stdout) == expected.tolist()


def test_python_probabilities_and_features(tmp_path):
    model, X = bundle(["no", "yes"], feature_names=["a", "b", 'c"', "d\n"])
    bp.export.python(model, tmp_path / "model.py")
    written = runpy.run_path(str(tmp_path / "model.py"))
    np.testing.assert_allclose([written["predict_proba"](row) for row in X], model.predict_proba(X), rtol=1e-12)
    assert written["FEATURES"] == model.feature_names and written["CLASSES"] == ["no", "yes"]
    for row, message in (([1.0], "4 numbers, got 1"), ([1.0, 2.0, 3.0, float("nan")], "NaN")):
        with pytest.raises(ValueError, match=message):
            written["predict"](row)


# ---- ONNX ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ort():
    pytest.importorskip("onnx", reason="onnx is not installed")
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def run_onnx(ort, path, X, dtype):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": np.asarray(X, dtype)})))


@pytest.mark.parametrize("dtype, bound", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("activation", NAMES)
def test_onnx_agrees(activation, dtype, bound, ort, tmp_path):
    rng = np.random.default_rng(8)
    net = network(activation, scale=0.7 if activation == "exp" else 1.0)
    X = rng.normal(size=(200, 5)).astype(np.float32).astype(np.float64)
    bp.export.onnx(net, tmp_path / "net.onnx", dtype=dtype)
    out = run_onnx(ort, tmp_path / "net.onnx", X, dtype)
    assert list(out) == ["output"] and out["output"].dtype == dtype
    expected = net.predict(X)
    assert (np.abs(out["output"] - expected) <= bound * np.maximum(1.0, np.abs(expected))).all()


@pytest.mark.parametrize("activation", activations.HIDDEN)
def test_onnx_functions_keep_their_digits_in_float64(activation, ort, tmp_path):
    """Relative to the value itself, far out and around zero."""
    net = bp.Network([1, 1], output=activation, init=([[[1.0]]], None))
    x = np.concatenate([EDGES, -EDGES[EDGES < 700], np.linspace(-40, 40, 1001)])[:, None]
    bp.export.onnx(net, tmp_path / "one.onnx")
    out = run_onnx(ort, tmp_path / "one.onnx", x, "float64")["output"]
    np.testing.assert_allclose(out, net.predict(x), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [ODD, [-2**63, 5, 2**63 - 1], [False, True], [0.5, -0.25, 1e300]],
                         ids=["strings", "integers", "bools", "floats"])
def test_onnx_labels_and_scaler(classes, dtype, ort, tmp_path):
    import onnx

    model, X = bundle(classes, feature_names=ODD[:4])
    X = X.astype(np.float32).astype(np.float64)
    bp.export.onnx(model, tmp_path / "m.onnx", dtype=dtype)
    out = run_onnx(ort, tmp_path / "m.onnx", X, dtype)
    assert list(out) == ["label", "probabilities"]
    assert out["label"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(out["probabilities"], model.predict_proba(X), atol=1e-12 if dtype == "float64" else 1e-5)
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(properties["feature_names"]) == ODD[:4]


@pytest.mark.parametrize("make, keys", [(lambda: bundle(), ["output"]), (lambda: perceptron(2), ["label", "scores"]),
                                        (lambda: perceptron(4), ["label", "scores"])])
def test_onnx_regression_and_perceptron(make, keys, ort, tmp_path):
    model, X = make()
    bp.export.onnx(model, tmp_path / "m.onnx")
    out = run_onnx(ort, tmp_path / "m.onnx", X, "float64")
    assert list(out) == keys
    if keys == ["output"]:
        np.testing.assert_allclose(out["output"], model.predict(X), rtol=1e-12)
    else:
        assert out["label"].tolist() == model.predict(X).tolist()
        np.testing.assert_allclose(out["scores"].squeeze(), model.decision_function(X), rtol=1e-12, atol=1e-13)


def test_onnx_refuses_what_float32_cannot_hold(ort, tmp_path):
    net = bp.Network([1, 1], init=([[[1e39]]], None))
    bp.export.onnx(net, tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="beyond float32"):
        bp.export.onnx(net, tmp_path / "other.onnx", dtype="float32")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_onnx_beyond_two_gigabytes(ort, tmp_path, monkeypatch):
    from backprop.export import _onnx

    monkeypatch.setattr(_onnx, "LIMIT", 2**20 + 100)
    with pytest.raises(ValueError, match="2 GB"):
        bp.export.onnx(network("tanh"), tmp_path / "net.onnx")


def test_onnx_is_asked_for_by_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"backprop-core\[onnx\]"):
        bp.export.onnx(network("tanh"), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="dtype.*float64, float32"):
        bp.export.onnx(network("tanh"), tmp_path / "net.onnx", dtype="float16")


# ---- estimators ----------------------------------------------------------------------------------------------------


class Estimator:
    """What an estimator of this library shows to an export."""

    def __init__(self, network, classes=None):
        self.network_ = network
        if classes is not None:
            self.classes_ = np.asarray(classes)


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn", reason="scikit-learn is not installed")


def test_estimators_are_read_by_their_attributes():
    plan = _reader.read(Estimator(network("sigmoid", (3, 4, 1)), ["a", "b"]))
    assert (plan.decision, plan.threshold, plan.probabilities, plan.classes) == ("positive", 0.5, True, ["a", "b"])
    assert _reader.read(Estimator(network("softmax"), [1, 2, 3])).decision == "argmax"
    assert _reader.read(Estimator(network("sigmoid"), [0, 1, 2])).decision == "each"
    assert _reader.read(Estimator(network("identity"))).decision == "values"
    hinge = _reader.read(Estimator(network("identity", (3, 1)), ["a", "b"]))
    assert (hinge.decision, hinge.threshold, hinge.probabilities) == ("positive", 0.0, False)
    assert _reader.read(Estimator(network("identity"), ["a", "b", "c"])).decision == "argmax"
    alone = _reader.read(Estimator(network("sigmoid", (3, 1)), ["only"]))
    assert _reader.indices(alone, np.array([[0.9], [0.1]])).tolist() == [0, 0] and not alone.probabilities


@needs_compiler
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kind", ["two", "three", "multilabel", "regression", "pipeline"])
def test_fitted_estimators_of_scikit_learn(kind, sklearn, tmp_path):
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(9)
    X = rng.normal(size=(80, 4)) * [1, 10, 100, 0.1] + 3
    signal = X @ [1, 0.1, 0.01, 10]
    y = {"two": np.where(signal > 36, "b", "a"), "three": np.digitize(signal, [30, 40]), "pipeline": signal > 36,
         "multilabel": np.column_stack([signal > 35, X[:, 0] > 3, X[:, 3] > 3]).astype(int), "regression": signal}[kind]
    options = {"hidden_layer_sizes": (5, 4), "max_iter": 20, "random_state": 0, "activation": "logistic"}
    model = (MLPRegressor if kind == "regression" else MLPClassifier)(**options)
    model = (make_pipeline(StandardScaler(), model) if kind == "pipeline" else model).fit(X, y)
    expected = model.predict(X)
    bp.export.python(model, tmp_path / "m.py")
    written = runpy.run_path(str(tmp_path / "m.py"))
    answers = [written["predict"](row) for row in X]
    if kind == "regression":
        np.testing.assert_allclose(answers, expected, rtol=1e-10)
    else:
        assert answers == expected.tolist()
        np.testing.assert_allclose([written["predict_proba"](row) for row in X], model.predict_proba(X), rtol=1e-10)
    bp.export.c(model, tmp_path / "m.c")
    n_outputs = 1 if kind in ("two", "regression", "pipeline") else 3
    compiled = Compiled(tmp_path / "m.c", n_outputs)
    if kind == "multilabel":
        chosen = np.empty((80, 3), np.intc)
        assert [compiled._call("predict", x, out) for x, out in zip(X, chosen)] == [0] * 80
        assert (chosen == expected).all()
    elif kind != "regression":
        assert (np.unique(y)[compiled.indices(X)] == expected).all()
    assert golden_run(tmp_path / "m.c", ARITHMETIC).returncode == 0


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_single_class_is_always_the_answer(sklearn, tmp_path):
    from sklearn.neural_network import MLPClassifier

    X = np.random.default_rng(11).normal(size=(10, 2))
    model = MLPClassifier((3,), max_iter=1, random_state=0).fit(X, ["only"] * 10)
    bp.export.python(model, tmp_path / "m.py")
    predict = runpy.run_path(str(tmp_path / "m.py"))["predict"]
    assert {predict(row) for row in X} == set(model.predict(X)) == {"only"}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kind", ["two", "multilabel"])
def test_onnx_of_one_output_and_of_several_labels(kind, ort, sklearn, tmp_path):
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(10)
    X = rng.normal(size=(60, 4))
    y = np.where(X[:, 0] > 0, "b", "a") if kind == "two" else (X[:, :3] > 0).astype(int)
    model = MLPClassifier((5,), max_iter=20, random_state=0).fit(X, y)
    bp.export.onnx(model, tmp_path / "m.onnx")
    out = run_onnx(ort, tmp_path / "m.onnx", X, "float64")
    assert out["label"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(out["probabilities"], model.predict_proba(X), rtol=1e-10)


@needs_compiler
@pytest.mark.filterwarnings("ignore::UserWarning")       # twenty epochs do not converge
@pytest.mark.parametrize("kind", ["two", "three", "multilabel", "hinge", "regression"])
def test_fitted_estimators_of_this_library(kind, tmp_path):
    estimators = pytest.importorskip("backprop.estimators", reason="this version has no estimators")
    rng = np.random.default_rng(12)
    X = rng.normal(size=(60, 4))
    signal = X @ rng.normal(size=(4, 3))
    y = {"two": np.where(signal[:, 0] > 0, "b", "a"), "multilabel": (signal > 0).astype(int),
         "regression": signal[:, 0]}.get(kind, signal.argmax(axis=1))
    family = estimators.MLPRegressor if kind == "regression" else estimators.MLPClassifier
    options = {"loss": "hinge"} if kind == "hinge" else {}
    model = family(hidden_layer_sizes=(5,), max_iter=20, random_state=0, **options).fit(X, y)
    bp.export.python(model, tmp_path / "m.py")
    predict = runpy.run_path(str(tmp_path / "m.py"))["predict"]
    if kind == "regression":
        np.testing.assert_allclose([predict(row) for row in X], model.predict(X), rtol=1e-10)
    else:
        assert [predict(row) for row in X] == model.predict(X).tolist()
    bp.export.c(model, tmp_path / "golden.c")
    expected = model.network_.predict(X)
    assert same_bits(Compiled(tmp_path / "golden.c", expected.shape[1]).outputs(X), expected)
    assert golden_run(tmp_path / "golden.c", ARITHMETIC).returncode == 0


def test_a_perceptron_of_scikit_learn_and_a_pipeline_without_scaler(sklearn, tmp_path):
    from sklearn.linear_model import Perceptron
    from sklearn.pipeline import make_pipeline

    X = np.random.default_rng(13).normal(size=(30, 3))
    model = make_pipeline("passthrough", Perceptron(random_state=0)).fit(X, X[:, 0] > 0)
    bp.export.python(model, tmp_path / "m.py")
    predict = runpy.run_path(str(tmp_path / "m.py"))["predict"]
    assert [predict(row) for row in X] == model.predict(X).tolist()


def test_pipelines_that_cannot_be_exported(sklearn):
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    net = Estimator(network("identity"))
    for steps, message in (([PCA()], "got PCA"), ([MaxAbsScaler()], "got MaxAbsScaler"),
                           ([StandardScaler(), StandardScaler()], "at most one scaler")):
        with pytest.raises(TypeError, match=message):
            _reader.read(make_pipeline(*steps, net))
    from sklearn.exceptions import NotFittedError
    with pytest.raises(NotFittedError):
        _reader.read(make_pipeline(StandardScaler(), net))


@pytest.mark.parametrize("options", [{"with_mean": False}, {"with_std": False}, {}])
def test_scalers_of_scikit_learn(options, sklearn):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.random.default_rng(0).normal(3, 2, size=(40, 5))
    scaler, net = StandardScaler(**options).fit(X), network("tanh")
    plan = _reader.read(make_pipeline(scaler, Estimator(net)))
    np.testing.assert_allclose(_reader.outputs(plan, X), net.predict(scaler.transform(X)), rtol=1e-13)


# ---- every format --------------------------------------------------------------------------------------------------


EACH = pytest.mark.parametrize("export", [
    pytest.param(bp.export.onnx, id="onnx",
                 marks=pytest.mark.skipif(find_spec("onnx") is None, reason="onnx is not installed")),
    pytest.param(bp.export.c, id="c"), pytest.param(bp.export.python, id="python")])


def test_formats_by_name():
    assert bp.export.FORMATS == {"onnx": bp.export.onnx, "c": bp.export.c, "python": bp.export.python}


@EACH
def test_parameters_that_are_not_finite(export, tmp_path):
    for bad in (np.nan, np.inf, -np.inf):
        net = network("tanh")
        net.biases[1][0] = bad
        with pytest.raises(ValueError, match=r"not finite \(in b\[2\]\)"):
            export(net, tmp_path / "net")
    assert not list(tmp_path.iterdir())


@EACH
def test_models_of_another_kind(export, tmp_path):
    for thing in (None, 3, "model", [1.0], np.ones(3), network):
        with pytest.raises(TypeError, match="MLPClassifier"):
            export(thing, tmp_path / "net")
    with pytest.raises(ValueError, match="not fitted"):
        export(bp.Perceptron(), tmp_path / "net")
    unfitted = type("MLPClassifier", (), {"__module__": "backprop.estimators"})()
    with pytest.raises(ValueError, match="this MLPClassifier is not fitted"):
        export(unfitted, tmp_path / "net")
    with pytest.raises(TypeError, match="all strings"):
        export(Estimator(network("softmax"), np.array(["a", 1, 2.0], dtype=object)), tmp_path / "net")
    with pytest.raises(ValueError, match="64 bits"):
        export(Estimator(network("softmax"), np.array([1, 2, 2**63], dtype=np.uint64)), tmp_path / "net")
    assert not list(tmp_path.iterdir())


@EACH
def test_paths(export, tmp_path):
    net = network("tanh")
    with pytest.raises(TypeError, match="path"):
        export(net, 3)
    with pytest.raises(FileNotFoundError, match="missing'$"):           # the folder, and not a temporary file in it
        export(net, tmp_path / "missing" / "net")
    with pytest.raises(IsADirectoryError):
        export(net, tmp_path)
    export(net, os.fsencode(tmp_path / "bytes"))
    assert [path.name for path in tmp_path.iterdir()] == ["bytes"]


@EACH
def test_a_failed_export_leaves_the_old_file(export, tmp_path, monkeypatch):
    path = tmp_path / "net"
    path.write_text("old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(model_file.os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        export(network("tanh"), path)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["net"]


@EACH
def test_an_export_changes_nothing_and_repeats_itself(export, tmp_path):
    model, X = bundle(["a", "b"])
    before = model.network.parameters.tobytes(), model.scaler.mean_.tobytes()
    for name in ("one.c", "two.c"):
        (tmp_path / name[:3]).mkdir()
        export(model, tmp_path / name[:3] / "m.c")
    assert (model.network.parameters.tobytes(), model.scaler.mean_.tobytes()) == before
    assert (tmp_path / "one" / "m.c").read_bytes() == (tmp_path / "two" / "m.c").read_bytes()


@pytest.mark.parametrize("export", [bp.export.c, bp.export.python])
def test_large_text_files_warn(export, tmp_path, monkeypatch):
    monkeypatch.setattr(_reader, "LARGE", 10)
    with pytest.warns(UserWarning, match="84 parameters make about") as caught:
        export(network("tanh"), tmp_path / "net.c")
    assert len(caught) == 1 and caught[0].filename == __file__
