"""Seconds that are promised; they are measured where no other test runs beside."""

from __future__ import annotations

import os
from typing import Final

BESIDE: Final = 30.0
"""Seconds that other tests on the same machine may add."""


def promised(seconds: float) -> float:
    """Return a limit for what is promised within so many seconds.

    Beside other tests it says no more than that it happens, and not only when something else has ended that
    takes for ever.

    Arguments:
        seconds: the promise.
    """
    return seconds + BESIDE if "PYTEST_XDIST_WORKER" in os.environ else seconds
