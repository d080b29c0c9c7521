"""The implementations we compare with, each at its best form; one module per peer.

A module has NAME and version(), and functions that turn a task of `tasks` into contenders (of several forms of one name
the fastest counts): training(task, few), prediction(task), separation(task), product(task). A function it lacks, or an
empty list, means that the peer does not do such work; `few` asks for fewer forms, where each costs a compilation.
"""

import importlib

MODULES = ("jax_peer", "numba_peer", "numpy_peer", "sklearn_peer", "torch_peer", "onnxruntime_peer")


def load():
    """(modules that import, {name: why not})."""
    modules, missing = [], {}
    for name in MODULES:
        try:
            modules.append(importlib.import_module(f"peers.{name}"))
        except ImportError as error:
            missing[name.removesuffix("_peer")] = str(error)
    return modules, missing
