"""What an MLP estimator decides after each epoch, by scikit-learn's rules: tolerance, patience, learning rate, best."""

import math
from dataclasses import dataclass

import numpy as np

from backprop.examples import held_out

SMALLEST_RATE = 1e-6            # at which learning_rate="adaptive" stops, as in scikit-learn
ADAPTIVE_FACTOR = 5.0


@dataclass
class Progress:
    """What the rules remember from one call of `fit` to the next under warm_start and partial_fit.

    Attributes
    ----------
    t : int
        Examples visited so far: scikit-learn's `t_`.
    learning_rate : float
        η of the next epoch.
    no_improvement_count : int
        Epochs in a row without an improvement by tol.
    best_loss, best_score : float or None
    """

    learning_rate: float
    t: int = 0
    no_improvement_count: int = 0
    best_loss: float | None = None
    best_score: float | None = None


@dataclass
class Rules:
    """The parameters of an estimator that decide when to stop and how fast to go."""

    tol: float
    n_iter_no_change: float
    early_stopping: bool
    learning_rate: str          # "constant", "invscaling" or "adaptive"
    learning_rate_init: float
    power_t: float
    verbose: bool
    incremental: bool           # partial_fit: never stops
    patient: bool               # the solver has a convergence of its own


class Watch:
    """The callback of one fit.

    Parameters
    ----------
    rules : Rules
    progress : Progress
        Goes on from what it is.
    n : int
        Rows of an epoch.
    score : callable or None
        Of the validation data at the network's present parameters.
    tell : Callbacks or None
    """

    def __init__(self, rules, progress, n, score=None, tell=None):
        self.rules, self.progress, self.n, self.score, self.tell = rules, progress, n, score, tell
        self.losses, self.scores, self.kept, self.reason = [], [], None, None

    def __call__(self, state):
        rules, progress = self.rules, self.progress
        self.losses.append(state.history.loss[-1] + state.history.penalty[-1])
        progress.t += self.n
        if rules.verbose:
            print(f"Iteration {len(self.losses)}, loss = {self.losses[-1]:.8f}")
        if self.score is not None:
            self.scores.append(self.score(state.network))
            if rules.verbose:
                print(f"Validation score: {self.scores[-1]:f}")
        self._count(state.network)
        before = progress.learning_rate
        if rules.learning_rate == "invscaling":
            progress.learning_rate = rules.learning_rate_init / (progress.t + 1) ** rules.power_t
        stop = self._out_of_patience()
        _carry_velocity(state.network, before, progress.learning_rate)
        if self.tell is not None and self.tell(state.network):
            stop = True
        return stop

    def _count(self, network):
        """Compare the epoch with the best one; keep the parameters of a better score."""
        rules, progress = self.rules, self.progress
        if rules.early_stopping:
            value, best = self.scores[-1], progress.best_score
            worse = best is not None and value < best + rules.tol
            if best is None or value > best:
                progress.best_score = value
                self._keep(network)
        else:
            value, best = self.losses[-1], progress.best_loss
            worse = best is not None and value > best - rules.tol
            if best is None or value < best:
                progress.best_loss = value
        progress.no_improvement_count = progress.no_improvement_count + 1 if worse else 0

    def _keep(self, network):
        self.kept = [array.copy() for array in _arrays(network)]

    def restore(self, network):
        """Bring back the parameters of the best validation score, with the optimizer's state of that epoch.

        Where that is of an earlier call, the parameters that this one began with, and the state that the optimizer has.
        """
        for kept, array in zip(self.kept, _arrays(network)):
            np.copyto(array, kept)

    def _out_of_patience(self):
        rules, progress = self.rules, self.progress
        if rules.patient or not progress.no_improvement_count > rules.n_iter_no_change:
            return False
        what = "Validation score" if rules.early_stopping else "Training loss"
        message = (f"{what} did not improve more than tol={rules.tol:f} for {rules.n_iter_no_change} consecutive "
                   "epochs.")
        if rules.learning_rate == "adaptive" and progress.learning_rate > SMALLEST_RATE:
            progress.learning_rate /= ADAPTIVE_FACTOR
            progress.no_improvement_count = 0
            if rules.verbose:
                print(f"{message} Setting learning rate to {progress.learning_rate:f}")
            return False
        if rules.incremental:
            return False
        if rules.verbose:
            print(f"{message} {'Learning rate too small. ' if rules.learning_rate == 'adaptive' else ''}Stopping.")
        self.reason = "no_improvement"
        return True

    def rate(self, epoch, learning_rate):
        """The schedule of a rate that changes: η of the next epoch."""
        return self.progress.learning_rate


class Callbacks:
    """Callbacks of scikit-learn's protocol: the fit is a task, each epoch a task within it.

    Parameters
    ----------
    estimator : backprop._mlp.MLP
    context : sklearn.callback.CallbackContext
        Of the fit.
    X, y : array
        What `fit` was given.
    """

    def __init__(self, estimator, context, X, y):
        self.estimator, self.context, self.data = estimator, context, {"estimator": estimator, "X": X, "y": y}
        context.call_on_fit_task_begin(**self.data)

    def _end(self, context, network):
        return context.call_on_fit_task_end(
            **self.data, reconstruction_attributes=lambda: self.estimator._fitted_attributes(network))

    def __call__(self, network):
        """Tell about an epoch; returns whether one of them wants to stop."""
        return self._end(self.context.subcontext(task_name="epoch").call_on_fit_task_begin(**self.data), network)

    def end(self, network):
        """Tell about the end of the fit."""
        self._end(self.context, network)


def _arrays(network):
    state = network._training_state
    return [network._parameters, state.slots, state.numbers]


def _carry_velocity(network, before, after):
    """Keep η v, the step that goes on, where η changes: in scikit-learn the velocity is a step, here a gradient."""
    state = network._training_state
    if before != after and state.optimizer.name in ("momentum", "nesterov"):
        state.slots *= before / after


def validation_rows(Y, fraction, generator):
    """Mask of ⌈fraction n⌉ random rows to hold out; of class targets Y each class gives its share.

    Raises ValueError where there are too few rows.
    """
    n = len(Y)
    held = math.ceil(n * fraction)
    if held < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset, "
                         "or leave out early_stopping.")
    if held >= n:
        raise ValueError(f"validation_fraction={fraction:g} of {n} rows leaves none to train on")
    return held_out(Y, held, generator)
