"""Doors to scikit-learn and PyTorch: the same predictions on both sides."""

import pickle
import sys

import numpy as np
import pytest

import backprop as bp
from backprop import activations, interop

# ---- scikit-learn ------------------------------------------------------------------------------------------------

neural_network = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def data(kind, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(90, 6))
    signal = X @ rng.normal(size=(6, 3))
    y = {"two": np.where(signal[:, 0] > 0, "yes", "no"), "three": signal.argmax(axis=1) * 10 - 5,
         "multilabel": (signal > 0).astype(int), "one": signal[:, 0], "several": signal}[kind]
    return X, y


def fitted(kind, activation="tanh", layers=(5, 4), **options):
    X, y = data(kind)
    family = neural_network.MLPRegressor if kind in ("one", "several") else neural_network.MLPClassifier
    estimator = family(hidden_layer_sizes=layers, activation=activation, max_iter=15, random_state=0, **options)
    return estimator.fit(X, y), X, y


def outputs(estimator, X):
    """What a network of the estimator answers."""
    if not hasattr(estimator, "classes_"):
        return estimator.predict(X).reshape(len(X), -1)
    probabilities = estimator.predict_proba(X)
    return probabilities[:, 1:] if estimator.n_outputs_ == 1 else probabilities


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", ["two", "three", "multilabel", "one", "several"])
def test_from_sklearn(kind, activation):
    estimator, X, _ = fitted(kind, activation)
    net = bp.from_sklearn(estimator)
    assert isinstance(net, bp.Network) and net.sizes[:-1] == [6, 5, 4]
    assert net.activations[:2] == [interop._FROM_SKLEARN[activation]] * 2
    assert net.loss == ("half_squared_error" if kind in ("one", "several") else "log_loss")
    np.testing.assert_allclose(net.predict(X), outputs(estimator, X), rtol=1e-11, atol=1e-13)


def test_from_sklearn_copies_and_trains_on():
    estimator, X, y = fitted("one", layers=())
    net = bp.from_sklearn(estimator, seed=3)
    before = estimator.coefs_[0].copy()
    assert net.sizes == [6, 1]
    losses = net.train(X, y, epochs=5, learning_rate=0.01).loss
    assert losses[-1] < losses[0] and (estimator.coefs_[0] == before).all()


def test_poisson_regression():
    X, signal = data("one")
    if "loss" not in neural_network.MLPRegressor().get_params():
        pytest.skip("this scikit-learn has no Poisson loss")
    estimator = neural_network.MLPRegressor(hidden_layer_sizes=(4,), loss="poisson", max_iter=15, random_state=0)
    estimator.fit(X, np.exp(signal / 4))
    net = bp.from_sklearn(estimator)
    assert net.loss == "poisson" and net.activations == ["relu", "exp"]
    np.testing.assert_allclose(net.predict(X)[:, 0], estimator.predict(X), rtol=1e-12)
    np.testing.assert_allclose(bp.to_sklearn(net).predict(X), estimator.predict(X), rtol=1e-12)


@pytest.mark.parametrize("kind", ["two", "three", "one", "several"])
def test_there_and_back(kind):
    estimator, X, y = fitted(kind, "relu")
    net = bp.from_sklearn(estimator)
    again = bp.to_sklearn(net, classes=getattr(estimator, "classes_", None))
    assert type(again) is type(estimator) and again.activation == "relu"
    assert all((a == b).all() for a, b in zip(again.coefs_ + again.intercepts_,
                                              estimator.coefs_ + estimator.intercepts_))
    assert again.predict(X).tolist() == estimator.predict(X).tolist()
    assert again.score(X, y) == estimator.score(X, y)
    again.partial_fit(X, y)                              # it lives on, with a new optimizer
    assert again.n_iter_ == 1 and not (again.coefs_[0] == estimator.coefs_[0]).all()


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c"], [False, True]])
def test_models_become_classifiers_with_their_scaler(classes):
    rng = np.random.default_rng(1)
    X = rng.normal(50, 20, size=(40, 4))
    net = bp.Network([4, 5, len(classes)], loss="log_loss", seed=1)
    model = bp.Model(net, classes=classes, scaler=bp.data.Standardizer().fit(X))
    pipeline = bp.to_sklearn(model)
    assert [type(step).__name__ for _, step in pipeline.steps] == ["StandardScaler", "MLPClassifier"]
    assert pipeline.predict(X).tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(pipeline.predict_proba(X), model.predict_proba(X), rtol=1e-12)


def test_models_become_regressors_with_their_scalers():
    rng = np.random.default_rng(2)
    X, Y = rng.normal(50, 20, size=(40, 4)), rng.normal(-7, 3, size=(40, 2))
    model = bp.Model(bp.Network([4, 5, 2], seed=1), scaler=bp.data.Standardizer().fit(X),
                     target_scaler=bp.data.Standardizer().fit(Y))
    np.testing.assert_allclose(bp.to_sklearn(model).predict(X), model.predict(X), rtol=1e-12)


def test_multilabel_back():
    estimator, X, _ = fitted("multilabel", "logistic")
    net = bp.from_sklearn(estimator)

    class Ours:
        network_, classes_ = net, estimator.classes_

    for back in (bp.to_sklearn(Ours()), bp.to_sklearn(net, classes=estimator.classes_)):
        assert (back.predict(X) == estimator.predict(X)).all() and (back.classes_ == estimator.classes_).all()
    with pytest.raises(ValueError, match=r"sigmoid outputs are multilabel.*must be range\("):
        bp.to_sklearn(net, classes=list("abc")[:net.sizes[-1]])


@pytest.mark.parametrize("k", [2, 4])
def test_perceptrons_both_ways(k):
    from sklearn.linear_model import Perceptron

    rng = np.random.default_rng(k)
    X, names = rng.normal(size=(80, 5)), np.array([f"c{i}" for i in range(k)])
    y = names[(X @ rng.normal(size=(5, k))).argmax(axis=1)]
    theirs = Perceptron(random_state=0, eta0=0.5).fit(X, y)
    ours = bp.from_sklearn(theirs)
    assert isinstance(ours, bp.Perceptron) and ours.eta0 == 0.5 and ours.random_state == 0
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-12, atol=1e-13)
    assert ours.predict(X).tolist() == theirs.predict(X).tolist()
    back = bp.to_sklearn(ours)
    assert (back.coef_ == theirs.coef_).all() and (back.intercept_ == theirs.intercept_).all()
    assert back.predict(X).tolist() == theirs.predict(X).tolist() and back.eta0 == 0.5
    weights = ours.coef_.copy()
    assert ours.partial_fit(X, y).n_iter_ == 1 and ours.coef_.shape == weights.shape
    assert back.partial_fit(X, y).coef_.shape == weights.shape
    assert (theirs.coef_ == weights).all()


def test_what_is_no_estimator_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    class MLPClassifier:
        coefs_ = []

    for thing in (None, LogisticRegression(), MLPClassifier(), "MLPClassifier"):
        with pytest.raises(TypeError, match="MLPClassifier, MLPRegressor or Perceptron of scikit-learn, got"):
            bp.from_sklearn(thing)
    ours = bp.MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", max_iter=1000).fit(np.eye(3), np.arange(3.0))
    with pytest.raises(TypeError, match="got backprop.*; it has its network as network_"):
        bp.from_sklearn(ours)
    from sklearn.exceptions import NotFittedError
    from sklearn.linear_model import Perceptron
    for unfitted in (neural_network.MLPClassifier(), neural_network.MLPRegressor(), Perceptron()):
        with pytest.raises(NotFittedError):
            bp.from_sklearn(unfitted)


@pytest.mark.parametrize("make, message", [
    (lambda: bp.Network([2, 3, 1], hidden="gelu"), "one activation in all hidden layers.*gelu"),
    (lambda: bp.Network([2, 3, 3, 1], hidden=["tanh", "relu"]), "relu, tanh"),
    (lambda: bp.Network([2, 3, 1], output="sigmoid"), "this model's is sigmoid.*classes="),
    (lambda: bp.Model(bp.Network([2, 3, 2], output="sigmoid"), classes=["a", "b"]), "sigmoid with 2 outputs"),
    (lambda: bp.Model(bp.Network([2, 2], loss="log_loss"), classes=["b", "a"]), "sorted"),
    (lambda: bp.Model(bp.Network([2, 1], output="exp"), target_scaler=bp.data.Standardizer().fit([[1.0], [2.0]])),
     "identity output only; the model's is exp"),
])
def test_what_scikit_learn_has_no_form_for(make, message):
    with pytest.raises(ValueError, match=message):
        bp.to_sklearn(make())


def test_scikit_learn_without_a_poisson_loss(monkeypatch):
    monkeypatch.setattr(neural_network.MLPRegressor, "get_params", lambda self: {})
    with pytest.raises(ValueError, match="scikit-learn 1.7"):
        bp.to_sklearn(bp.Network([2, 1], output="exp"))


def test_classes_of_to_sklearn():
    net = bp.Network([2, 3], loss="log_loss")
    with pytest.raises(ValueError, match="2 labels, expected 3"):
        bp.to_sklearn(net, classes=["a", "b"])
    with pytest.raises(ValueError, match="classes are for a Network"):
        bp.to_sklearn(bp.Model(net, classes=["a", "b", "c"]), classes=["a", "b", "c"])


def test_libraries_are_asked_for_by_their_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"backprop-core\[sklearn\]"):
        bp.to_sklearn(bp.Network([1, 1]))
    with pytest.raises(ImportError, match=r"backprop-core\[torch\]"):
        bp.Network([1, 1]).to_torch()


# ---- PyTorch -----------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", (*activations.HIDDEN, "softmax"))
def test_to_torch_and_back(activation, bias, torch):
    hidden = "tanh" if activation == "softmax" else activation
    net = bp.Network([5, 7, 3], hidden=hidden, output=activation, bias=bias, seed=1)
    X = np.random.default_rng(0).normal(size=(50, 5)) / 2
    module = net.to_torch()
    assert type(module) is torch.nn.Sequential
    assert {p.dtype for p in module.parameters()} == {torch.float64}
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(X)).numpy(), net.predict(X), rtol=1e-12, atol=1e-14)
    again = bp.from_torch(pickle.loads(pickle.dumps(module)), loss=net.loss)
    assert again.activations == net.activations and again.bias == bias
    assert (again.parameters == net.parameters).all()


def test_to_torch_copies(torch):
    net = bp.Network([2, 2], seed=0)
    module, before = net.to_torch(), net.parameters
    with torch.no_grad():
        module[0].weight.zero_()
    assert (net.parameters == before).all()
    net.weights[0][...] = 7
    assert (module[0].weight.detach().numpy() == 0).all()
    assert module[0].weight.requires_grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_torch(dtype, torch):
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Dropout(0.5),
                           nn.Sequential(nn.Linear(5, 4, bias=False), nn.SiLU(), nn.Dropout()),
                           nn.Identity(), nn.Linear(4, 3), nn.LogSoftmax(dim=1)).to(getattr(torch, dtype)).eval()
    with pytest.raises(ValueError, match=r"module\[4\], Identity\(\), must stand behind a Linear, and .* a SiLU"):
        bp.from_torch(module)
    del module[4]
    net = bp.from_torch(module, seed=0)
    assert net.sizes == [6, 5, 4, 3] and net.activations == ["identity", "silu", "softmax"]
    assert net.loss == "log_loss" and not net.biases[1].any()
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(dtype)
    with torch.no_grad():
        expected = module(torch.from_numpy(X.reshape(20, 2, 3))).exp().numpy()
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_loss_and_output_are_inferred_or_given(torch):
    nn = torch.nn

    def net(*modules, **options):
        made = bp.from_torch(nn.Sequential(nn.Linear(3, 2), *modules), **options)
        return made.activations[-1], made.loss

    assert net() == ("identity", "squared_error")
    assert net(loss="log_loss") == ("softmax", "log_loss")            # behind CrossEntropyLoss
    assert net(loss="log_loss", output="sigmoid") == ("sigmoid", "log_loss")
    assert net(nn.Sigmoid()) == ("sigmoid", "log_loss")
    assert net(nn.Sigmoid(), loss="squared_error") == ("sigmoid", "squared_error")
    assert net(nn.Softmax(dim=-1)) == ("softmax", "log_loss")
    assert net(nn.ReLU()) == ("relu", "squared_error")
    with pytest.raises(ValueError, match="output='tanh' is for a module that ends in a Linear; this one ends in ReLU"):
        net(nn.ReLU(), output="tanh")


def test_same_gradient_as_torch(torch):
    net = bp.Network([4, 5, 3], hidden="gelu", loss="log_loss", seed=0)
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(10, 4)), rng.integers(3, size=10)
    module = net.to_torch()[:-1]
    torch.nn.CrossEntropyLoss()(module(torch.from_numpy(X)), torch.from_numpy(labels)).backward()
    gradients = net.gradients(X, bp.data.one_hot(labels, [0, 1, 2]))
    np.testing.assert_allclose(module[0].weight.grad.numpy().T, gradients.weights[0], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(module[2].bias.grad.numpy(), gradients.biases[1], rtol=1e-10, atol=1e-14)


def test_modules_without_a_counterpart(torch):
    nn = torch.nn

    class Mine(nn.Linear):
        pass

    class Branches(nn.Sequential):
        pass

    def refused(kind, message, *modules):
        with pytest.raises(kind, match=message):
            bp.from_torch(nn.Sequential(*modules))

    first = nn.Linear(2, 2)
    refused(TypeError, r"module\[1\] is a BatchNorm1d, which has no counterpart; expected Linear", first,
            nn.BatchNorm1d(2))
    refused(TypeError, r"module\[0\.1\] is a ReLU6", nn.Sequential(first, nn.ReLU6()))
    refused(TypeError, r"module\[0\] is a .*Mine, which", Mine(2, 2))
    refused(TypeError, r"module\[0\] is a Conv1d", nn.Conv1d(1, 1, 1))
    refused(ValueError, r"module\[1\] has negative_slope=0\.2.*=0\.01 only", first, nn.LeakyReLU(0.2))
    refused(ValueError, r"has alpha=2\.0", first, nn.ELU(2.0))
    refused(ValueError, r"has beta=3", first, nn.Softplus(3))
    refused(ValueError, r"has approximate='tanh'", first, nn.GELU("tanh"))
    refused(ValueError, r"has dim=0; expected 1 or -1", first, nn.Softmax(dim=0))
    refused(ValueError, r"module\[2\] comes after a Softmax", first, nn.Softmax(dim=1), nn.Linear(2, 2))
    refused(ValueError, r"module\[0\], ReLU\(\), must stand behind a Linear", nn.ReLU(), first)
    refused(ValueError, r"module\[1\]: a Flatten", first, nn.Flatten())
    refused(ValueError, r"module\[0\]: a Flatten", nn.Flatten(0), first)
    refused(ValueError, r"no Linear", nn.Flatten())
    refused(TypeError, r"module\[0\]\.weight has dtype torch\.float16", nn.Linear(2, 2).half())
    refused(ValueError, r"module\[1\] takes 2 inputs, but the Linear before it gives 3", nn.Linear(2, 3),
            nn.Linear(2, 2))
    for thing in (first, None, Branches(first), [first]):
        with pytest.raises(TypeError, match="module must be a torch.nn.Sequential, got"):
            bp.from_torch(thing)
    broken = nn.Linear(2, 2)
    with torch.no_grad():
        broken.bias[0] = float("nan")
    refused(ValueError, "NaN|nan", broken)
    with pytest.raises(TypeError, match="network must be a Network"):
        interop.to_torch(first)


def test_interop_has_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        interop.Missing  # noqa: B018
