"""How many examples a property is tried on."""

import os

from hypothesis import settings


def examples(n):
    """Settings of a property: n examples, or BACKPROP_EXAMPLES where that is more, as in `make test-long`."""
    return settings(max_examples=max(n, int(os.environ.get("BACKPROP_EXAMPLES", 0))), deadline=None)
