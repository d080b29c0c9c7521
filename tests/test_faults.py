"""Fault injection: the n-th write, fsync, rename, read or allocation fails, for every n; the disk is full.

A save leaves the old file or the new one, whole, and no other; a reader raises what the system said, or gives the exact
data; a call that gets no memory leaves the object as it was.
"""

import builtins
import contextlib
import errno
import gzip
import io
import itertools
import os
import pickle
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest

import backprop as bp
from backprop import _read_source, cli, data, model_file

rng = np.random.default_rng(8)
X, Y = rng.normal(size=(40, 5)), rng.normal(size=(40, 3))
LABELS = np.arange(40) % 3
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and files as Linux has them")


def network(epochs=1, **options):
    net = bp.Network([5, 4, 3], seed=3)
    net.train(X, Y, epochs=epochs, optimizer="adam", **options)
    return net


# ---- writing ---------------------------------------------------------------------------------------------------------

PIECE = 512                             # bytes that a write takes at most, so that a file takes several


class Faults:
    """Counts the calls of the system below the writers and lets the `at`-th of them fail."""

    OPERATIONS = ("open", "fchmod", "fsync", "replace", "scandir")

    def __init__(self, at, error):
        self.at, self.error, self.count, self.names = at, error, 0, []

    def step(self, name):
        self.count += 1
        self.names.append(name)
        if self.count == self.at:
            raise OSError(self.error, os.strerror(self.error))

    @contextlib.contextmanager
    def injected(self, modules=(model_file,)):
        faults = self

        class Raw(io.FileIO):
            def write(self, buffer):
                faults.step("write")
                return super().write(memoryview(buffer).cast("B")[:PIECE])

            def readinto(self, buffer):
                faults.step("read")
                return super().readinto(memoryview(buffer).cast("B")[:PIECE])

        def opened(file, mode="r", *arguments, **options):
            if "b" not in mode:
                return builtins.open(file, mode, *arguments, **options)
            raw = Raw(file, mode.replace("b", ""))
            return io.BufferedWriter(raw) if "w" in mode else io.BufferedReader(raw)

        def counted(name, real):
            def call(*arguments, **options):
                faults.step(name)
                return real(*arguments, **options)
            return call

        with pytest.MonkeyPatch.context() as patch:
            for name in self.OPERATIONS:
                patch.setattr(os, name, counted(name, getattr(os, name)))
            for module in modules:
                patch.setattr(module, "open", opened, raising=False)
            yield


def classifier():
    return bp.MLPClassifier((4,), max_iter=3, tol=1.0, n_iter_no_change=1, random_state=0).fit(X, LABELS)


def command(*argv):
    """A command that fails as an error of its own: exit code 1, one line that says what the system said."""
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(io.StringIO()):
        code = cli.main([str(argument) for argument in argv])
    said = output.getvalue()
    if code:
        assert code == 1 and said.startswith("backprop: error: ") and said.count("\n") == 1
        raise OSError(errno.ENOSPC if os.strerror(errno.ENOSPC) in said else errno.EIO, said)


def rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,d,e\n" + "\n".join(",".join(map(repr, row)) for row in X[:3].tolist()) + "\n")
    return path


def writers(tmp_path):
    """{name: (write(path), whole(path))}: `whole` raises where the file is not all of one version."""
    net, estimator, source = network(), classifier(), rows(tmp_path)
    model, saved = bp.Model(network(), record={"note": "x" * 2000}), tmp_path / "source.safetensors"
    model.save(saved)

    def text(end):
        def whole(path):
            assert path.read_text().endswith(end)
        return whole

    def prediction(path):
        assert path.read_text().count("\n") == 4

    return {
        "Network.save": (net.save, bp.load), "Model.save": (model.save, bp.load),
        "MLPClassifier.save": (estimator.save, bp.load),
        "Perceptron.save": (bp.Perceptron(tol=1.0, max_iter=2).fit(X, LABELS == 0).save, bp.load),
        "checkpoint": (lambda path: network(2, checkpoint_path=path), bp.load),
        "export.c": (lambda path: bp.export.c(net, path), text("#endif\n")),
        "export.python": (lambda path: bp.export.python(net, path), text("\n")),
        "backprop train": (lambda path: command("train", "digits", "--epochs", 1, "--hidden", 2, "--quiet", "--out",
                                                path), bp.load),
        "backprop predict": (lambda path: command("predict", saved, source, "--out", path), prediction),
    }


WRITERS = ("Network.save", "Model.save", "MLPClassifier.save", "Perceptron.save", "checkpoint", "export.c",
           "export.python", "backprop train", "backprop predict")


@pytest.mark.filterwarnings("ignore::backprop.errors.ConvergenceWarning", "ignore:.*converge")
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("name", WRITERS)
def test_whichever_call_of_the_system_fails_the_old_file_or_the_new_one_is_whole(tmp_path, name, error):
    made = writers(tmp_path)
    assert tuple(made) == WRITERS
    write, whole = made[name]
    folder = tmp_path / "out"
    folder.mkdir()
    path, failed = folder / "file", set()
    for at in itertools.count(1):
        for before in (None, b"the old file"):
            path.unlink(missing_ok=True)
            if before is not None:
                path.write_bytes(before)
            faults = Faults(at, error)
            with faults.injected():
                try:
                    write(path)
                    raised = None
                except OSError as caught:
                    raised = caught
            if raised is not None:
                assert raised.errno == error
                failed.add(faults.names[-1])
            assert os.listdir(folder) in ([path.name], [] if before is None and raised else [path.name])
            if path.exists() and (raised is None or path.read_bytes() != before):
                whole(path)
        if faults.count < at:
            break
    assert faults.count < at and failed >= {"open", "write", "fsync", "replace"}
    calls = faults.names                                 # of a whole save: on the disk before it has its name, which is
    named = len(calls) - 1 - calls[::-1].index("replace")                                       # on the disk at the end
    assert calls[named - 1] == "fsync" and calls[named + 1:].count("fsync") == 1


LIMITED = """
import os, resource, sys
import numpy as np
import backprop as bp

folder = sys.argv[1]
path = os.path.join(folder, "file")
old, new = bp.Network([5, 4, 3], seed=1), bp.Network([5, 4, 3], seed=2)
old.save(path)
before, failed, allowed = open(path, "rb").read(), 0, resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in range(0, len(before), 97):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, allowed[1]))
    try:
        new.save(path)
    except OSError:
        failed += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert open(path, "rb").read() == before and os.listdir(folder) == ["file"], limit
new.save(path)
assert (bp.load(path).parameters == new.parameters).all()
print(failed)
"""


@LINUX
def test_a_file_that_may_grow_to_no_more_than_any_length_leaves_the_old_one(tmp_path):
    """The system's own limit, at every 97th byte of the file."""
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


KILLED = """
import os, random, signal, sys, time
import backprop as bp

path, kills = os.path.join(sys.argv[1], "file"), int(sys.argv[2])
nets = [bp.Network([40, 60, 3], seed=seed) for seed in (1, 2)]
whole = {net.parameters.tobytes() for net in nets}
nets[0].save(path)
started = time.perf_counter()
for _ in range(20):
    nets[0].save(path)
takes, moments, files = (time.perf_counter() - started) / 20, random.Random(5), set()
for kill in range(kills):
    child = os.fork()
    if child == 0:
        while True:
            for net in nets:
                net.save(path)
    time.sleep(moments.uniform(0.0, 12.0 * takes))      # time for both models, also where fork is slow
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(path, "rb") as stream:
        files.add(stream.read())
    assert bp.load(path).parameters.tobytes() in whole, kill
nets[0].save(path)
print(len(files), len(os.listdir(sys.argv[1])))
"""


@LINUX
@pytest.mark.parametrize("kills", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file(tmp_path, kills):
    """A process that saves two models in turn, killed with -9 at random moments; each time one of them is there."""
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(kills)], capture_output=True, text=True,
                          timeout=600, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    files, left = map(int, done.stdout.split())
    assert files == 2 and left <= kills + 1              # those that it left are young, and stay for a while


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    with contextlib.suppress(OSError):
        if subprocess.run(mount, capture_output=True).returncode == 0:
            yield folder
            subprocess.run(["umount", folder], check=True)
            return
    pytest.skip("this user may not mount a small disk")


def test_a_full_disk_leaves_the_old_file(small_disk):
    path, old = small_disk / "file", bp.Network([5, 4, 3], seed=1)
    old.save(path)
    before = path.read_bytes()
    large = bp.Network([100, 100, 1], seed=2)
    for write in (large.save, lambda path: bp.export.c(large, path), lambda path: bp.export.python(large, path)):
        with pytest.raises(OSError, match="No space left"):
            write(path)
        assert path.read_bytes() == before and os.listdir(small_disk) == [path.name]
    old.save(path)


# ---- reading ---------------------------------------------------------------------------------------------------------

def sources(tmp_path):
    """{name: (read(), the same without a fault)} of files of each format."""
    table = rng.normal(size=(150, 4))
    text = "\n".join(",".join(map(repr, row)) for row in table.tolist()) + "\n"
    svm = "".join(" ".join(["1", *(f"{i}:{value!r}" for i, value in enumerate(row))]) + "\n" for row in table.tolist())
    pixels = rng.integers(0, 256, (300, 9), np.uint8)
    contents = {"x.csv": text.encode(), "x.csv.gz": gzip.compress(text.encode()), "x.svm": svm.encode(),
                "x.idx": bytes([0, 0, 8, 2]) + np.array(pixels.shape, ">i4").tobytes() + pixels.tobytes()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "x.npy", table)
    np.savez(tmp_path / "x.npz", X=table, y=table[:, 0])
    network().save(tmp_path / "model")
    options = {"x.svm": {"zero_based": True, "sparse": False}}

    def loader(name):
        return lambda: pickle.dumps(data.load(tmp_path / name, **options.get(name, {})))

    def stream(name, target):
        return lambda: pickle.dumps(list(data.stream(tmp_path / name, target, 40, **options.get(name, {}))))

    made = {f"load {name}": loader(name) for name in (*contents, "x.npy", "x.npz")}
    made |= {f"stream {name}": stream(name, -1) for name in ("x.csv", "x.csv.gz", "x.npy")}
    made["load model"] = lambda: bp.load(tmp_path / "model").parameters.tobytes()
    return made


SOURCES = ("load x.csv", "load x.csv.gz", "load x.svm", "load x.idx", "load x.npy", "load x.npz", "stream x.csv",
           "stream x.csv.gz", "stream x.npy", "load model")


@pytest.mark.parametrize("name", SOURCES)
def test_whichever_read_fails_it_is_the_systems_error_and_short_reads_change_nothing(tmp_path, name):
    made = sources(tmp_path)
    assert tuple(made) == SOURCES
    read, failed = made[name], 0
    expected, modules = read(), (_read_source, model_file)
    for at in itertools.count(1):
        faults = Faults(at, errno.EIO)
        with faults.injected(modules):
            try:
                found = read()
            except OSError as error:
                assert error.errno == errno.EIO
                failed += faults.names[-1] == "read"
                continue
        assert found == expected and faults.count < at
        break
    assert failed >= 3


# ---- memory ----------------------------------------------------------------------------------------------------------

class NumPy:
    """NumPy, whose `at`-th new array gets no memory."""

    MAKE = {"zeros", "empty", "ones", "full", "array", "asarray", "ascontiguousarray", "require", "empty_like",
            "zeros_like", "concatenate", "arange", "stack", "eye"}

    def __init__(self, at):
        self.at, self.count = at, 0

    def __getattr__(self, name):
        real = getattr(np, name)
        if name not in self.MAKE:
            return real

        def make(*arguments, **options):
            self.count += 1
            if self.count == self.at:
                raise MemoryError(name)
            return real(*arguments, **options)
        return make


def state(receiver):
    """Everything that an object is made of, aside from histories, which hold times."""
    if isinstance(receiver, bp.Network):
        return repr((receiver.parameters, receiver._training_state, receiver._stopping_state,
                     receiver._generator.bit_generator.state, receiver.epochs_trained))
    return repr({key: state(value) if isinstance(value, bp.Network) else value for key, value in vars(receiver).items()
                 if key != "history_"})


def training(**options):
    return network, lambda net: net.train(X, Y, epochs=1, learning_rate=0.01, **options)


CALLS = {
    "train": training(), "train, batches": training(batch_size=7, optimizer="adam"),
    "train, another rule": training(batch_size=7, optimizer="momentum"),
    "train, threads": training(batch_size=7, n_threads=3), "train, dropout": training(dropout=0.2),
    "train, validation": training(validation=0.25, early_stopping=3, metrics="r2"),
    "train, weights": training(sample_weight=np.arange(40.0)),
    "train, a step of Levenberg-Marquardt": (network, lambda net: net.train(
        X, Y, batch_size="full", optimizer="levenberg_marquardt")),
    "train, chunks": (network, lambda net: net.train([(X[:20], Y[:20]), (X[20:], Y[20:])])),
    "predict": (network, lambda net: net.predict(X)), "evaluate": (network, lambda net: net.evaluate(X, Y)),
    "gradients": (network, lambda net: net.gradients(X, Y)), "trace": (network, lambda net: net.trace(X[0], Y[0])),
    "reset": (network, lambda net: net.reset(5)), "copy": (network, bp.Network.copy),
    "set_parameters": (network, lambda net: net.set_parameters(list(range(net.n_parameters)))),
    "Standardizer.fit": (bp.data.Standardizer, lambda scaler: scaler.fit(X.tolist())),
    "Perceptron.fit": (bp.Perceptron, lambda perceptron: perceptron.fit(X, LABELS == 0)),
    "MLPClassifier.fit": (classifier, lambda estimator: estimator.fit(X, LABELS)),
}


@pytest.mark.filterwarnings("ignore::backprop.errors.ConvergenceWarning", "ignore:.*converge")
@pytest.mark.parametrize("name", CALLS)
def test_whichever_array_gets_no_memory_nothing_changes(monkeypatch, name):
    """After MemoryError all is as before the call, or as after it; and the call succeeds the next time."""
    make, call = CALLS[name]
    done = make()
    before = state(done)
    call(done)
    after = state(done)
    modules = [module for key, module in sorted(sys.modules.items())
               if key.startswith("backprop") and getattr(module, "np", None) is np]
    for at in itertools.count(1):
        receiver, short = make(), NumPy(at)
        with monkeypatch.context() as patch:
            for module in modules:
                patch.setattr(module, "np", short)
            try:
                call(receiver)
                finished = True
            except MemoryError:
                finished = False
        if not finished:
            assert state(receiver) in (before, after), at
            call(receiver)
        elif short.count < at:
            break
    assert at > 1


HUNGRY = """
import pickle, resource, sys
import numpy as np
import backprop as bp

net = bp.Network([50, 4, 2], seed=0)
X, Y = np.ones((200_000, 50)), np.ones((200_000, 2))
text = sys.argv[1]
net.train(X[:10], Y[:10])
bp.data.load(sys.argv[2])
before = pickle.dumps((net.parameters, net._training_state, net._generator, net.epochs_trained))
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
allowed = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, allowed[1]))
calls = {
    "Network": lambda: bp.Network([4000, 4000]),
    "train": lambda: net.train(X[:, ::-1], Y), "train, float32": lambda: net.train(X.astype(np.float32), Y),
    "predict": lambda: net.predict(X[::-1]), "gradients": lambda: net.gradients(X, Y),
    "load": lambda: bp.data.load(text),
    "Standardizer": lambda: bp.data.Standardizer().fit(X).transform(X), "split": lambda: bp.data.split(X, Y[:, 0]),
}
failed = []
for name, call in calls.items():
    try:
        call()
    except MemoryError:
        failed.append(name)
    now = pickle.dumps((net.parameters, net._training_state, net._generator, net.epochs_trained))
    assert now == before, name
resource.setrlimit(resource.RLIMIT_AS, allowed)
net.train(X[:10], Y[:10])
print(*failed, sep="|")
"""


@LINUX
def test_too_little_memory_is_a_memory_error_and_nothing_changes(tmp_path):
    """A process that may take 32 MiB more than it has: what needs more is refused by the system itself."""
    large, small = tmp_path / "large.csv", tmp_path / "small.csv"
    large.write_text("0.123,0.456,0.789\n" * 800_000)
    small.write_text("1,2\n3,4\n")
    done = subprocess.run([sys.executable, "-c", HUNGRY, large, small], capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert {"Network", "train", "predict", "load", "Standardizer"} <= set(done.stdout.strip().split("|"))


FAILING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
extern void *__libc_calloc(size_t n, size_t size);
static long left, failed;
void fail(long n) { left = n; failed = 0; }
long has_failed(void) { return failed; }
void *calloc(size_t n, size_t size) {
    Dl_info from;
    if (left > 0 && dladdr(__builtin_return_address(0), &from) && strstr(from.dli_fname, "backprop/_core")
        && --left == 0) {
        failed = 1;
        return NULL;
    }
    return __libc_calloc(n, size);
}
"""
STARVED = """
import ctypes
import numpy as np
import backprop as bp

shim = ctypes.CDLL(None)
X, Y = np.ones((6, 3)), np.ones((6, 2))
net = bp.Network([3, 4, 2], seed=0)
many = [bp.Network([3, 4, 2], seed=seed) for seed in (1, 2, 3)]

def state(net):
    return net.parameters.tobytes(), net.epochs_trained

calls = {
    "Network": lambda: bp.Network([3, 4, 2], seed=0), "copy": net.copy, "train": lambda: net.train(X, Y),
    "threads": lambda: net.train(X, Y, batch_size=3, n_threads=2), "train_many": lambda: bp.train_many(many, (X, Y), 1)}
for name, call in calls.items():
    n = 0
    while True:
        n += 1
        before = [state(each) for each in (net, *many)]
        shim.fail(n)
        try:
            call()
            assert not shim.has_failed(), name
            break
        except MemoryError:
            assert shim.has_failed(), name
        except ExceptionGroup as group:                  # of the networks that got none; the others are trained
            assert shim.has_failed() and all(isinstance(error, MemoryError) for error in group.exceptions), name
        finally:
            shim.fail(0)
        for (parameters, epochs), each in zip(before, (net, *many)):     # of many, those before the failure are trained
            assert state(each) == (parameters, epochs) or name == "train_many" and each.epochs_trained == epochs + 1
    print(name, n - 1)
"""


@LINUX
def test_each_allocation_of_the_core_that_fails_is_a_memory_error(tmp_path):
    """The n-th calloc of the kernels gives nothing, for every n: a library before the system's own sees to it."""
    if shutil.which("cc") is None or platform.libc_ver()[0] != "glibc":
        pytest.skip("needs a C compiler and glibc")
    source, library = tmp_path / "failing.c", tmp_path / "failing.so"
    source.write_text(FAILING)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    preload = f"{library} {os.environ.get('LD_PRELOAD', '')}".strip()
    done = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True, timeout=60,
                          env={**ENVIRONMENT, "LD_PRELOAD": preload})
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines())
    assert int(found["Network"]) == 3 and int(found["train"]) == 1 and int(found["train_many"]) >= 3
