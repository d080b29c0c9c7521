"""torch and scikit-learn as oracles: the same initial weights, the same batches, the same parameters after training.

Both are other people's code from first line to last, autograd included, so that what test_reference.py shares with the
core by having been written beside it is not shared here. torch is not in the extra `test` (see pyproject.toml): without
it its tests are skipped. docs/training.md has the table of conventions that the constructors here follow.
"""

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

import backprop as bp
from backprop import activations, losses, optimizers

SIZES, EPOCHS, BATCH, N = [5, 7, 3], 12, 6, 26          # 26 = 4 * 6 + 2: the last batch is ragged
rng = np.random.default_rng(0)
X, CLASSES = rng.normal(size=(N, 5)), rng.permutation(np.arange(N) % 3)
REAL, ONE_HOT = rng.normal(size=(N, 3)), np.eye(3)[CLASSES]
NETWORKS = {       # hidden, output, loss and targets
    "squared_error": ("tanh", "sigmoid", "squared_error", ONE_HOT),
    "log_loss": ("sigmoid", "softmax", "log_loss", ONE_HOT),
}
CLOSE = {"rtol": 0, "atol": 1e-9}
CLIP = 0.5         # between the norms that the gradients of both networks take
MOVED = 0.05       # training must have moved some parameter at least this far


@pytest.fixture
def torch():
    return pytest.importorskip(
        "torch", reason="torch is not installed; it is the extra `oracle`, of some gigabytes unless its CPU build is "
                        "chosen")


def network(hidden, output, loss, sizes=SIZES):
    net = bp.Network(sizes, hidden=hidden, output=output, loss=loss, seed=3)
    for l, b in enumerate(net.biases):
        b[...] = np.random.default_rng(l).normal(scale=0.2, size=b.shape)
    return net


# ---- the same network in torch ---------------------------------------------------------------------------------------

def activation(torch, name):
    F = torch.nn.functional
    return {"identity": lambda a: a, "exp": torch.exp, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": F.relu,
            "leaky_relu": F.leaky_relu, "elu": F.elu, "softplus": F.softplus, "silu": F.silu, "gelu": F.gelu,
            "softmax": lambda a: F.softmax(a, dim=1)}[name]


def loss_of_examples(torch, loss, output, Y, a, p):
    """C of each example, (B,), from targets, net inputs a and outputs p of the output layer."""
    F = torch.nn.functional
    if (loss, output) == ("log_loss", "softmax"):
        return F.cross_entropy(a, Y, reduction="none")
    each = {
        "squared_error": lambda: F.mse_loss(p, Y, reduction="none"),
        "half_squared_error": lambda: F.mse_loss(p, Y, reduction="none") / 2,
        "absolute_error": lambda: F.l1_loss(p, Y, reduction="none"),
        "huber": lambda: F.huber_loss(p, Y, reduction="none"),
        "hinge": lambda: F.relu(1 - Y * p),
        "log_loss": lambda: F.binary_cross_entropy_with_logits(a, Y, reduction="none"),
        "poisson": lambda: F.poisson_nll_loss(a, Y, reduction="none") + torch.xlogy(Y, Y) - Y,
    }[loss]()
    return each.sum(dim=1)


class Twin:
    """A network's parameters and forward pass as torch tensors, float64, on the CPU."""

    def __init__(self, torch, net):
        self.torch, self.net = torch, net
        self.weights = [torch.tensor(W, requires_grad=True) for W in net.weights]
        self.biases = [torch.tensor(b, requires_grad=True) for b in net.biases]
        self.both = [*self.weights, *self.biases]

    def losses(self, X, Y):
        z = X
        for W, b, name in zip(self.weights, self.biases, self.net.activations):
            a = z @ W + b
            z = activation(self.torch, name)(a)
        return loss_of_examples(self.torch, self.net.loss, self.net.activations[-1], Y, a, z)

    def train(self, optimizer, X, Y, batch_size, penalty=None, clip_norm=None):
        """The loop that torch's users write; the gradients' norms before clipping."""
        X, Y, norms = self.torch.tensor(X), self.torch.tensor(Y), []
        for _ in range(EPOCHS):
            for start in range(0, len(X), batch_size):
                optimizer.zero_grad()
                objective = self.losses(X[start:start + batch_size], Y[start:start + batch_size]).mean()
                (objective if penalty is None else objective + penalty(self.weights)).backward()
                if clip_norm is not None:
                    norms.append(self.torch.nn.utils.clip_grad_norm_(self.both, clip_norm).item())
                optimizer.step()
        return np.array(norms)

    @property
    def parameters(self):
        return np.concatenate([p.detach().numpy().ravel() for pair in zip(self.weights, self.biases) for p in pair])


RULES = [          # ours, and the class of torch.optim with what it is given; both leave the rest at their defaults
    (optimizers.SGD(0.3), "SGD", {"lr": 0.3}),
    (optimizers.Momentum(0.05), "SGD", {"lr": 0.05, "momentum": 0.9}),
    (optimizers.Nesterov(0.05), "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (optimizers.AdaGrad(0.05), "Adagrad", {"lr": 0.05}),
    (optimizers.RMSprop(0.005), "RMSprop", {"lr": 0.005}),
    (optimizers.RMSprop(0.005, rho=0.9, eps=1e-5), "RMSprop", {"lr": 0.005, "alpha": 0.9, "eps": 1e-5}),
    (optimizers.Adam(0.01), "Adam", {"lr": 0.01}),
    (optimizers.Adam(0.01, beta_1=0.8, beta_2=0.99, eps=1e-5), "Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-5}),
    (optimizers.AdamW(0.01), "AdamW", {"lr": 0.01}),
    (optimizers.AdamW(0.01, weight_decay=0.2), "AdamW", {"lr": 0.01, "weight_decay": 0.2}),
    (optimizers.Rprop(0.01), "Rprop", {"lr": 0.01}),
    (optimizers.Rprop(0.02, shrink=0.4, grow=1.3, step_min=1e-3, step_max=0.3), "Rprop",
     {"lr": 0.02, "etas": (0.4, 1.3), "step_sizes": (1e-3, 0.3)}),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule[0]))
every_network = pytest.mark.parametrize("kind", NETWORKS)


def test_every_rule_is_compared():
    ours_alone = {"adam_eps_hat"}                        # scikit-learn's, below
    assert {rule[0].name for rule in RULES} == set(optimizers.RULES) - ours_alone
    assert ours_alone <= {solver[0].name for solver in SOLVERS}


def pair(torch, kind):
    """(network, twin, targets)."""
    *names, Y = NETWORKS[kind]
    net = network(*names)
    return net, Twin(torch, net), Y


def train_ours(net, optimizer, Y, **options):
    """Train; the batch size that it took, after a check that there was something to compare."""
    before, batch_size = net.parameters, N if optimizer.full_batch_only else BATCH
    net.train(X, Y, epochs=EPOCHS, batch_size=batch_size, optimizer=optimizer, shuffle=False, **options)
    assert np.abs(net.parameters - before).max() > MOVED
    return batch_size


@every_rule
@every_network
def test_trajectories_are_torchs(torch, rule, kind):
    optimizer, name, given = rule
    net, twin, Y = pair(torch, kind)
    batch_size = train_ours(net, optimizer, Y)
    twin.train(getattr(torch.optim, name)(twin.both, **given), X, Y, batch_size)
    np.testing.assert_allclose(net.parameters, twin.parameters, **CLOSE)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule[1] not in ("AdamW", "Rprop")], ids=lambda r: str(r[0]))
@every_network
def test_l2_is_torchs_weight_decay_of_the_weights(torch, rule, kind):
    """AdamW's weight_decay is another thing, its own; Rprop of torch has none."""
    optimizer, name, given = rule
    net, twin, Y = pair(torch, kind)
    batch_size = train_ours(net, optimizer, Y, l2=0.05)
    groups = [{"params": twin.weights, "weight_decay": 0.05}, {"params": twin.biases, "weight_decay": 0.0}]
    twin.train(getattr(torch.optim, name)(groups, **given), X, Y, batch_size)
    np.testing.assert_allclose(net.parameters, twin.parameters, **CLOSE)


@every_rule
def test_penalties_are_terms_of_the_objective(torch, rule):
    optimizer, name, given = rule
    net, twin, Y = pair(torch, "log_loss")
    batch_size = train_ours(net, optimizer, Y, l1=0.003, l2=0.02)

    def penalty(weights):
        return sum(0.003 * W.abs().sum() + 0.02 / 2 * (W * W).sum() for W in weights)

    twin.train(getattr(torch.optim, name)(twin.both, **given), X, Y, batch_size, penalty)
    np.testing.assert_allclose(net.parameters, twin.parameters, **CLOSE)


@pytest.mark.parametrize("rule", RULES[:3], ids=lambda rule: str(rule[0]))
@every_network
def test_clip_norm_is_torchs_clip_grad_norm(torch, rule, kind):
    """torch divides by the norm + 1e-6, so that a clipped gradient is shorter than ours, by less than 1e-6.

    Over 60 updates that is seen in the parameters, which are held to 1e-5 here; an unclipped step agrees as above.
    """
    optimizer, name, given = rule
    net, twin, Y = pair(torch, kind)
    batch_size = train_ours(net, optimizer, Y, clip_norm=CLIP)
    norms = twin.train(getattr(torch.optim, name)(twin.both, **given), X, Y, batch_size, clip_norm=CLIP)
    assert (norms > CLIP).any() and (norms < CLIP).any()
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=0, atol=1e-5)


# ---- gradients by autograd -------------------------------------------------------------------------------------------

PAIRS = sorted({(row["name"], output) for row in losses.TABLE if row["name"] != losses.OWN
                for output in row["output"] or activations.NAMES})
TARGETS = {"hinge": 2 * ONE_HOT - 1, "log_loss": ONE_HOT * 0.8 + 0.2 / 3, "poisson": np.floor(np.exp(REAL))}


@pytest.mark.parametrize("loss, output", PAIRS)
def test_gradients_are_autograds(torch, loss, output):
    Y = TARGETS.get(loss, REAL)
    for hidden in activations.HIDDEN:
        net = network(hidden, output, loss)
        twin, inputs = Twin(torch, net), torch.tensor(X, requires_grad=True)
        each = twin.losses(inputs, torch.tensor(Y))
        np.testing.assert_allclose(net.evaluate(X, Y), each.mean().item(), rtol=1e-10, err_msg=hidden)
        ours = net.gradients(X, Y)
        theirs = torch.autograd.grad(each.mean(), [*twin.both, inputs])
        for mine, other in zip([*ours.weights, *ours.biases, ours.inputs / N], theirs):
            assert np.abs(mine).max() > 1e-6
            np.testing.assert_allclose(mine, other.numpy(), rtol=1e-10, atol=1e-10, err_msg=hidden)


# ---- scikit-learn ----------------------------------------------------------------------------------------------------

class _From:
    """A mixin for scikit-learn's MLPs: starts from the parameters of the network `start`."""

    def _initialize(self, y, layer_units, dtype):
        super()._initialize(y, layer_units, dtype)
        assert [W.shape for W in self.coefs_] == [W.shape for W in self.start.weights]
        self.coefs_ = [W.copy() for W in self.start.weights]
        self.intercepts_ = [b.copy() for b in self.start.biases]


class Regressor(_From, MLPRegressor):
    pass


class Classifier(_From, MLPClassifier):
    pass


TASKS = {          # output, loss, number of outputs, our targets, scikit-learn's class and targets
    "regression": ("identity", "half_squared_error", 3, REAL, Regressor, REAL),
    "three classes": ("softmax", "log_loss", 3, ONE_HOT, Classifier, CLASSES),
    "two classes": ("sigmoid", "log_loss", 1, (CLASSES == 1)[:, None].astype(float), Classifier, CLASSES == 1),
}
TINY = 1e-30       # an ε at which before and after the correction of the means are the same
SOLVERS = [        # ours, and what scikit-learn is given
    (optimizers.SGD(0.1), {"solver": "sgd", "momentum": 0.0}),
    (optimizers.Momentum(0.02, momentum=0.8), {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False}),
    (optimizers.Nesterov(0.02, momentum=0.8), {"solver": "sgd", "momentum": 0.8}),
    (optimizers.Adam(0.005, eps=TINY), {"solver": "adam", "epsilon": TINY}),
    (optimizers.AdamEpsHat(0.005, eps=1e-3), {"solver": "adam", "epsilon": 1e-3}),
]


def train_both(task, solver, hidden, rows=slice(None), batch_size=BATCH, l2=0.0, alpha=0.0):
    """Our parameters and scikit-learn's after EPOCHS."""
    (optimizer, given), (output, loss, n_outputs, Y, peer_class, Y_peer) = solver, TASKS[task]
    net = network(hidden, output, loss, [5, 7, n_outputs])
    peer = peer_class(hidden_layer_sizes=(7,), activation={"sigmoid": "logistic"}.get(hidden, hidden), alpha=alpha,
                      batch_size=batch_size, learning_rate_init=optimizer.learning_rate, shuffle=False, **given)
    peer.start, before = net.copy(), net.parameters
    net.train(X[rows], Y[rows], epochs=EPOCHS, batch_size=batch_size, optimizer=optimizer, shuffle=False, l2=l2)
    assert np.abs(net.parameters - before).max() > MOVED
    options = {"classes": np.unique(Y_peer)} if peer_class is Classifier else {}
    for _ in range(EPOCHS):
        peer.partial_fit(X[rows], Y_peer[rows], **(options if not hasattr(peer, "coefs_") else {}))
    return net.parameters, np.concatenate([p.ravel() for both in zip(peer.coefs_, peer.intercepts_) for p in both])


@pytest.mark.parametrize("hidden", ["tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: str(solver[0]))
@pytest.mark.parametrize("task", TASKS)
def test_trajectories_are_scikit_learns(task, solver, hidden):
    np.testing.assert_allclose(*train_both(task, solver, hidden), **CLOSE)


@pytest.mark.parametrize("task", TASKS)
def test_l2_is_scikit_learns_alpha_over_the_batch(task):
    """scikit-learn divides alpha by the rows of each batch, so that the two agree where batches are equally long."""
    ours, theirs = train_both(task, SOLVERS[0], "tanh", rows=slice(4 * BATCH), l2=0.05, alpha=0.05 * BATCH)
    np.testing.assert_allclose(ours, theirs, **CLOSE)
