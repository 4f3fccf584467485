"""A process that may open nothing more, for a while."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_descriptors() -> Generator[None]:
    """Use up all the descriptors that this process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # No lower than what is open already, and not so many that taking them lasts.
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, before[1]))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
