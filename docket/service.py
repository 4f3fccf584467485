"""The contract of everything that runs in the background: one loop with one reason to wake."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any


class Service(ABC):
    """A loop that is started once and stopped once.

    ``run`` is the loop. It returns only when the service is stopped; whatever it raises ends the
    program that started it, so it handles the trouble that it can outlive by itself.
    """

    _task: asyncio.Task[None] | None = None

    @abstractmethod
    async def run(self) -> None:
        """The loop."""

    async def prepare(self) -> None:
        """What must have happened before the service counts as started."""

    async def start(self) -> asyncio.Task[None]:
        """Prepare, then run the loop in the background; the task ends with the loop."""
        await self.prepare()
        self._task = asyncio.create_task(self.run(), name=f"docket {type(self).__name__}")
        return self._task

    async def stop(self) -> None:
        """End the loop and wait until it has ended. Safe to call twice."""
        if self._task is not None:
            await end(self._task)
            self._task = None


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a background task and wait until it is over, whatever it ended with.

    A client library may swallow a cancellation that meets it while it gives a socket back, so it is
    repeated until it is heard.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)


class Services:
    """Services that live and die together, started in order and stopped in reverse."""

    def __init__(self, *services: Service) -> None:
        self._services = services

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[asyncio.Task[None], None]:
        """Run them for the length of a block; yields a task that raises when one of them fails."""
        tasks: list[asyncio.Task[None]] = []
        async with contextlib.AsyncExitStack() as stack:
            for service in self._services:
                stack.push_async_callback(service.stop)
                tasks.append(await service.start())
            failure = asyncio.create_task(_first_failure(tasks))
            try:
                yield failure
            finally:
                await end(failure)


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
