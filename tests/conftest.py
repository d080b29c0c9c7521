"""What every test stands on."""

import pytest

from backprop import training


@pytest.fixture(autouse=True)
def teams_as_asked_for(monkeypatch):
    """Threads are few where a step has little work; the tests want the bits of real teams on small networks."""
    monkeypatch.setattr(training, "THREAD_FLOPS", 1e-9)
    monkeypatch.setattr(training, "processors", lambda: 64)
