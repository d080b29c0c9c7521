"""The matrix of bad inputs × entry points: some sixty bad inputs for every argument of every public call.

A cell is a good call with one argument spoilt. It ends in ValueError or TypeError (or a subclass) that names the
argument, in its message or in a note on what a function of the user's raised, leaves the object as it was and takes
less than a second; or the input happens to be good, and the cell stands in tests/bad_input_cells.json. Written anew by

    PYTHONPATH=src python tests/test_bad_input.py --write
"""

import collections
import json
import os
import re
import sys
import time
import warnings
from pathlib import Path

import pytest

import backprop as bp
from backprop import errors
from bad_inputs import INPUTS_BY_NAME, TRAIN, X, Y, entries, network, state

CELLS = Path(__file__).resolve().parent / "bad_input_cells.json"
FILES = ("path", "checkpoint_path")                      # a name that the system refuses is an OSError, as it comes
SECONDS = 1.0                                            # of processor time: a pause of the machine is no fault
CALLERS_OWN = {"gradient_descent f", "gradient_descent gradient", "gradient_descent callback",
               "Network.train callbacks", "Network.train metrics", "MLPClassifier callbacks", "MLPRegressor callbacks"}
# What is of the wrong kind for anything is a TypeError. Labels may be of any kind, and this is a single one to them;
# class weights and a stream's classes are refused for want of classes, whatever they are.
WRONG_KINDS = ("Ellipsis", "date", "dtype", "exception", "module", "object", "slice")
ANY_KIND = {"MLPClassifier.fit y", "MLPClassifier.partial_fit y", "MLPClassifier.score y", "Perceptron.fit y",
            "Perceptron.partial_fit y", "Perceptron.score y", "Perceptron.error y", "Perceptron.margin y",
            "Model classes", "data.one_hot classes", "data.one_hot y", "data.split y", "Network.train class_weight",
            "data.stream classes"}

pytestmark = pytest.mark.filterwarnings("ignore")        # two iterations do not converge, and that is not the subject


def outcome(call, arguments, name):
    """"accepted", "bad value" or "wrong kind" with the argument's name, "unnamed", "system", or the error that came."""
    begin = time.process_time()
    try:
        call(**arguments)
        found = "accepted"
    except (ValueError, TypeError) as error:
        said = "\n".join([str(error), *getattr(error, "__notes__", ())])
        named = re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", said)
        found = ("wrong kind" if isinstance(error, TypeError) else "bad value") if named else "unnamed"
    except Exception as error:
        found = "system" if name in FILES and isinstance(error, OSError) else repr(error)[:200]
    return found if time.process_time() - begin < SECONDS else f"{found} after more than a second"


def prepared(folder):
    """All entries, with the files that their good calls read."""
    network().save(folder / "network")
    (folder / "data.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    return entries(folder)


def row(entry, name, problems):
    """{outcome: [inputs]} of one argument of one call; adds to `problems` where a refusal changed the receiver."""
    found = collections.defaultdict(list)
    receiver, call, good = entry()
    before = state(receiver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label, value in INPUTS_BY_NAME.items():
            value = iter([1.0]) if label == "iterator" else value        # one that nobody has used up
            result = outcome(call, {**good, name: value}, name)
            found[result].append(label)
            if result == "accepted":
                receiver, call, good = entry()
                before = state(receiver)
            elif state(receiver) != before:
                problems.append(f"{label}: {result}, and the object has changed")
                receiver, call, good = entry()
                before = state(receiver)
    return found


def known(found):
    """What of a row stands in the file."""
    return {"accepted": sorted(found["accepted"])} if found["accepted"] else {}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("bad_input"))


def pytest_generate_tests(metafunc):
    if "cell" in metafunc.fixturenames:
        metafunc.parametrize("cell", json.loads(CELLS.read_text()))


@pytest.fixture
def folder(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)                          # some inputs are good names of files
    return tmp_path


def test_every_bad_input_is_refused_by_name_and_changes_nothing(made, cell, folder):
    call, name = cell.split()
    problems = []
    found = row(made[call][0], name, problems)
    wrong = found.keys() - {"accepted", "bad value", "wrong kind", "system"}
    assert not {key: found[key] for key in wrong}
    if cell not in ANY_KIND:
        assert not set(WRONG_KINDS) & set(found["bad value"])
    if cell not in CALLERS_OWN:
        assert not problems
    assert known(found) == json.loads(CELLS.read_text())[cell]


def test_the_matrix_is_whole(made):
    """Every argument of every entry, at least 1,500 cells and some sixty inputs."""
    cells = [f"{call} {name}" for call, (_, names) in made.items() for name in names]
    assert cells == list(json.loads(CELLS.read_text()))
    assert len(INPUTS_BY_NAME) >= 60 and len(cells) * len(INPUTS_BY_NAME) >= 1500


def test_the_good_calls_are_good(made, folder):
    """A cell shows something only where the call without the bad input succeeds."""
    for call, (entry, _) in made.items():
        if not call.startswith(("optimizers.", "schedules.function")):
            _, function, good = entry()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(**good)
    net = network()
    net.train(X, Y, **TRAIN)
    assert net.epochs_trained == 2 and issubclass(errors.DataFormatError, ValueError) and bp.load


def write():
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        made, cells = prepared(Path(folder)), {}
        for call, (entry, names) in made.items():
            for name in names:
                with tempfile.TemporaryDirectory() as empty:             # some inputs are good names of files
                    os.chdir(empty)
                    cells[f"{call} {name}"] = known(row(entry, name, []))
                    os.chdir(folder)
    CELLS.write_text("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in cells.items())
                     + "\n}\n")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write()
