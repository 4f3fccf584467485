"""One pub/sub connection for all that wait in this docket, however many there are."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from ..connection.base import Connection
from ..connection.channels import Channels
from ..errors import DocketError, LoginRefused, ServerUnavailable
from ..foundation.service import Reports, end
from .scripting.retrying import Backoff

logger = logging.getLogger("docket.docket")


class _Gap(enum.Enum):
    RESYNC = "events may be missing"


RESYNC: Final = _Gap.RESYNC
"""The first event of every listener, and the first one after the line was lost: events may be missing,
so read the state. It is no text, because any text can be published: a key that is cancelled can be empty."""

Event: TypeAlias = "bytes | _Gap"

SILENCE = 10.0
"""Seconds without an event after which it is checked if another server publishes by now."""


class Listener:
    """The events of some channels, in the order of their arrival; the first one is ``RESYNC``."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[tuple[str, Event] | DocketError] = asyncio.Queue()

    def tell(self, event: tuple[str, Event] | DocketError) -> None:
        """Hand over one event, or the reason why there will be no more."""
        self._events.put_nowait(event)

    async def next(self) -> tuple[str, Event]:
        """Return the next channel and event.

        Raises:
            ServerRefused: this user may not subscribe.
        """
        event = await self._events.get()
        if isinstance(event, DocketError):
            raise event
        return event

    async def until_in_step(self, *channels: str) -> None:
        """Wait until nothing that happens on these channels can be missed; what came before is dropped,
        as it can be read."""
        missing = set(channels)
        while missing:
            channel, event = await self.next()
            if event is RESYNC:
                missing.discard(channel)


class Subscriptions:
    """The events of channels for their listeners; a channel is subscribed while it has a listener.

    The line is opened with the first listener and found again when it is lost.

    Arguments:
        connection: how the server is reached.
        anchor: a channel that stays subscribed, because a line without one cannot wait.
    """

    def __init__(self, connection: Connection, anchor: str) -> None:
        self._connection = connection
        self._anchor = anchor
        self._listeners: dict[str, set[Listener]] = {}
        self._confirmed: set[str] = set()
        self._heard: set[str] = set()
        """The channels that could be subscribed at least once."""
        self._reports = Reports(remind=60.0)
        self._line: Channels | None = None
        self._reader: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop listening."""
        if self._reader is not None:
            await end(self._reader)
            self._reader = None

    @asynccontextmanager
    async def listen(self, *channels: str) -> AsyncGenerator[Listener, None]:
        """Listen to these channels for the length of a block."""
        self._connection.refuse_strangers()
        listener = Listener()
        for channel in channels:
            self._listeners.setdefault(channel, set()).add(listener)
            if channel in self._confirmed:
                listener.tell((channel, RESYNC))
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), name="docket subscriptions")
        await self._subscribe(*(channel for channel in channels if channel not in self._confirmed))
        try:
            yield listener
        finally:
            for channel in channels:
                self._listeners[channel].discard(listener)
            await self._unsubscribe(
                *(channel for channel in channels if not self._listeners[channel])
            )

    async def _subscribe(self, *channels: str) -> None:
        if self._line is not None and channels:
            # A line that breaks here is the reader's to find again; it subscribes to all of them.
            with contextlib.suppress(Exception):
                await self._line.subscribe(*channels)

    async def _unsubscribe(self, *channels: str) -> None:
        for channel in channels:
            del self._listeners[channel]
            self._confirmed.discard(channel)
            self._heard.discard(channel)
        if self._line is not None and (gone := set(channels) - {self._anchor}):
            with contextlib.suppress(Exception):
                await self._line.unsubscribe(*gone)

    async def _read(self) -> None:
        backoff = Backoff(0.02, 1.0)
        while True:
            try:
                await self._follow(backoff)
            except ServerUnavailable:
                await asyncio.sleep(backoff.next_pause())
            except DocketError as error:
                if not self._is_to_go_on(error):
                    return
                await asyncio.sleep(backoff.next_pause())

    def _is_to_go_on(self, error: DocketError) -> bool:
        """Tell a refusal to those that never heard anything; return True if there are others.

        One that has heard something before may hear again: a password rotates, or an ACL is loaded late.
        """
        is_login = isinstance(error, LoginRefused) and self._connection.has_worked
        known, unknown = set[Listener](), set[Listener]()
        for channel, listeners in self._listeners.items():
            is_known = is_login or channel in self._heard
            (known if is_known else unknown).update(listeners)
            if not is_known:
                listeners.clear()
        for listener in unknown - known:
            listener.tell(error)
        if known and self._reports.is_news(error):
            logger.warning("Events are not heard; it is tried again until they are: %s", error)
        return bool(known)

    async def _follow(self, backoff: Backoff) -> None:
        """Deliver until the line drops, or the server has moved away from it."""
        try:
            async with self._connection.subscriber() as subscriber:
                is_cluster = self._connection.is_cluster
                line = await Channels.open(subscriber, self._anchor, is_cluster=is_cluster)
                backoff.reset()
                self._deliver("subscribe", self._anchor, b"")
                await self._subscribe_all(line)
                self._line = line
                # A timer for each word is a tenth of what an event costs.
                patience = SILENCE if self._connection.can_move else None
                while True:
                    word = await line.next(patience)
                    if word is not None:
                        self._deliver(*word)
                    elif await self._connection.has_left(subscriber):
                        return
        finally:
            self._line = None
            self._confirmed.clear()

    async def _subscribe_all(self, line: Channels) -> None:
        """Subscribe to everything, also to channels that get a listener meanwhile."""
        subscribed = {self._anchor}
        while missing := {one for one, who in self._listeners.items() if who} - subscribed:
            await line.subscribe(*missing)
            subscribed |= missing

    def _deliver(self, kind: str, channel: str, data: bytes) -> None:
        if kind == "subscribe":
            if channel in self._listeners or channel == self._anchor:
                self._confirmed.add(channel)
                self._heard.add(channel)
            self._tell(channel, RESYNC)
        elif kind == "message":
            self._tell(channel, data)

    def _tell(self, channel: str, event: Event) -> None:
        for listener in self._listeners.get(channel, ()):
            listener.tell((channel, event))
