"""The tasks that every docket knows, for trying things out."""

from __future__ import annotations

import asyncio
import logging

logger = logging.getLogger(__name__)


async def trace(message: str) -> None:
    """Write a message to the log of the worker."""
    logger.info("%s", message)


async def fail(message: str) -> None:
    """Fail with a message."""
    raise Exception(message)


async def sleep(seconds: float) -> None:
    """Hold a slot for some seconds."""
    logger.info("Sleeping for %s seconds", seconds)
    await asyncio.sleep(seconds)


standard_tasks = [trace, fail, sleep]
