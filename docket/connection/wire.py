"""Bytes on a socket: packs commands, reads one reply each, and leaves no half-read socket behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, cast

import hiredis
import redis.asyncio.connection
from redis.exceptions import ResponseError

from .base import Command, Reply

# asyncio.timeout exists from Python 3.11 on; redis-py has chosen what works on the one that runs.
time_limit: Final = cast(
    Callable[[float], AbstractAsyncContextManager[object]],
    vars(redis.asyncio.connection)["async_timeout"],
)
"""Ends a block with ``asyncio.TimeoutError`` after so many seconds, without a task of its own."""

_pack = cast(Callable[[Command], bytes], vars(hiredis)["pack_command"])


class Line(Protocol):
    """The part of a redis-py socket in an event loop that is used here."""

    async def send_packed_command(self, command: bytes, check_health: bool = ...) -> None:
        """Write."""
        ...

    async def read_response(self, *, disconnect_on_error: bool = ...) -> Any:
        """Read one reply; errors are raised."""
        ...

    async def disconnect(self, nowait: bool = ...) -> None:
        """Close it."""
        ...


class BlockingLine(Protocol):
    """The part of a redis-py socket in a thread that is used here."""

    def connect(self) -> None:
        """Open it, unless it is open."""
        ...

    def can_read(self, timeout: float = ...) -> bool:
        """Return True if there is something to read, including its end."""
        ...

    def send_packed_command(self, command: Iterable[bytes], check_health: bool = ...) -> None:
        """Write."""
        ...

    def read_response(self, *, disconnect_on_error: bool = ...) -> Any:
        """Read one reply; errors are raised."""
        ...

    def disconnect(self) -> None:
        """Close it."""
        ...


def pack(commands: Sequence[Command]) -> bytes:
    """Encode commands for the wire.

    hiredis packs ten times faster than redis-py's asyncio connections, which do not use it for that.

    Raises:
        TypeError: an argument is not text, bytes or a number.
    """
    return b"".join(map(_pack, commands))


async def converse(line: Line, packed: bytes, count: int) -> list[Reply]:
    """Send everything, then read ``count`` replies; errors that the server answered are values."""
    try:
        await line.send_packed_command(packed, check_health=False)
        return [await _read(line) for _ in range(count)]
    except BaseException:
        # Replies may still be on their way: the next user of this socket would read them.
        await line.disconnect(nowait=True)
        raise


def converse_blocking(line: BlockingLine, packed: bytes, count: int) -> list[Reply]:
    """Do the same as ``converse``, for a thread."""
    try:
        line.send_packed_command([packed], check_health=False)
        return [_read_blocking(line) for _ in range(count)]
    except BaseException:
        line.disconnect()
        raise


async def _read(line: Line) -> Reply:
    try:
        return await line.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error


def _read_blocking(line: BlockingLine) -> Reply:
    try:
        return line.read_response(disconnect_on_error=False)
    except ResponseError as error:
        return error
