"""The fuzzer's corpus, replayed: real files and every input that a fuzzer once found something with (`make fuzz`)."""

import importlib.util
import pathlib

import pytest

FUZZ = pathlib.Path(__file__).resolve().parent.parent / "fuzz"
CORPUS = sorted(path for path in FUZZ.glob("corpus/*/*") if path.is_file())


def load(name):
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


targets = load("targets")


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_is_read_or_refused_as_promised(path):
    targets.replay(path.parent.name, path.read_bytes())


def test_every_target_has_a_corpus():
    assert {path.parent.name for path in CORPUS} == set(targets.TARGETS)


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS) < 2**16


def test_a_foreign_error_is_a_finding(monkeypatch):
    monkeypatch.setattr(targets.data, "load", lambda path, **options: "é".encode().decode("ascii"))
    with pytest.raises(UnicodeDecodeError):
        targets.replay("npz", b"\0")


def test_a_number_that_is_not_finite_is_a_finding(monkeypatch):
    X = targets.np.full((1, 1), targets.np.nan)
    monkeypatch.setattr(targets.data, "load", lambda path, **options: targets.data.Dataset(X))
    with pytest.raises(targets.Finding, match="not finite"):
        targets.replay("npz", b"\0")


@pytest.mark.parametrize("name", ["network", "trained", "classes"])
def test_damage_beneath_the_right_checksum_is_reached(name, tmp_path):
    """A number changed under the seal loads, and without the new checksum it does not."""
    whole = (FUZZ / "corpus" / "model" / name).read_bytes()[1:]
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    path = tmp_path / "model.safetensors"
    path.write_bytes(changed)
    with pytest.raises(targets.ModelFormatError, match="damaged"):
        targets.model_file.load(path)
    path.write_bytes(targets.sealed(changed))
    targets.model_file.load(path)
