"""What every test stands on."""

import os
import signal
import sys

import pytest

from backprop import training

# A runner in the background may ignore Ctrl-C, and the processes that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["MPLBACKEND"] = "Agg"            # pictures are made, not shown


@pytest.fixture(autouse=True)
def teams_as_asked_for(monkeypatch):
    """Threads are few where a step has little work; the tests want the bits of real teams on small networks."""
    monkeypatch.setattr(training, "THREAD_FLOPS", 1e-9)
    monkeypatch.setattr(training, "processors", lambda: 64)


@pytest.fixture(autouse=True)
def figures_are_closed():
    """pyplot keeps the figures that it makes, and warns of many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
