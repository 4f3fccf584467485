"""The progress of an execution, as reported by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

from typing_extensions import Self

from ..foundation.events import ProgressEvent, iso
from ..storage.progress import ProgressRecord, read_progress
from ..storage.subscriptions import RESYNC, Event
from .context import ExecutionContext


class ExecutionProgress:
    """The progress of an execution: a current value, a total and a message."""

    def __init__(self, docket: ExecutionContext, key: str) -> None:
        self._home = docket
        self._key = key
        self.current: int | None = None
        self.total: int = 1
        self.message: str | None = None
        self.updated_at: datetime | None = None

    @classmethod
    async def create(cls, docket: ExecutionContext, key: str) -> Self:
        """Return the progress of the execution with this key, as it stands now."""
        progress = cls(docket, key)
        await progress.sync()
        return progress

    async def subscribe(
        self, *, ready: asyncio.Event | None = None
    ) -> AsyncGenerator[ProgressEvent, None]:
        """Yield the current progress, then every change.

        Arguments:
            ready: set as soon as nothing that happens from now on can be missed.
        """
        channel = self._home.storage.keys.progress(self._key)
        async with self._home.storage.subscriptions.listen(channel) as listener:
            await listener.until_in_step(channel)
            yield await self.event(RESYNC)
            if ready is not None:
                ready.set()
            while True:
                _, event = await listener.next()
                yield await self.event(event)

    async def set_total(self, total: int) -> None:
        """Set the value at which ``current`` is complete.

        Raises:
            ValueError: the total is less than 1.
        """
        if total < 1:
            raise ValueError("Total must be at least 1")
        self.take(await self._home.storage.progress.change(self._key, "total", total))

    async def increment(self, amount: int = 1) -> None:
        """Increase the current value.

        Raises:
            ValueError: the amount is less than 1.
        """
        if amount < 1:
            raise ValueError("Amount must be at least 1")
        self.take(await self._home.storage.progress.change(self._key, "increment", amount))

    async def set_message(self, message: str | None) -> None:
        """Set the message; None removes it."""
        self.take(await self._home.storage.progress.change(self._key, "message", message or ""))

    async def sync(self) -> None:
        """Read how it stands now."""
        self.take(await self._home.storage.progress.read(self._key))

    async def event(self, event: Event) -> ProgressEvent:
        """Return the progress from an event, or read it anew if events may be missing."""
        match event is not RESYNC and event.split(b"\n", 3):
            case [current, total, updated_at, message]:
                self.take(read_progress(current, total, message, updated_at))
            case _:
                # Events may be missing, or another program has published something.
                await self.sync()
        return ProgressEvent(
            type="progress",
            key=self._key,
            current=self.current,
            total=self.total,
            message=self.message,
            updated_at=iso(self.updated_at),
        )

    def take(self, record: ProgressRecord) -> None:
        """Show what was read."""
        self.current = record.current
        self.total = 100 if record.total is None else record.total
        self.message = record.message
        self.updated_at = record.updated_at
