"""A connection whose round trips show in traces, for those who want to see a docket's own traffic."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import redis.asyncio
from redis.asyncio.client import PubSub
from typing_extensions import override

from ..instrumentation.tracing import spanning_redis
from .base import Command, Connection, Facts, Greeting, RedisClient, Reply, ThreadConnection


class Traced(Connection):
    """Passes everything on, and makes a span of each round trip.

    Arguments:
        connection: what is passed on to.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.url = connection.url
        self.is_cluster = connection.is_cluster
        self.can_move = connection.can_move
        self.is_throwaway = connection.is_throwaway

    @property
    @override
    def has_worked(self) -> bool:
        return self._connection.has_worked

    @override
    def prefix(self, name: str) -> str:
        return self._connection.prefix(name)

    @override
    def refuse_strangers(self) -> None:
        self._connection.refuse_strangers()

    @override
    async def open(self, greet: Greeting | None = None, *, lazy: bool = False) -> bool:
        return await self._connection.open(greet, lazy=lazy)

    @override
    async def close(self) -> None:
        await self._connection.close()

    @override
    async def facts(self) -> Facts:
        return await self._connection.facts()

    @override
    async def send(self, *commands: Command) -> list[Reply]:
        with spanning_redis([str(command[0]) for command in commands]):
            return await self._connection.send(*commands)

    @property
    @override
    def client(self) -> RedisClient:
        return self._connection.client

    @override
    def waiting(self) -> AbstractAsyncContextManager[redis.asyncio.Redis]:
        return self._connection.waiting()

    @override
    def subscriber(self) -> AbstractAsyncContextManager[PubSub]:
        return self._connection.subscriber()

    @override
    async def has_left(self, line: PubSub) -> bool:
        return await self._connection.has_left(line)

    @override
    def threaded(self) -> ThreadConnection:
        return self._connection.threaded()
