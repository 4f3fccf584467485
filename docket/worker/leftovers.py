"""Leftovers of tasks when their worker ends: child processes, and threads that nothing ends."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection
from typing import Any

from ..runners.keeper import descendants

GRACE = 2.0
"""Seconds that a child gets between the polite and the final signal, and threads get to end."""

logger = logging.getLogger("docket.worker")


def end_children() -> None:
    """End the processes that tasks have started with ``multiprocessing``, and not waited for.

    The interpreter would wait for them at its end, however long they take.
    """
    # Asked for by its name: only a task can have imported it.
    multiprocessing: Any = sys.modules.get("multiprocessing")
    children: list[Any] = [] if multiprocessing is None else multiprocessing.active_children()
    for child in children:
        logger.warning("process %s is ended, which a task has left behind", child.pid)
        child.terminate()
    deadline = time.monotonic() + GRACE
    for child in children:
        child.join(max(0, deadline - time.monotonic()))
        if child.is_alive():
            child.kill()
            child.join()


def kill_descendants() -> None:
    """Kill every process that this one has started, at once, where the system tells which these are."""
    with contextlib.suppress(OSError):
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def leave_threads(known: Collection[threading.Thread]) -> None:
    """End this process now if threads are left that would keep it; else do nothing.

    Arguments:
        known: threads that no task has started.
    """
    executor: Any = getattr(asyncio.get_running_loop(), "_default_executor", None)
    if executor is not None:
        # Ends those of its threads that have nothing to do.
        executor.shutdown(wait=False)
    deadline = time.monotonic() + GRACE
    left = [one for one in threading.enumerate() if not one.daemon and one not in known]
    for thread in left:
        thread.join(max(0, deadline - time.monotonic()))
    names = [thread.name for thread in left if thread.is_alive()]
    if names:
        logger.warning("not waiting for threads that tasks have started: %s", ", ".join(names))
        flush()
        # As the interpreter would end, but for the threads.
        os._exit(atexit._run_exitfuncs() or 0)  # noqa: SLF001 - it has no other name


def flush() -> None:
    """Write out what was printed."""
    for stream in (sys.stdout, sys.stderr):
        # A task may have closed it.
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
