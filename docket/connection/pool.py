"""The sockets of one server: a caller who finds all of them in use waits for one."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import redis.asyncio
from redis.asyncio.connection import AbstractConnection, RedisSSLContext, SSLConnection
from typing_extensions import override


class WaitingPool(redis.asyncio.ConnectionPool):
    """A pool of redis-py that lets callers wait, and that can be left while its sockets are in use.

    redis-py has a blocking pool as well, but takes a lock of its own to give a socket back; a caller that
    is cancelled there loses the socket for good. Here, giving back does not wait.
    """

    def __init__(self, *arguments: Any, max_connections: int, **options: Any) -> None:
        cast(Any, super()).__init__(*arguments, max_connections=max_connections, **options)
        self._places = asyncio.Semaphore(max_connections)
        self._is_left = False
        self._tls: RedisSSLContext | None = None

    @override
    def make_connection(self) -> AbstractConnection:
        """Return a socket that is not connected yet; all of them share what TLS reads from files.

        On its own, each socket would read all certificates of the system again, 20 ms each.
        """
        connection = super().make_connection()
        if isinstance(connection, SSLConnection):
            self._tls = connection.ssl_context = self._tls or connection.ssl_context
        return connection

    @override
    async def get_connection(
        self, command_name: str | None = None, *keys: Any, **options: Any
    ) -> AbstractConnection:
        """Return a socket that is connected; its place is taken until it is released."""
        await self._places.acquire()
        connection = self.get_available_connection()
        try:
            if not await _is_ready(connection):
                await self.ensure_connection(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            await self.release(connection)
            raise
        return connection

    @override
    async def release(self, connection: AbstractConnection) -> None:
        """Give a socket back."""
        try:
            if self._is_left or connection.should_reconnect():
                await connection.disconnect(nowait=True)
            # What redis-py counts and reports at this point is not used here, and costs as much as to write.
            self._in_use_connections.remove(connection)
            self._available_connections.append(connection)
        finally:
            self._places.release()

    async def leave(self) -> None:
        """Close what is idle now, and what is in use when it is given back."""
        self._is_left = True
        for connection in self._available_connections:
            # Without waiting: a caller that waits for a place may take one of these at the next await.
            await connection.disconnect(nowait=True)


async def _is_ready(connection: AbstractConnection) -> bool:
    """Return True if a socket is connected, and nothing unexpected has come, such as its end."""
    return connection.is_connected and not await connection.can_read()
