"""A cluster: all keys of a docket are in one slot, so it is one server that moves now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, RedisError
from redis.retry import Retry
from typing_extensions import override

from ..errors import DocketError, ServerUnavailable
from .errors import unreachable
from .standalone import COMMAND_TIMEOUT, CONNECT_TIMEOUT, Standalone, Target

ASK_TIMEOUT = 1.0
"""Seconds that one node gets to tell the slots; the next one is asked then."""


class Cluster(Standalone):
    """The node that holds the slot of one docket.

    Arguments:
        url: where the cluster is, without secrets, for messages.
        seeds: hosts and ports to ask first.
        target: how the nodes want to be talked to.
        size: how many connections are used at a time.
    """

    is_cluster = True

    def __init__(
        self, url: str, seeds: Sequence[tuple[str, int]], target: Target, size: int
    ) -> None:
        super().__init__(url, target, size)
        self._seeds = list(seeds)
        self._nodes: list[tuple[str, int]] = []
        self._slot = 0

    @override
    def prefix(self, name: str) -> str:
        """The prefix of all keys of the docket; from now on its slot is the one that counts."""
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
                trouble = unreachable(f"{self.url} ({host}:{port})", error)
        raise trouble

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
            raise ClusterDownError(f"nobody holds slot {self._slot}")
        self._nodes = nodes
        return holder

    @override
    def make_client(self) -> redis.asyncio.RedisCluster:
        return redis.asyncio.RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self._seeds],
            socket_timeout=COMMAND_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            **self.target.options,
        )
