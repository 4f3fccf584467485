"""The tasks that every docket knows, for trying things out."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .dependencies.context import CurrentDocket, CurrentExecution, CurrentWorker, TaskLogger
from .dependencies.retry import Retry
from .docket import Docket
from .execution import Execution


async def trace(
    message: str,
    logger: logging.LoggerAdapter[logging.Logger] = TaskLogger(),
    docket: Docket = CurrentDocket(),
    worker: Any = CurrentWorker(),
    execution: Execution = CurrentExecution(),
) -> None:
    """Write a message to the log of the worker."""
    logger.info(
        "%s: %r added to docket %r, now running on worker %r",
        message,
        execution.key,
        docket.name,
        worker.name,
    )


async def fail(
    message: str,
    docket: Docket = CurrentDocket(),
    worker: Any = CurrentWorker(),
    execution: Execution = CurrentExecution(),
    retry: Retry = Retry(attempts=2),
) -> None:
    """Fail with a message, twice."""
    raise Exception(
        f"{message}: {execution.key!r} added to docket {docket.name!r}, attempt {retry.attempt} of "
        f"{retry.attempts} on worker {worker.name!r}"
    )


async def sleep(
    seconds: float, logger: logging.LoggerAdapter[logging.Logger] = TaskLogger()
) -> None:
    """Hold a slot for some seconds."""
    logger.info("Sleeping for %s seconds", seconds)
    await asyncio.sleep(seconds)


standard_tasks = [trace, fail, sleep]
