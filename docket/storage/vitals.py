"""How a server fares: how fast it answers, what its clock says, whether it writes everything down."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from ..connection.base import Connection, Reply
from .patience import read_patiently, value_of


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a server fares.

    Arguments:
        latency: how long a round trip takes.
        skew: how far its clock is ahead of the one here, give or take a round trip.
        is_durable: whether it writes down every change (``appendonly``); None where this user may not know.
    """

    latency: timedelta
    skew: timedelta
    is_durable: bool | None


async def look(connection: Connection) -> Vitals:
    """Ask a server how it fares.

    Raises:
        ServerUnavailable: it does not answer.
    """
    began, asked = time.monotonic(), time.time()
    now, persistence = await read_patiently(connection, ("TIME",), ("INFO", "persistence"))
    took = time.monotonic() - began
    seconds, microseconds = value_of(now)
    skew = int(seconds) + int(microseconds) / 1e6 - (asked + took / 2)
    return Vitals(timedelta(seconds=took), timedelta(seconds=skew), _is_durable(persistence))


def _is_durable(info: Reply) -> bool | None:
    # Where INFO is not allowed, its reply is an error.
    return b"aof_enabled:1" in info.split() if isinstance(info, bytes) else None
