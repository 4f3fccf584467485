"""The doorbell: a list with at most one token, which wakes one idle worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ..connection.base import Connection
from .keys import Keys

PATIENCE = 30
"""Seconds that one wait on the server lasts; a line that is dead without saying so is found by then."""


class Bell:
    """The wait at the bells of some queues, on a line of its own.

    Arguments:
        connection: how the server is reached.
        keys: the docket's keys.
        queues: the queues.
    """

    def __init__(self, connection: Connection, keys: Keys, queues: Sequence[str]) -> None:
        self._connection = connection
        self._keys = keys
        self.queues = queues

    @asynccontextmanager
    async def line(self) -> AsyncGenerator[BellLine, None]:
        """Yield a line to wait on, as often as wanted.

        Raises:
            ServerUnavailable: the line is lost.
        """
        async with self._connection.waiting() as client:
            yield BellLine(client, [self._keys.bell(queue) for queue in self.queues])


class BellLine:
    """One connection that waits."""

    def __init__(self, client: Any, bells: list[str]) -> None:
        self._client = client
        self._bells = bells

    async def rung(self) -> bool:
        """Wait for a token; return False if there was none for a while."""
        reply = await self._client.blpop(self._bells, timeout=PATIENCE)
        return reply is not None
