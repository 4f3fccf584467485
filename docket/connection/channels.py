"""The channels that one line is subscribed to: those of the slot, where the server knows of such."""

from __future__ import annotations

from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import NoPermissionError, ResponseError
from typing_extensions import Self

from ..errors import ServerUnavailable


class Channels:
    """Subscribes on one line. ``open`` makes one.

    On a cluster from 7.0 on, channels may belong to a slot (SSUBSCRIBE): they move with it, and what is
    published there does not go to all nodes. On a cluster before 7.0 everything goes to all nodes. A user
    who may not subscribe to those of the slot subscribes to the others: the scripts count both.

    Arguments:
        line: subscribed to the anchor.
        anchor: stays subscribed.
        is_sharded: whether the channels are those of the slot.
    """

    def __init__(self, line: PubSub, anchor: str, is_sharded: bool) -> None:
        self._line: Any = line
        self._anchor = anchor
        self._prefix = "s" if is_sharded else ""

    @classmethod
    async def open(cls, line: PubSub, anchor: str, *, is_cluster: bool) -> Self:
        """Subscribe to a first channel, and wait until the server has confirmed it."""
        if is_cluster:
            channels = cls(line, anchor, is_sharded=True)
            try:
                await channels._begin()
            except ResponseError as error:
                if not isinstance(error, NoPermissionError) and "unknown command" not in str(error):
                    raise
            else:
                return channels
        channels = cls(line, anchor, is_sharded=False)
        await channels._begin()
        return channels

    async def subscribe(self, *channels: str) -> None:
        """Ask for these channels; ``next`` returns their confirmation."""
        await self._send("subscribe", *channels)

    async def unsubscribe(self, *channels: str) -> None:
        """Leave these channels."""
        await self._send("unsubscribe", *channels)

    async def next(self, seconds: float | None) -> tuple[str, str, bytes] | None:
        """Return the next word of the server: its kind (subscribe, unsubscribe, message), channel and text.

        Arguments:
            seconds: how long to wait, None for as long as it takes; None is returned when that is over.

        Raises:
            ServerUnavailable: the slot has moved to another node.
        """
        message = await self._line.get_message(timeout=seconds)
        if message is None:
            return None
        kind, channel = message["type"].removeprefix(self._prefix), message["channel"].decode()
        # Not asked for: the node gives up the channels of a slot that it no longer holds.
        if kind == "unsubscribe" and channel == self._anchor:
            raise ServerUnavailable("the slot of this docket has moved to another node")
        return kind, channel, message["data"]

    async def _begin(self) -> None:
        await self.subscribe(self._anchor)
        await self._line.get_message(timeout=None)

    async def _send(self, verb: str, *channels: str) -> None:
        await getattr(self._line, self._prefix + verb)(*channels)
