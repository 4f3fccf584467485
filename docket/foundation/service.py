"""The contract of everything that runs in the background: one loop with one reason to wake."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final

from ..errors import DocketError

logger = logging.getLogger("docket.service")

AGAIN: Final = 0.01
"""Seconds before a loop that others have cancelled, and that is kept, begins again."""

PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a loop that has failed begins again; the last one is used from then on."""

CALM: Final = 5.0
"""Seconds that a loop must last before its trouble counts as over."""

REMIND: Final = 300.0
"""Seconds after which a trouble that lasts is logged again."""

_NUMBERS = re.compile(r"\d+")


class Reports:
    """Decides which of many equal reports are worth a line: the first one, and one now and then.

    Errors that differ only in their numbers (a port, a count of seconds) are equal.
    """

    def __init__(self, remind: float = REMIND) -> None:
        self._remind = remind
        self._reported: dict[str, float] = {}

    def is_news(self, error: BaseException) -> bool:
        """Return whether this error was not reported lately."""
        kind = f"{type(error).__name__}: {_NUMBERS.sub('#', str(error))}"
        now = time.monotonic()
        if now - self._reported.get(kind, float("-inf")) < self._remind:
            return False
        self._reported[kind] = now
        return True

    def clear(self) -> None:
        """Forget all of them: the next one is news."""
        self._reported.clear()


class Service(ABC):
    """A loop that is started once and stopped once.

    ``run`` is the loop. It returns only when the service is stopped. No error ends it, but one that
    ``is_final``: what it does not handle by itself is logged once, and after a pause it begins again.
    """

    is_kept: ClassVar[bool] = False
    """True if only ``stop`` ends it. ``asyncio.run`` cancels all tasks of the loop at once when its main
    has ended; a service that winds up the work of others begins again then, and goes on until that is done.
    """

    silence: ClassVar[float | None] = None
    """Seconds without a turn of the loop after which it counts as stuck; None if it may wait for ever."""

    trouble: str = ""
    """Reason why it does not work at the moment; empty if it does."""

    failures: int = 0
    """Number of times that it has failed and begun again."""

    _task: asyncio.Task[None] | None = None
    _is_stopping: bool = False
    _turned: float = 0.0
    _streak: int = 0
    _shared: Reports | None = None

    @abstractmethod
    async def run(self) -> None:
        """Run the loop."""

    async def prepare(self) -> None:
        """Do what must have happened before the service counts as started."""

    @property
    def label(self) -> str:
        """Name in the log and in ``/livez``."""
        return type(self).__name__.lower()

    async def start(self) -> asyncio.Task[None]:
        """Prepare, then run the loop in the background; the task ends when the service is stopped."""
        await self.prepare()
        self._is_stopping = False
        self.turn()
        self._task = asyncio.create_task(self._guarded(), name=f"docket {type(self).__name__}")
        return self._task

    async def stop(self) -> None:
        """End the loop and wait until it has ended. Safe to call twice."""
        self._is_stopping = True
        if self._task is not None:
            await end(self._task)
            self._task = None

    def share(self, reports: Reports) -> None:
        """Report errors together with others, so that one that all of them meet is logged once."""
        self._shared = reports

    @property
    def _reports(self) -> Reports:
        self._shared = self._shared or Reports()
        return self._shared

    def turn(self) -> None:
        """Note that the loop turns."""
        self._turned = time.monotonic()

    def stuck(self) -> str:
        """Return why this loop no longer does its work; empty if it does. Safe to call from any thread."""
        task = self._task
        if task is not None and task.done():
            return f"{self.label} has ended"
        silent = time.monotonic() - self._turned
        if task is not None and self.silence is not None and silent > self.silence:
            return f"{self.label} has not turned for {silent:.0f} s"
        return ""

    def is_final(self, error: Exception) -> bool:
        """Return whether an error ends the service and the program that it is part of.

        None does, unless it shows before anything has worked that nothing ever will.
        """
        del error
        return False

    async def _guarded(self) -> None:
        """Run the loop again whenever it fails."""
        pause = 0.0
        while True:
            try:
                if pause:
                    await asyncio.sleep(pause)
                    self.turn()
                await self._run_until_calm()
                return
            except asyncio.CancelledError as error:
                if not _is_cancelled():
                    # A library has let out a cancellation that was meant for something of its own.
                    self._fail(error)
                elif self._is_stopping or not self.is_kept:
                    raise
            except Exception as error:
                if self.is_final(error):
                    raise
                self._fail(error)
            pause = PAUSES[min(self._streak, len(PAUSES)) - 1] if self._streak else AGAIN

    async def _run_until_calm(self) -> None:
        """Run the loop once; its trouble is over when it has lasted.

        That counts from its begin: an event loop that stands still in the pause before says nothing of it.
        """
        calm = asyncio.get_running_loop().call_later(CALM, self._recover)
        try:
            await self.run()
        finally:
            calm.cancel()

    def _fail(self, error: BaseException) -> None:
        self.failures += 1
        self._streak += 1
        self.trouble = f"{type(error).__name__}: {error}"
        if not self._reports.is_news(error):
            return
        if isinstance(error, DocketError):
            logger.error("%s: %s; it is tried again until it works", self.label, error)
        else:
            logger.error(
                "%s failed with an unexpected error; it begins again", self.label, exc_info=error
            )

    def _recover(self) -> None:
        if not self.trouble:
            return
        self.trouble = ""
        self._streak = 0
        self._reports.clear()
        logger.info("%s works again", self.label)


def _is_cancelled() -> bool:
    """Return True if the running task is to end."""
    # Before 3.11 that is unknown: then every cancellation is meant.
    cancelling: Any = getattr(asyncio.current_task(), "cancelling", lambda: 1)
    return cancelling() > 0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a background task and wait until it is over, with any outcome.

    A client library may swallow a cancellation that meets it while it gives a socket back, so it is
    repeated until it is heard.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)


class Services:
    """Services that live and die together, started in order and stopped in reverse.

    Arguments:
        services: the services.
        beside: others that live longer, for which these speak as well.
    """

    def __init__(self, *services: Service, beside: Services | None = None) -> None:
        self._services = services
        self.reported: tuple[Service, ...] = (
            services if beside is None else (*beside.reported, *services)
        )
        """Services that these speak for."""
        reports = Reports()
        for service in services:
            service.share(reports)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[asyncio.Task[None], None]:
        """Run them for the length of a block; yields a task that raises when one of them fails for good."""
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

    def stuck(self) -> list[str]:
        """Return why some of them no longer do their work. Safe to call from any thread."""
        return [told for service in self.reported if (told := service.stuck())]

    def troubles(self) -> dict[str, str]:
        """Return why some of them do not work at the moment, by their labels."""
        return {one.label: one.trouble for one in self.reported if one.trouble}

    def failures(self) -> dict[str, int]:
        """Return how many times each of them has failed and begun again."""
        return {one.label: one.failures for one in self.reported}


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
