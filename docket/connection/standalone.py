"""One server, found once and found again when it moves: the machinery that all environments share.

What differs between environments is only where the server is. Each of them says so in ``locate``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from typing_extensions import override

from ..errors import ServerRefused
from .base import Command, Connection, Facts, Reply, ThreadConnection
from .errors import is_misdirected, translate, unreachable

CONNECT_TIMEOUT = 2.0
"""Seconds that a server gets to accept."""

COMMAND_TIMEOUT = 5.0
"""Seconds that a server gets to answer a command that does not wait."""

OLDEST = (6, 2)


@dataclass(frozen=True)
class Target:
    """A server, and how it wants to be talked to.

    Arguments:
        host, port: where it is, unless it is a socket.
        path: the unix socket, if it is one.
        options: what redis-py's connections take besides: user, password, database, TLS.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def arguments(self, read_timeout: float | None) -> dict[str, Any]:
        """What a connection of redis-py is made with."""
        place = {"path": self.path} if self.path else {"host": self.host, "port": self.port}
        keepalive = {} if self.path else {"socket_keepalive": True}
        return {
            **self.options,
            **place,
            **keepalive,
            "socket_timeout": read_timeout,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "protocol": 2,
            "decode_responses": False,
        }


class Standalone(Connection):
    """A server at a fixed place.

    Arguments:
        url: where it is, without secrets, for messages.
        target: where it is.
        size: how many connections are used at a time; more callers wait for one.
    """

    def __init__(self, url: str, target: Target, size: int) -> None:
        self.url = url
        self.target = target
        self._slots = asyncio.Semaphore(size)
        self._pool: redis.asyncio.ConnectionPool | None = None
        self._client: redis.asyncio.Redis | redis.asyncio.RedisCluster | None = None
        self._is_open = False
        self._locating = asyncio.Lock()

    def locate(self) -> Target:
        """Where the server is now; blocking, called again whenever it can not be reached."""
        return self.target

    @override
    async def open(self) -> None:
        assert not self._is_open, "RedisConnection is not reentrant"
        self._is_open = True
        try:
            _refuse_old(await self.facts(), self.url)
        except BaseException:
            await self.close()
            raise

    @override
    async def close(self) -> None:
        self._is_open = False
        if self._client is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()
                if isinstance(self._client, redis.asyncio.Redis):
                    await self._client.connection_pool.disconnect()
            self._client = None
        await self._leave()

    @override
    async def facts(self) -> Facts:
        (reply,) = await self.send(("INFO", "server"))
        if isinstance(reply, ResponseError):
            raise translate(reply, self.url)
        return _facts(reply.decode())

    @override
    async def send(self, *commands: Command) -> list[Reply]:
        async with self._slots:
            pool = self._pool or await self._enter()
            try:
                line = await pool.get_connection()
            except (RedisError, OSError) as error:
                await self._leave(pool)
                raise unreachable(self.url, error) from error
            try:
                replies = await _converse(line, commands)
            except (RedisError, OSError) as error:
                await self._leave(pool)
                raise translate(error, self.url) from error
            finally:
                await pool.release(line)
        if any(isinstance(reply, ResponseError) and is_misdirected(reply) for reply in replies):
            await self._leave(pool)
        return replies

    @property
    @override
    def client(self) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
        if self._client is None:
            self._client = self.make_client()
        return self._client

    def make_client(self) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
        """The client that users get."""
        return redis.asyncio.Redis(connection_pool=_pool(self.locate(), COMMAND_TIMEOUT))

    @override
    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[redis.asyncio.Redis, None]:
        async with self._own_client() as client:
            yield client

    @override
    @asynccontextmanager
    async def subscriber(self) -> AsyncGenerator[PubSub, None]:
        async with self._own_client() as client:
            line = cast(Any, client).pubsub()
            try:
                yield line
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await line.aclose()

    @override
    def threaded(self) -> ThreadConnection:
        return ThreadLine(self)

    @asynccontextmanager
    async def _own_client(self) -> AsyncGenerator[redis.asyncio.Redis, None]:
        target = await asyncio.to_thread(self.locate)
        client = redis.asyncio.Redis(connection_pool=_pool(target, None))
        try:
            yield client
        except (RedisError, OSError) as error:
            raise translate(error, self.url) from error
        finally:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()
                await client.connection_pool.disconnect()

    async def _enter(self) -> redis.asyncio.ConnectionPool:
        async with self._locating:
            if self._pool is None:
                self._pool = _pool(await asyncio.to_thread(self.locate), COMMAND_TIMEOUT)
            return self._pool

    async def _leave(self, pool: redis.asyncio.ConnectionPool | None = None) -> None:
        """Forget where the server is, unless somebody has found it again meanwhile."""
        if self._pool is not None and pool in (None, self._pool):
            leaving, self._pool = self._pool, None
            with contextlib.suppress(RedisError, OSError):
                await leaving.disconnect(inuse_connections=pool is None)


class ThreadLine(ThreadConnection):
    """One blocking line, made when it is needed and made anew when it breaks."""

    def __init__(self, home: Standalone) -> None:
        self._home = home
        self._line: Any = None

    @override
    def send(self, *commands: Command) -> list[Reply]:
        try:
            line = self._line = self._line or self._connect()
            line.send_packed_command(line.pack_commands(commands))
            replies = [_read(line) for _ in commands]
        except (RedisError, OSError) as error:
            self.close()
            raise translate(error, self._home.url) from error
        if any(isinstance(reply, ResponseError) and is_misdirected(reply) for reply in replies):
            self.close()
        return replies

    @override
    def close(self) -> None:
        if self._line is not None:
            self._line.disconnect()
            self._line = None

    def _connect(self) -> Any:
        target = self._home.locate()
        arguments = target.arguments(COMMAND_TIMEOUT)
        tls = arguments.pop("ssl", False)
        made = redis.UnixDomainSocketConnection if target.path else redis.Connection
        line = (redis.SSLConnection if tls else made)(**arguments, retry=Retry(NoBackoff(), 0))
        line.connect()
        return line


async def _converse(line: Any, commands: tuple[Command, ...]) -> list[Reply]:
    """Send everything, then read one reply each; a line that fails half-way is closed."""
    try:
        await line.send_packed_command(line.pack_commands(commands))
        replies: list[Reply] = []
        for _ in commands:
            try:
                replies.append(await line.read_response())
            except ResponseError as error:
                replies.append(error)
    except BaseException:
        # Replies may still be on their way: the next user of this line would read them.
        await line.disconnect(nowait=True)
        raise
    return replies


def _read(line: Any) -> Reply:
    try:
        return line.read_response()
    except ResponseError as error:
        return error


def _pool(target: Target, read_timeout: float | None) -> redis.asyncio.ConnectionPool:
    arguments = target.arguments(read_timeout)
    tls = arguments.pop("ssl", False)
    plain = redis.asyncio.UnixDomainSocketConnection if target.path else redis.asyncio.Connection
    # Nothing is sent again behind our back: whoever sends knows whether that is safe.
    return redis.asyncio.ConnectionPool(
        connection_class=redis.asyncio.SSLConnection if tls else plain,
        retry=AsyncRetry(NoBackoff(), 0),
        **arguments,
    )


def _facts(info: str) -> Facts:
    fields = dict(
        line.split(":", 1) for line in info.splitlines() if ":" in line and not line.startswith("#")
    )
    is_valkey = fields.get("server_name") == "valkey" or "valkey_version" in fields
    version = fields.get("valkey_version") if is_valkey else fields.get("redis_version")
    return Facts(
        family="valkey" if is_valkey else "redis",
        version=tuple(int(part) for part in (version or "0").split(".") if part.isdigit()),
    )


def _refuse_old(facts: Facts, url: str) -> None:
    if facts.version < OLDEST:
        found = ".".join(map(str, facts.version))
        raise ServerRefused(
            f"expected Redis 6.2 or newer, or Valkey, at {url}, found {facts.family} {found}; "
            "upgrade the server, or name another one"
        )
