"""A plain function in a process of its own: for work that computes, and would hold up everything else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

PROCESSES = 1000
"""More than there are slots: these bound how many run at a time, not the pool."""


async def in_process(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """What a function returns that runs in a fresh interpreter; the process is killed with the task.

    The function must be importable, and everything that it is given and gives must be picklable. Idle
    processes wait for the next call, and end with the worker.

    Arguments:
        function: a plain function of some module.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """
    from anyio import CapacityLimiter, to_process  # noqa: PLC0415 - only where it is used

    call = functools.partial(function, *args, **kwargs)
    return await to_process.run_sync(call, cancellable=True, limiter=CapacityLimiter(PROCESSES))
