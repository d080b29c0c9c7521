"""Names for type hints. Only type checkers import this module: hints cost nothing when the package is loaded."""

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Seed = int | np.integer | np.random.Generator | np.random.RandomState | None

__all__ = ["ArrayLike", "FloatArray", "PathLike", "Seed"]
