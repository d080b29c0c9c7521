"""Many networks in one call. `Ensemble` and `grid` stand on it.

Workers are Python threads made inside the call. Each takes a handful of networks at a time and trains them side by
side: it collects the next job of each and does all of them in one call of the core without the GIL, so that thousands
of short trainings do not spend their time on handing the GIL from thread to thread. What a training does is the
generator `backprop.training.steps`, the same that `Network.train` runs, so the bits are the same too.
"""

from __future__ import annotations

import inspect
import threading
from functools import cache
from typing import TYPE_CHECKING

from backprop import _check, _threads, sources, training
from backprop._dispatch import core
from backprop.errors import DivergenceError, TrainingErrors
from backprop.network import Network
from backprop.options import MAX_THREADS, Arguments, check_finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

SIDE_BY_SIDE = 32       # most networks that a worker trains at a time
LONG = 2e6              # work of a job, parameters times rows, that wants no others beside it: some 0.4 ms
SHARES = 4              # a worker takes this part of an even share of the work that is left: the last are short
REFRESH_SECONDS = 0.1   # of the progress bar
_OWN = ("self", "X", "Y", "sample_weight", "n_threads", "progress")     # the parameters of train that are no options


def train_many(networks: Iterable[Network], datasets: tuple | Iterable[tuple], n_threads: int | None = None, *,
               options: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None, on_error: str = "raise",
               progress: bool = False, **common: Any) -> list:
    """Train many networks, each on its data, on all processors; each result has the bits of the network's own `train`.

    Parameters
    ----------
    networks : iterable of Network
        Of any sizes and kinds, each once. They are trained in place. Each needs a generator of its own: give each an
        integer as its seed, not all the same Generator.
    datasets : tuple or iterable of tuples
        (X, Y) or (X, Y, sample_weight). A tuple is the data of all networks; a list, or any other iterable, holds one
        such tuple for each. Shared arrays are checked and converted once, and never copied.
    n_threads : int, optional
        Threads that train; each network is trained by one. By default the processors that this process may run on, no
        more than OMP_NUM_THREADS says, and one in a thread of joblib's (docs/many.md). It changes no bit.
    options : iterable of dict, optional
        For each network the options that differ from the common ones.
    on_error : {"raise", "return"}
        What to do when networks fail, by divergence, say. All others are trained to their end in either case. "raise":
        raise `TrainingErrors` at the end. "return": put the exception into the list in the history's place.
    progress : bool, default False
        Show one bar over the networks.
    **common
        Options of `Network.train` for all networks: `epochs`, `batch_size`, `validation`, `early_stopping`, ... All
        hold for each network by itself. Callbacks are called from the workers' threads.

    Returns
    -------
    list of History
        In the order of the networks. An exception instead where a network failed and `on_error` is "return".

    Raises
    ------
    ValueError, TypeError
        For a bad argument, before anything is trained; it names the network. With ``on_error="return"`` only for what
        concerns all of them.
    TrainingErrors
        At the end, if networks failed and `on_error` is "raise": `indices`, `exceptions` and all `histories`.
    KeyboardInterrupt
        On Ctrl-C, within 0.5 s: every network is as after an interrupted `train`, as before the call, or trained.

    Examples
    --------
    A small network for each of a thousand products would read the same:

    >>> import numpy as np
    >>> import backprop as bp
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> datasets = [(X, np.sin(k * X)) for k in (1, 2, 3)]
    >>> networks = [bp.Network([1, 8, 1], seed=k) for k in range(3)]
    >>> histories = bp.train_many(networks, datasets, epochs=300, optimizer="adam", learning_rate=0.01)
    >>> [history.loss[-1] < history.loss[0] for history in histories]
    [True, True, True]
    """
    networks = check_networks(networks)
    datasets = _datasets(datasets, len(networks))
    _check.choice(on_error, "on_error", ["raise", "return"])
    _check.boolean(progress, "progress")
    limit = _threads.available() if n_threads is None else _check.integer(n_threads, "n_threads", minimum=1,
                                                                          maximum=MAX_THREADS)
    tasks, failed = _tasks(networks, datasets, _arguments(options, common, len(networks)), on_error)
    pool = _Pool(tasks, failed)
    pool.run(min(limit, len(tasks)), len(networks) if progress else None)
    results = [pool.failed.get(i, network.history) for i, network in enumerate(networks)]
    if pool.failed and on_error == "raise":
        raise _errors(pool.failed, results)
    return results


# ---- what comes in ---------------------------------------------------------------------------------------------------

def check_networks(networks: Iterable[Network]) -> list[Network]:
    """The networks as a list: each there once, none with the generator of another."""
    networks = _check.sequence(networks, "networks", "networks")
    seen: dict[int, int] = {}
    generators: dict[int, int] = {}
    for i, network in enumerate(networks):
        if not isinstance(network, Network):
            raise TypeError(f"networks[{i}] must be a Network, got {type(network).__name__}")
        if seen.setdefault(id(network), i) != i:
            raise ValueError(f"networks[{i}] is networks[{seen[id(network)]}]: each may stand there once")
        first = generators.setdefault(id(network._generator.bit_generator), i)
        if first != i:
            raise ValueError(f"networks[{first}] and networks[{i}] draw from one Generator, so that what they draw "
                             "would depend on who is first; give each its own, as in seed=int(rng.integers(2**62))")
    return networks


def _datasets(datasets, n):
    """n tuples (X, Y, sample_weight), the same one n times where it is shared."""
    if isinstance(datasets, tuple):
        inner = type(datasets[0]).__name__ if datasets else None
        if inner in ("tuple", "list") and getattr(next(iter(datasets[0]), None), "ndim", 0) == 2:
            raise TypeError(f"datasets is a tuple of {inner}s, and a tuple stands for (X, Y) of all networks; give a "
                            "list of one for each network")
        return [_dataset(datasets, "datasets")] * n
    if not hasattr(datasets, "__iter__") or isinstance(datasets, (str, bytes, dict)) or hasattr(datasets, "dtype"):
        raise TypeError("datasets must be a tuple (X, Y) for all networks or a list of one for each, "
                        f"got {type(datasets).__name__}")
    datasets = [(*pair, None) if type(pair) is tuple and len(pair) == 2 else _dataset(pair, f"datasets[{i}]")
                for i, pair in enumerate(datasets)]
    if len(datasets) != n:
        raise ValueError(f"datasets has {len(datasets)} items for {n} networks; a tuple (X, Y) would serve all")
    return datasets


def _dataset(dataset, name):
    if not isinstance(dataset, (tuple, list)):
        raise TypeError(f"{name} must be (X, Y) or (X, Y, sample_weight), got {type(dataset).__name__}")
    if len(dataset) not in (2, 3):
        raise ValueError(f"{name} must be (X, Y) or (X, Y, sample_weight), got {len(dataset)} items")
    return (*dataset, None) if len(dataset) == 2 else tuple(dataset)


@cache
def defaults():
    """The options of `Network.train` that `train_many` takes, with their defaults."""
    parameters = inspect.signature(Network.train).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name not in _OWN}


def _arguments(options, common, n):
    """For each network the `Arguments` that the common options and its own make, and its own index or None.

    Networks with equal options share the object.
    """
    _known(common, "train_many")
    if options is None:
        if common.get("checkpoint_path") is not None and n > 1:
            raise ValueError("checkpoint_path would be one file for all networks; give each its own: "
                             "options=[{'checkpoint_path': ...}, ...]")
        return [Arguments(**{**defaults(), **common}, progress=False, n_threads=1)] * n if n else []
    if isinstance(options, dict) or not hasattr(options, "__iter__") or getattr(options, "ndim", 1) == 0:
        raise TypeError(f"options must be a list of one dict for each network, got {type(options).__name__}; those for "
                        "all are keywords of train_many")
    options, made, each = list(options), {}, []
    if len(options) != n:
        raise ValueError(f"options has {len(options)} items for {n} networks")
    for i, own in enumerate(options):
        if not hasattr(own, "keys"):
            raise TypeError(f"options[{i}] must be a dict of options of train, got {type(own).__name__}")
        _known(own, f"options[{i}]")
        values = {**common, **own}
        try:
            key = tuple((name, type(value), value) for name, value in values.items())
            arguments = made.get(key)
        except TypeError:                                # a value without a hash: an array, a list
            key = arguments = None
        if arguments is None:
            try:
                arguments = Arguments(**{**defaults(), **values}, progress=False, n_threads=1)
            except (ValueError, TypeError) as error:
                raise _of_network(error, f"options[{i}]") from None
            if key is not None:
                made[key] = arguments
        each.append(arguments)
    return each


def _known(options, where):
    for name in options:
        if name not in defaults():
            hint = "; the data's weights are the third of (X, Y, sample_weight)" if name == "sample_weight" else ""
            raise TypeError(f"{where} got an unexpected option {name!r}{hint}; options are {', '.join(defaults())}")


def _of_network(error, name):
    """The error of an argument, with the name of the network whose it is."""
    if type(error) in (ValueError, TypeError):
        return type(error)(f"{name}: {error}")
    error.add_note(f"{name} of train_many")
    return error


def _tasks(networks, datasets, arguments, on_error):
    """([(index, network, options, examples)], {index: error}): all arguments checked before anything is trained."""
    tasks, failed, shared = [], {}, {}
    for i, (network, data, argument) in enumerate(zip(networks, datasets, arguments)):
        try:
            tasks.append((i, network, *_options(network, data, argument, shared)))
        except Exception as error:
            if on_error == "raise":
                raise _of_network(error, f"network {i}") from None
            failed[i] = error
    return tasks, failed


def _options(network, data, arguments, shared):
    """(checked `Options`, examples); networks of one kind with the same data and arguments share them."""
    if data[1] is None and sources.is_chunks(data[0]):
        raise TypeError("X is a stream or an iterable of chunks, which Network.train takes for one network at a time")
    if network._training_state is not None or not arguments.same_for_all:
        return arguments.of(network, *data)
    key = (*map(id, data), id(arguments), network._kind)
    known = shared.get(key)
    if known is None:
        known = shared[key] = arguments.of(network, *data)
    else:
        check_finite(network)
    return known


def _errors(failed, results):
    """What is raised at the end."""
    indices = sorted(failed)
    first = failed[indices[0]]
    histories = [None if i in failed else result for i, result in enumerate(results)]
    others = ", and the others are trained" if len(failed) < len(results) else ""
    return TrainingErrors(
        f"{len(failed)} of {len(results)} networks failed{others}; the first is network {indices[0]}: "
        f"{type(first).__name__}: {first}", [failed[i] for i in indices], indices, histories)


# ---- the workers -----------------------------------------------------------------------------------------------------

class _Pool:
    """Threads that train the networks of `tasks`, and what became of them.

    Attributes
    ----------
    failed : dict
        {index: exception}.
    stopped : bool
        Whether the trainings are to end at once.
    fatal : BaseException or None
        What a callback raised that is no mere failure of its network, such as SystemExit.
    """

    def __init__(self, tasks, failed):
        costs = [(task[1]._n_parameters * len(task[3]) * task[2].epochs, task) for task in tasks]
        costs.sort(key=lambda pair: -pair[0])            # the longest first, so that none is left alone at the end
        self.waiting, self.cost = costs[::-1], sum(cost for cost, _ in costs)
        self.failed, self.done = failed, len(failed)
        self.stopped, self.fatal = False, None
        self.lock, self.n_threads = threading.Lock(), 1

    def run(self, n_threads, shown):
        """Train all of them; `shown`: the length of the progress bar, or None for none."""
        self.n_threads = n_threads
        bar, ends = _bar(shown), [threading.Event() for _ in range(n_threads)]
        threads = [threading.Thread(target=self.work, args=(ended,), name=f"backprop-many-{t}")
                   for t, ended in enumerate(ends)]
        try:
            for thread in threads:
                thread.start()
            for ended in ends:
                while not ended.wait(REFRESH_SECONDS):   # Ctrl-C is heard here, and the workers look at `stopped`
                    if bar is not None:
                        bar.update(self.done - bar.n)
        finally:
            self.stopped = True
            _threads.join(threads)
            if bar is not None:
                bar.update(self.done - bar.n)
                bar.close()
        if self.fatal is not None:
            raise self.fatal

    def work(self, ended):
        """What a thread does: a handful of networks after the other."""
        try:
            while not self.stopped and (tasks := self.take()):
                for group in _groups(tasks):
                    self.train(group)
        except BaseException as error:                   # none is expected here
            self.stopped, self.fatal = True, error
        finally:
            ended.set()

    def take(self):
        """The next networks: a share of what is left, at least one."""
        with self.lock:
            share, taken = self.cost / (SHARES * self.n_threads), []
            while self.waiting and len(taken) < SIDE_BY_SIDE and (not taken or share >= self.waiting[-1][0]):
                cost, task = self.waiting.pop()
                taken.append(task)
                share -= cost
                self.cost -= cost
            return taken

    def train(self, tasks):
        """Train these networks side by side, to the end of each."""
        going = len(tasks)

        def pace():
            if self.stopped:
                raise KeyboardInterrupt
            return training.SLICE_SECONDS / going

        active = [(i, training.steps(network, options, train, pace), None) for i, network, options, train in tasks]
        while active:
            jobs = [(i, steps, job) for i, steps, done in active if (job := self.step(i, steps, done)) is not None]
            going = max(1, len(jobs))
            try:
                results = core.work_all([job for _, _, job in jobs])
            except BaseException:                        # no memory for the list: none may stay locked in a training
                self.stopped = True
                for i, steps, _ in jobs:
                    self.step(i, steps, None)
                raise
            active = [(i, steps, done) for (i, steps, _), done in zip(jobs, results)]

    def step(self, i, steps, done):
        """Network i's next job, after `done` of the last; None when it has come to its end."""
        try:
            return (steps.throw(KeyboardInterrupt()) if self.stopped else steps.send(done))[0]
        except StopIteration:
            pass
        except DivergenceError as error:
            self.failed[i] = error.with_traceback(None)          # which says nothing, and would keep the data alive
        except Exception as error:
            self.failed[i] = error
        except BaseException as error:
            if not self.stopped:                         # not our own KeyboardInterrupt
                self.stopped, self.fatal = True, error
        with self.lock:
            self.done += 1
        return None


def _groups(tasks):
    """The tasks to train side by side; one whose jobs are long is alone, and works on the memory of the one before,
    which the processor has at hand."""
    together = []
    for task in tasks:
        _, network, options, train = task
        epochs = 1 if options.manner.listened else options.epochs          # in one job
        if network._n_parameters * len(train) * epochs > LONG:
            yield [task]
        else:
            together.append(task)
    if together:
        yield together


def _bar(total):
    if total is None:
        return None
    from tqdm import tqdm  # loaded only when a bar is shown

    return tqdm(total=total, unit="network", dynamic_ncols=True)
