"""Bytes on a socket: packs commands, reads one reply each, and leaves no half-read socket behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, cast

import hiredis
import redis.asyncio.connection
import redis.connection
from redis.exceptions import ResponseError

from .base import Command, Reply

# asyncio.timeout exists from Python 3.11 on; redis-py has chosen what works on the one that runs.
time_limit: Final = cast(
    Callable[[float], AbstractAsyncContextManager[Any]],
    redis.asyncio.connection.async_timeout,  # pyright: ignore[reportUnknownMemberType]
)
"""Ends a block with ``asyncio.TimeoutError`` after so many seconds, without a task of its own."""


def pack(commands: Sequence[Command]) -> bytes:
    """The commands as they go over the wire.

    hiredis packs ten times faster than redis-py's asyncio connections, which do not use it for that.

    Raises:
        TypeError: an argument is not text, bytes or a number.
    """
    return b"".join(map(hiredis.pack_command, commands))


async def converse(
    line: redis.asyncio.connection.AbstractConnection, packed: bytes, count: int
) -> list[Reply]:
    """Send everything, then read ``count`` replies; errors that the server answered are values."""
    try:
        await line.send_packed_command(packed, check_health=False)
        return [await _read(line) for _ in range(count)]
    except BaseException:
        # Replies may still be on their way: the next user of this socket would read them.
        await line.disconnect(nowait=True)
        raise


def converse_blocking(
    line: redis.connection.AbstractConnection, packed: bytes, count: int
) -> list[Reply]:
    """As ``converse``, for a thread."""
    try:
        line.send_packed_command([packed], check_health=False)
        return [_read_blocking(line) for _ in range(count)]
    except BaseException:
        line.disconnect()
        raise


async def _read(line: redis.asyncio.connection.AbstractConnection) -> Reply:
    try:
        return await line.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error


def _read_blocking(line: redis.connection.AbstractConnection) -> Reply:
    try:
        return line.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error
