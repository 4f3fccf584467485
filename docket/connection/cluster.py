"""A cluster: all keys of a docket are in one slot, so it is one server that moves now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry
from typing_extensions import override

from ..errors import DocketError, ServerUnavailable
from ..instrumentation.tracing import suppressed
from .base import Command, Reply
from .errors import refused_unread, unreachable
from .standalone import CONNECT_TIMEOUT, Standalone, Target, make_pool
from .wire import pack

ASK_TIMEOUT = 1.0
"""Seconds that one node gets to list the slots; the next one is asked then."""


logger = logging.getLogger("docket.connection")

_SCRIPTS = frozenset({"EVALSHA", "EVAL"})


class Cluster(Standalone):
    """The node that holds the slot of one docket.

    Arguments:
        url: where the cluster is, without secrets, for messages.
        seeds: hosts and ports to ask first.
        target: how the nodes want to be talked to.
        size: how many connections are used at a time.
    """

    is_cluster = True
    can_move = True

    def __init__(
        self, url: str, seeds: Sequence[tuple[str, int]], target: Target, size: int
    ) -> None:
        super().__init__(url, target, size)
        self._seeds = list(seeds)
        self._nodes: list[tuple[str, int]] = []
        self._slot = 0
        self._is_moving = False
        """True if the slot was on its way to another node when a script was last sent."""

    @override
    def prefix(self, name: str) -> str:
        """Return the prefix of all keys of the docket; from now on its slot is the one that counts."""
        prefix = super().prefix(name)
        self._slot = key_slot(prefix.encode())
        return prefix

    @override
    def locate(self) -> Target:
        trouble: DocketError = ServerUnavailable(f"no node of {self.url} was named")
        # Nodes that were heard of are asked first: a seed may be the one that died.
        for host, port in dict.fromkeys([*self._nodes, *self._seeds]):
            try:
                return self._ask(host, port)
            except (RedisError, OSError) as error:
                trouble = unreachable(
                    f"{self.url} ({host}:{port})", error, has_worked=self.has_worked
                )
        raise trouble

    @suppressed()
    def _ask(self, host: str, port: int) -> Target:
        options: dict[str, Any] = {
            **self.target.options,
            "socket_timeout": ASK_TIMEOUT,
            "socket_connect_timeout": ASK_TIMEOUT,
        }
        retry = Retry(NoBackoff(), 0)
        client: Any = redis.Redis(host=host, port=port, retry=retry, **options)
        with client:
            # The answer as it comes: redis-py would make a table of it.
            client.response_callbacks.clear()
            ranges: list[Any] = client.execute_command("CLUSTER SLOTS")
        holder: Target | None = None
        nodes: list[tuple[str, int]] = []
        for first, last, primary, *_ in ranges:
            # A node that does not know its own address leaves it empty.
            node = ((primary[0] or b"").decode() or host, int(primary[1]))
            nodes.append(node)
            if int(first) <= self._slot <= int(last):
                holder = replace(self.target, host=node[0], port=node[1])
        if holder is None:
            raise ClusterDownError(f"no node holds slot {self._slot}")
        self._nodes = nodes
        return holder

    @override
    async def send(self, *commands: Command) -> list[Reply]:
        replies = await super().send(*commands)
        if self._is_moving and _has_run_scripts(commands, replies):
            self._is_moving = False
            logger.warning("slot %d of %s has arrived; work goes on", self._slot, self.url)
        return [self._in_our_words(*pair) for pair in zip(commands, replies, strict=True)]

    @override
    async def send_again(
        self, commands: Sequence[Command], refusals: Sequence[ResponseError]
    ) -> list[Reply]:
        moving_to = {place for place in map(_moving_to, refusals) if place}
        if moving_to or any(isinstance(refusal, TryAgainError) for refusal in refusals):
            self._tell_moving()
        # A script works on many keys, some here and some there: it waits for the end of the move.
        if len(moving_to) != 1 or any(command[0] in _SCRIPTS for command in commands):
            return await super().send_again(commands, refusals)
        # Each of the others has one key, or is refused once more. The node that the slot is on its way to
        # answers for what has arrived, if asked politely.
        return await self._send_politely(commands, *moving_to.pop())

    def _tell_moving(self) -> None:
        if not self._is_moving:
            self._is_moving = True
            logger.warning(
                "slot %d of %s is moving to another node; work waits until it has arrived",
                self._slot,
                self.url,
            )

    def _in_our_words(self, command: Command, reply: Reply) -> Reply:
        """Add advice about a slot that is still moving after all the tries."""
        if _moving_to(reply) or isinstance(reply, TryAgainError):
            return TryAgainError(
                f"TRYAGAIN slot {self._slot} is moving to another node, and {command[0]} waits until it has "
                "arrived; if it is not being moved, it was left open: `redis-cli --cluster fix` closes it"
            )
        return reply

    async def _send_politely(
        self, commands: Sequence[Command], host: str, port: int
    ) -> list[Reply]:
        polite = [word for command in commands for word in (("ASKING",), command)]
        pool = make_pool(replace(self.target, host=host, port=port), self.target.patience, 1)
        try:
            replies = await self.exchange(pool, pack(polite), len(polite))
        finally:
            await pool.disconnect()
        return replies[1::2]

    @override
    def make_client(self) -> redis.asyncio.RedisCluster:
        return WaitingCluster(
            self.size,
            startup_nodes=[ClusterNode(host, port) for host, port in self._seeds],
            socket_timeout=self.target.patience,
            retry=AsyncRetry(NoBackoff(), 0),
            protocol=2,
            **{"socket_connect_timeout": CONNECT_TIMEOUT, **self.target.options},
        )


def _moving_to(reply: Reply) -> tuple[str, int] | None:
    """Return the node that answers for what has already arrived there, if the reply names one."""
    if isinstance(reply, AskError) and not isinstance(reply, MovedError):
        return vars(reply)["node_addr"]
    return None


def _has_run_scripts(commands: Sequence[Command], replies: Sequence[Reply]) -> bool:
    refused = set(refused_unread(replies))
    return any(
        command[0] in _SCRIPTS and index not in refused for index, command in enumerate(commands)
    )


class WaitingCluster(redis.asyncio.RedisCluster):
    """A client of redis-py that lets callers wait, and sends nothing twice.

    On its own it fails when more than a fixed number of callers use one node, and it repeats commands
    whose reply was lost: an INCR then counts twice.

    Arguments:
        size: how many commands are under way at a time.
        options: as redis-py's.
    """

    def __init__(self, size: int, **options: Any) -> None:
        cast(Any, super()).__init__(**options, max_connections=size)
        self._places = asyncio.Semaphore(size)
        self._entrance = asyncio.Lock()

    @override
    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        async with self._places:
            # Callers that look for the nodes at the same time close each other's sockets.
            async with self._entrance:
                await self.initialize()
            return await super().execute_command(*arguments, **options)
