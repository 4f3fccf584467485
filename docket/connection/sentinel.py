"""A primary that Sentinels know: asked for when it is needed, and again after a failover."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError
from typing_extensions import override

from ..instrumentation.tracing import suppressed
from .errors import unreachable
from .pool import WaitingPool
from .standalone import CONNECT_TIMEOUT, Standalone, Target

ASK_TIMEOUT = 1.0
"""Seconds that one Sentinel gets to answer; the next one is asked then."""

FAILOVER = 3.0
"""Seconds for which Sentinels that answer, but know no living primary, are asked again."""

_PAUSE = 0.1


class Sentinel(Standalone):
    """The primary of a service.

    Arguments:
        url: where it is, without secrets, for messages.
        sentinels: hosts and ports of the Sentinels.
        service: the name of the service.
        target: how the primary wants to be talked to; where it is comes from the Sentinels.
        sentinel_options: user and password of the Sentinels, TLS.
        size: how many connections are used at a time.
    """

    can_move = True

    def __init__(
        self,
        url: str,
        sentinels: Sequence[tuple[str, int]],
        service: str,
        target: Target,
        sentinel_options: Mapping[str, Any],
        size: int,
    ) -> None:
        super().__init__(url, target, size)
        self._sentinels = sentinels
        self._service = service
        self._sentinel_options = {
            **sentinel_options,
            "socket_timeout": ASK_TIMEOUT,
            "socket_connect_timeout": ASK_TIMEOUT,
        }

    @override
    @suppressed()
    def locate(self) -> Target:
        asked: Any = redis.sentinel.Sentinel(
            self._sentinels,
            sentinel_kwargs={**self._sentinel_options, "retry": Retry(NoBackoff(), 0)},
        )
        try:
            host, port = self._discover(asked)
        except (RedisError, OSError) as error:
            raise unreachable(self.url, error, has_worked=self.has_worked) from error
        finally:
            for sentinel in asked.sentinels:
                sentinel.close()
        return replace(self.target, host=host, port=int(port))

    def _discover(self, asked: Any) -> tuple[str, int]:
        """Return the address of the primary; a failover that is under way gets a moment to end."""
        deadline = time.monotonic() + FAILOVER
        while True:
            try:
                return asked.discover_master(self._service)
            except MasterNotFoundError:
                if time.monotonic() >= deadline or not self._is_watched(asked):
                    raise
                time.sleep(_PAUSE)

    def _is_watched(self, asked: Any) -> bool:
        """Return True if a Sentinel answers that has heard of the service."""
        for sentinel in asked.sentinels:
            try:
                return self._service in sentinel.sentinel_masters()
            except (RedisError, OSError):
                continue
        return False

    @override
    def make_client(self) -> redis.asyncio.Redis:
        sentinels: Any = redis.asyncio.sentinel.Sentinel(
            self._sentinels,
            sentinel_kwargs={**self._sentinel_options, "retry": AsyncRetry(NoBackoff(), 0)},
        )
        return sentinels.master_for(
            self._service,
            connection_pool_class=SentinelPool,
            max_connections=self.size,
            socket_timeout=self.target.patience,
            retry=AsyncRetry(NoBackoff(), 0),
            protocol=2,
            **{"socket_connect_timeout": CONNECT_TIMEOUT, **self.target.options},
        )


class SentinelPool(WaitingPool, redis.asyncio.sentinel.SentinelConnectionPool):
    """The sockets of a primary, and those on which the Sentinels are asked for it."""

    @override
    async def aclose(self) -> None:
        """Close all of them."""
        await super().aclose()
        asked: Any = self.sentinel_manager
        for sentinel in asked.sentinels:
            await sentinel.aclose()
