"""What this installation is and runs."""

import platform

from backprop import _dispatch


def show_config() -> dict:
    """Print and return the library's configuration.

    Returns
    -------
    dict
        version; simd, the variant in use; simd_available; simd_not_built, those that this processor runs and that
        the compiler lacked; simd_width, doubles per vector; compiler; threads, those that `Network.train` uses unless
        asked for more; processors, those that this process may run on; python; numpy.

    Examples
    --------
    >>> import backprop as bp
    >>> config = bp.show_config()       # doctest: +ELLIPSIS
    version: ...
    """
    import numpy

    from backprop import __version__, training

    config = {"version": __version__, "simd": _dispatch.variant, "simd_available": _dispatch.available(),
              "simd_not_built": _dispatch.not_built(), "simd_width": _dispatch.core.simd_width(),
              "compiler": _dispatch.core.compiler(),
              "threads": 1, "processors": training.processors(), "python": platform.python_version(),
              "numpy": numpy.__version__}
    for key, value in config.items():
        print(f"{key}: {value}")
    return config
