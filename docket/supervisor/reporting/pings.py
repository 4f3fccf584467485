"""Pings of every pool: the time from an add to an outcome, as a metric and as a condition."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from ...config.model import Configuration
from ...docket import Docket
from ...errors import DocketError
from ...foundation.durations import format_duration
from ...foundation.plain import plain
from ...foundation.service import Service
from ...pinging import Pong, ping
from ..conditions import Conditions
from ..processes.pool import Pool

logger = logging.getLogger("docket.supervisor")

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the clock and at the configuration."""


class LastPing(NamedTuple):
    """The outcome of the last ping of a pool.

    Arguments:
        seconds: how long it took, or was waited for.
        trouble: why it has not completed in time; empty if it has.
    """

    seconds: float
    trouble: str = ""


class Pings(Service):
    """Pings of the first queue of every pool by the leader, where the configuration says so.

    A queue that is paused is left out. That a ping is late is never a reason to be unhealthy: the processes
    of a pool with a backlog must not be ended for that.

    Arguments:
        configuration: gives the active configuration.
        open_docket: makes a docket of it.
        is_leading: tells whether this supervisor leads.
        pools: the pools of this host, by name.
        conditions: where it is reported.
    """

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        open_docket: Callable[[], Docket],
        is_leading: Callable[[], bool],
        pools: Mapping[str, Pool],
        conditions: Conditions,
    ) -> None:
        self._configuration = configuration
        self._open_docket = open_docket
        self._is_leading = is_leading
        self._pools = pools
        self._conditions = conditions
        self._next = 0.0
        self.last: dict[str, LastPing] = {}
        """The last ping of each pool; one that is not pinged is absent."""

    async def run(self) -> None:
        """Ping until stopped."""
        while True:
            self.turn()
            settings = self._configuration().supervisor.ping
            if settings.every is None or not self._is_leading():
                self._report({})
                self._next = 0.0
            elif time.monotonic() >= self._next:
                self._next = time.monotonic() + settings.every.total_seconds()
                with contextlib.suppress(DocketError):  # the pulse of the supervisor reports it
                    await self.ping(settings.timeout)
            await asyncio.sleep(LOOK_EVERY)

    async def ping(self, timeout: timedelta) -> None:
        """Ping every pool once, and report how long that took.

        Arguments:
            timeout: the time after which a ping is late.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        async with self._open_docket() as docket:
            queues = await self._queues(docket)
            names = sorted({*queues.values()})
            pongs = await ping(docket, names, timeout=timeout) if names else []
        found = dict(zip(names, pongs, strict=True))
        self._report({pool: _last(found[queue], timeout) for pool, queue in queues.items()})

    async def _queues(self, docket: Docket) -> dict[str, str]:
        """Return the first queue of each pool, of those that are not paused."""
        pools = self._configuration().workers
        first = {name: pools[name].queues[0] for name in list(self._pools) if name in pools}
        waits = await docket.storage.queues.waits([*first.values()])
        return {name: queue for name, queue in first.items() if not waits[queue].is_paused}

    def _report(self, pings: Mapping[str, LastPing]) -> None:
        self.last.clear()
        self.last.update(pings)
        late = [f"pool {name}: {one.trouble}" for name, one in pings.items() if one.trouble]
        was_late = self._conditions["PingLate"].status
        message = "; ".join(late)
        self._conditions.tell("PingLate", bool(late), "Late" if late else "", message)
        if late and not was_late:
            logger.warning("A call that does nothing does not come through: %s", message)
        elif was_late and not late:
            logger.info("Pings are in time again, or no longer sent")


def _last(pong: Pong, timeout: timedelta) -> LastPing:
    if pong.took is not None:
        return LastPing(pong.took.total_seconds())
    late = (
        f"a ping of queue {plain(pong.queue)} has not completed within {format_duration(timeout)}."
    )
    advice = f"What to do: {pong.advice}" if pong.advice else ""
    words = [late, pong.trouble, advice]
    return LastPing(timeout.total_seconds(), " ".join(word for word in words if word))
