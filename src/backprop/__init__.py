"""Perceptrons and feedforward networks trained by backpropagation: fast, reproducible to the bit, readable."""

import logging as _logging

from backprop._config import show_config
from backprop.network import Network
from backprop.training import History

__version__ = "0.1.0"

_logging.getLogger("backprop").addHandler(_logging.NullHandler())
