"""Functions that answer the signals of a supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import signal
import sys
from collections.abc import Callable, Generator, Mapping

from ..fleet import Fleet

logger = logging.getLogger("docket.supervisor")


@contextlib.contextmanager
def answering(answers: Mapping[signal.Signals, Callable[[], object]]) -> Generator[None]:
    """Let signals call these functions, in the event loop, for the length of a block."""
    loop = asyncio.get_running_loop()
    for number, answer in answers.items():
        loop.add_signal_handler(number, answer)
    try:
        yield
    finally:
        for number in answers:
            loop.remove_signal_handler(number)


def dump_stacks(fleet: Fleet) -> None:
    """Write to the standard error where everything stands: this process, its tasks, and every worker."""
    logger.warning("Asked for stacks: they follow on the standard error")
    faulthandler.dump_traceback(all_threads=True)
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    for pool in fleet.pools.values():
        for process in pool.processes:
            process.dump_stacks()
