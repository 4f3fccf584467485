"""The interface of all connections to Redis: the seam between ``storage`` and the network.

A connection moves commands; it knows no key and no script. One file per environment implements it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias

import redis
import redis.asyncio
from redis.asyncio.client import PubSub
from redis.credentials import CredentialProvider
from typing_extensions import Self

RedisClient: TypeAlias = redis.asyncio.Redis | redis.asyncio.RedisCluster
"""Client with which users keep data of their own beside the work."""

Credentials: TypeAlias = CredentialProvider
"""Source of user and password where they rotate."""

Greeting: TypeAlias = Callable[[], Awaitable[None]]
"""Checks of a server before it is trusted with work."""

Argument: TypeAlias = bytes | str | int | float
Command: TypeAlias = tuple[Argument, ...]
Reply: TypeAlias = Any
"""Reply as redis-py parsed it (always bytes, never str), or a ``ResponseError`` as a value."""


@dataclass(frozen=True)
class Facts:
    """The facts that a server reports about itself.

    Arguments:
        family: redis or valkey.
        version: its version, the first number first.
        is_cluster: whether it is a node of a cluster.
        eviction: what it does when its memory is full (``maxmemory-policy``); None where this user may
            not know. Anything but ``noeviction`` can drop queued work.
    """

    family: str
    version: tuple[int, ...]
    is_cluster: bool = False
    eviction: str | None = None


class Connection(ABC):
    """One docket's way to its server: opened once, closed once, safe to use from many tasks.

    ``async with connection:`` opens it; opening it a second time is an ``AssertionError``
    ("RedisConnection is not reentrant").
    """

    url: str
    """Address, with the password masked: fit for logs."""

    is_cluster: bool = False
    can_move: bool = False
    """True if another server can take over while this one goes on."""
    is_throwaway: bool = False
    """True if the server is this process's own and ends with it, as tests want it."""

    def prefix(self, name: str) -> str:
        """Return the prefix of all keys of the docket ``name``; on a cluster it pins them to one slot.

        Ask for it before opening: on a cluster it decides which node is reached.
        """
        return f"{{{name}}}" if self.is_cluster else name

    @property
    @abstractmethod
    def has_worked(self) -> bool:
        """True if the server has answered before: what it refuses then may be over soon."""

    def refuse_strangers(self) -> None:
        """Refuse to be used in another event loop, or in another process, than it was opened in.

        Raises:
            OpenedElsewhere: this is one.
        """

    @abstractmethod
    async def open(self, greet: Greeting | None = None, *, lazy: bool = False) -> bool:
        """Reach the server, or raise ``ServerUnavailable`` / ``ServerRefused`` with advice.

        Arguments:
            greet: further checks of the server before anything is sent.
            lazy: open it also where nothing answers; it is reached, and greeted, by the first call that
                sends.

        Returns whether it was reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give every socket back. Safe to call twice."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    async def facts(self) -> Facts:
        """Return the facts that the server reports about itself."""

    @abstractmethod
    async def send(self, *commands: Command) -> list[Reply]:
        """Send all commands in one round trip and return one reply each, in order.

        Errors that the server answered are values in the list (``redis.ResponseError``), never
        raised, so that one bad command does not hide the replies of the others. All keys belong
        to one slot. What a server has refused unread (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, MASTERDOWN,
        READONLY) is sent again for some three seconds, to where it belongs by then. Nothing that may
        have run is ever sent twice: only the caller knows whether that is safe.

        Raises:
            ServerUnavailable: the reply is lost; the commands may or may not have run.
            ServerRefused: wrong credentials.
        """

    @property
    @abstractmethod
    def client(self) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
        """A redis-py client on the shared pool (bytes replies), for everything but scripts."""

    @abstractmethod
    def waiting(self) -> AbstractAsyncContextManager[redis.asyncio.Redis]:
        """Return a client of its own without a read timeout, for one blocking command at a time.

        What redis-py raises inside of the block leaves it in our words, ``ServerUnavailable`` for one.
        """

    @abstractmethod
    def subscriber(self) -> AbstractAsyncContextManager[PubSub]:
        """Return a pub/sub connection of its own, without a read timeout; errors as with ``waiting``."""

    @abstractmethod
    async def has_left(self, line: PubSub) -> bool:
        """Return True if this subscriber is connected to a server no longer ours; False if unknown."""

    @abstractmethod
    def threaded(self) -> ThreadConnection:
        """Return a blocking connection for a thread that must go on while the event loop is stuck."""


class ThreadConnection(ABC):
    """The few words that the lease thread needs, on a socket of its own."""

    @abstractmethod
    def send(self, *commands: Command) -> list[Reply]:
        """Do the same as ``Connection.send``, blocking."""

    @abstractmethod
    def close(self) -> None:
        """Give the socket back. Safe to call twice."""


def is_error(reply: Reply) -> bool:
    """Return True if a reply is an error that the server answered."""
    return isinstance(reply, redis.ResponseError)


def errors_of(replies: Sequence[Reply]) -> list[redis.ResponseError]:
    """Return the errors among the replies."""
    return [reply for reply in replies if isinstance(reply, redis.ResponseError)]
