"""One server, found once and found again when it moves: the machinery that all environments share.

Environments differ only in where the server is. Each of them implements ``locate``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from typing_extensions import override

from ..errors import Closed, DocketError, ServerUnavailable
from .base import Command, Connection, Facts, Greeting, Reply, ThreadConnection, errors_of, is_error
from .credentials import Askable
from .errors import needs_login, refused_unread, translate, unreachable
from .facts import QUESTIONS, read_facts, refuse_unfit
from .owner import Owner
from .pool import WaitingPool
from .wire import BlockingLine, converse, converse_blocking, pack, time_limit

CONNECT_TIMEOUT = 2.0
"""Seconds that a server gets to accept."""

COMMAND_TIMEOUT = 5.0
"""Seconds that a server gets to answer a command that does not wait, unless its URL says otherwise."""

PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds before each new try of what a server has refused unread: some three seconds altogether."""


_greets: ContextVar[bool] = ContextVar("docket_greets", default=False)
"""True while the greeting itself is sent from here."""


@dataclass(frozen=True)
class Target:
    """A server, and how it wants to be talked to.

    Arguments:
        host, port: where it is, unless it is a socket.
        path: the unix socket, if it is one.
        options: what redis-py's connections take besides: user, password, database, TLS.
        patience: seconds that the server gets to answer a command that does not wait.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    patience: float = COMMAND_TIMEOUT

    def arguments(self, read_timeout: float | None) -> dict[str, Any]:
        """Return the arguments for a connection of redis-py."""
        options = {name: value for name, value in self.options.items() if name != "ssl"}
        place = {"path": self.path} if self.path else {"host": self.host, "port": self.port}
        return {
            "socket_connect_timeout": CONNECT_TIMEOUT,
            **options,
            **place,
            "socket_timeout": read_timeout,
            "protocol": 2,
        }

    @property
    def is_encrypted(self) -> bool:
        """True if it is reached over TLS."""
        return bool(self.options.get("ssl"))


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
        self.size = size
        self._pool: WaitingPool | None = None
        self._client: redis.asyncio.Redis | redis.asyncio.RedisCluster | None = None
        self._has_worked = False
        self._is_open = False
        self._is_closed = False
        """True once it was closed; one that was never open comes up when it is first used."""
        self._owner: Owner | None = None
        self._locating = asyncio.Lock()
        self._greeting = asyncio.Lock()
        self._greet: Greeting | None = None
        self._is_greeted = True
        """True once the server was checked; one that was never opened is taken as it is."""

    @property
    @override
    def has_worked(self) -> bool:
        return self._has_worked

    def locate(self) -> Target:
        """Return where the server is now; blocking, called again whenever it cannot be reached."""
        return self.target

    @override
    def refuse_strangers(self) -> None:
        if self._owner is None:
            self._owner = Owner(self.url)
        self._owner.refuse_others()

    @override
    async def open(self, greet: Greeting | None = None, *, lazy: bool = False) -> bool:
        self.refuse_strangers()
        assert not self._is_open, "RedisConnection is not reentrant"
        self._is_open = True
        self._is_closed = False
        provider = self.target.options.get("credential_provider")
        if isinstance(provider, Askable):
            provider.bind()
        # Bound to the event loop of this opening: the next one may be in another loop.
        self._locating = asyncio.Lock()
        self._greeting, self._greet, self._is_greeted = asyncio.Lock(), greet, False
        try:
            await self._greet_once()
        except BaseException as error:
            if lazy and isinstance(error, ServerUnavailable):
                return False
            await self.close()
            raise
        return True

    @override
    async def close(self) -> None:
        self.refuse_strangers()
        self._owner = None
        self._is_open = False
        self._is_closed = True
        if self._client is not None:
            client, self._client = self._client, None
            await _close_client(client)
        await self._leave()

    @override
    async def facts(self) -> Facts:
        return read_facts(await self.send(*QUESTIONS))

    @override
    async def send(self, *commands: Command) -> list[Reply]:
        if not commands:
            return []
        if not self._is_greeted and not _greets.get():
            await self._greet_once()
        replies = await self._send_once(commands)
        for pause in PAUSES:
            refused = refused_unread(replies)
            if not refused:
                break
            await asyncio.sleep(pause)
            again = await self.send_again(
                [commands[index] for index in refused], [replies[index] for index in refused]
            )
            for index, reply in zip(refused, again, strict=True):
                replies[index] = reply
        return replies

    async def send_again(
        self, commands: Sequence[Command], refusals: Sequence[ResponseError]
    ) -> list[Reply]:
        """Send what was refused unread to where it belongs now.

        Arguments:
            commands: what was refused.
            refusals: the answers to them, in the same order.
        """
        del refusals  # They name the place on a cluster only.
        return await self._send_once(commands)

    async def _send_once(self, commands: Sequence[Command]) -> list[Reply]:
        self.refuse_strangers()
        packed = pack(commands)
        pool = self._pool or await self._enter()
        try:
            async with time_limit(self.target.patience):
                replies = await self.exchange(pool, packed, len(commands))
        except asyncio.TimeoutError:
            await self._leave(pool)
            raise ServerUnavailable(
                f"the server at {self.url} did not answer within {self.target.patience:g} s; whether it "
                "has run the commands is not known"
            ) from None
        except DocketError:
            await self._leave(pool)
            raise
        if (errors := errors_of(replies)) and (refused_unread(errors) or needs_login(errors)):
            await self._leave(pool)
        return replies

    async def exchange(self, pool: WaitingPool, packed: bytes, count: int) -> list[Reply]:
        """Send packed commands on a socket of the pool and read their replies, in our errors."""
        try:
            line = await pool.get_connection()
        except (RedisError, OSError) as error:
            raise unreachable(self.url, error, has_worked=self.has_worked) from error
        try:
            replies = await converse(line, packed, count)
        except (RedisError, OSError) as error:
            raise translate(error, self.url) from error
        finally:
            await pool.release(line)
        self._has_worked = self._has_worked or not all(map(is_error, replies))
        return replies

    @property
    @override
    def client(self) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
        self.refuse_strangers()
        if self._client is None:
            self._client = self.make_client()
        return self._client

    def make_client(self) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
        """Return the client that users get."""
        return redis.asyncio.Redis(
            connection_pool=make_pool(self.locate(), self.target.patience, self.size)
        )

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
    async def has_left(self, line: PubSub) -> bool:
        try:
            target = await asyncio.to_thread(self.locate)
        except DocketError:
            return False
        connected = cast(Any, line).connection
        return (connected.host, connected.port) != (target.host, target.port)

    @override
    def threaded(self) -> ThreadConnection:
        return ThreadLine(self)

    @asynccontextmanager
    async def _own_client(self) -> AsyncGenerator[redis.asyncio.Redis, None]:
        self.refuse_strangers()
        target = await asyncio.to_thread(self.locate)
        client = redis.asyncio.Redis(connection_pool=make_pool(target, None, 1))
        try:
            yield client
        except (RedisError, OSError) as error:
            raise translate(error, self.url) from error
        finally:
            await _close_client(client)

    async def _greet_once(self) -> None:
        """Check the server, and run all further checks, before anything is sent to it."""
        async with self._greeting:
            if self._is_greeted:
                return
            before = _greets.set(True)
            try:
                refuse_unfit(await self.facts(), self.url, self.is_cluster)
                if self._greet is not None:
                    await self._greet()
            finally:
                _greets.reset(before)
            self._is_greeted = True

    async def _enter(self) -> WaitingPool:
        if self._is_closed:
            raise Closed(
                f"the connection to {self.url} is closed: what a docket is asked to do belongs inside of "
                "`async with Docket(...) as docket:`"
            )
        async with self._locating:
            if self._pool is None:
                # The time limit is that of the whole exchange: see send.
                self._pool = make_pool(await asyncio.to_thread(self.locate), None, self.size)
            return self._pool

    async def _leave(self, pool: WaitingPool | None = None) -> None:
        """Forget where the server is, unless it has been found again meanwhile."""
        if self._pool is not None and pool in (None, self._pool):
            removed_tasks, self._pool = self._pool, None
            await removed_tasks.leave()


class ThreadLine(ThreadConnection):
    """One blocking line, made when it is needed and made anew when it breaks."""

    def __init__(self, home: Standalone) -> None:
        self._home = home
        self._line: BlockingLine | None = None

    @override
    def send(self, *commands: Command) -> list[Reply]:
        replies = self._send_once(commands)
        for pause in PAUSES:
            refused = refused_unread(replies)
            if not refused:
                break
            time.sleep(pause)
            again = self._send_once([commands[index] for index in refused])
            for index, reply in zip(refused, again, strict=True):
                replies[index] = reply
        return replies

    def _send_once(self, commands: Sequence[Command]) -> list[Reply]:
        packed = pack(commands)
        # Taken away until all replies are read: no one uses it half-read, even after an error.
        line, self._line = self._usable(), None
        try:
            replies = converse_blocking(line, packed, len(commands))
        except (RedisError, OSError) as error:
            raise translate(error, self._home.url) from error
        if refused_unread(replies) or needs_login(replies):
            line.disconnect()
        else:
            self._line = line
        return replies

    @override
    def close(self) -> None:
        if self._line is not None:
            self._line.disconnect()
            self._line = None

    def _usable(self) -> BlockingLine:
        """Return a line that the server has not closed since it was last used."""
        if self._line is not None and self._line.can_read(timeout=0):
            self.close()
        if self._line is None:
            self._line = self._connect()
        return self._line

    def _connect(self) -> BlockingLine:
        target = self._home.locate()
        line = _blocking_class(target)(
            **target.arguments(target.patience), retry=Retry(NoBackoff(), 0)
        )
        try:
            line.connect()
        except (RedisError, OSError) as error:
            raise unreachable(self._home.url, error, has_worked=self._home.has_worked) from error
        return line


def make_pool(
    target: Target,
    read_timeout: float | None,
    size: int,
    pool_class: type[WaitingPool] = WaitingPool,
) -> WaitingPool:
    """Return the sockets of a server, for asyncio; nothing is connected yet."""
    # Nothing is sent again behind our back: only the caller knows whether that is safe.
    return pool_class(
        max_connections=size,
        connection_class=_asyncio_class(target),
        retry=AsyncRetry(NoBackoff(), 0),
        **target.arguments(read_timeout),
    )


def _asyncio_class(target: Target) -> type[AbstractConnection]:
    if target.path:
        return redis.asyncio.UnixDomainSocketConnection
    return redis.asyncio.SSLConnection if target.is_encrypted else redis.asyncio.Connection


def _blocking_class(target: Target) -> Callable[..., BlockingLine]:
    if target.path:
        return redis.UnixDomainSocketConnection
    return redis.SSLConnection if target.is_encrypted else redis.Connection


async def _close_client(client: redis.asyncio.Redis | redis.asyncio.RedisCluster) -> None:
    with contextlib.suppress(RedisError, OSError):
        await client.aclose()
    if isinstance(client, redis.asyncio.Redis):
        with contextlib.suppress(RedisError, OSError):
            await client.connection_pool.aclose()
