"""Pick the SIMD variant of the compiled core: the best one that is built and that the processor runs.

The environment variable ``BACKPROP_SIMD`` (``baseline``, ``v3`` or ``v4``) forces one; what cannot run is an error,
never a silent fallback. Everything else in the package says ``from backprop._dispatch import core``.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from backprop import _cpu

MODULES = {"baseline": "backprop._core", "v3": "backprop._core_v3", "v4": "backprop._core_v4"}


def _load(name):
    """The module of one variant, or None where it was not built (an old compiler drops what it cannot build)."""
    try:
        return importlib.import_module(MODULES[name])
    except ModuleNotFoundError as error:
        if error.name != MODULES[name]:
            raise                        # it was built, and something that it needs is missing
        return None


def _pick():
    supported = _cpu.supported()
    forced = os.environ.get("BACKPROP_SIMD")
    if forced is None:
        for name in reversed(supported):
            module = _load(name)
            if module is not None:
                return name, module
        raise RuntimeError("backprop's compiled core is missing: install the package again (pip install .)")
    if forced not in MODULES:
        raise RuntimeError(f"BACKPROP_SIMD={forced!r} is unknown: expected one of {', '.join(MODULES)}")
    if forced not in supported:
        raise RuntimeError(f"BACKPROP_SIMD={forced!r} cannot run on this processor, which supports "
                           f"{', '.join(supported)}")
    module = _load(forced)
    if module is None:
        raise RuntimeError(f"BACKPROP_SIMD={forced!r} was not built: the compiler that built this package lacked it")
    return forced, module


if TYPE_CHECKING:
    from backprop import _core as core  # every variant has its functions

    variant: str
else:
    variant, core = _pick()


def available() -> list[str]:
    """Names of the variants that are built and that this processor runs, slowest first."""
    return [name for name in _cpu.supported() if _is_built(name)]


def not_built() -> list[str]:
    """Names of the variants that this processor runs and that the compiler of this package could not build."""
    return [name for name in _cpu.supported() if not _is_built(name)]


def _is_built(name):
    from importlib.util import find_spec

    return find_spec(MODULES[name]) is not None
