"""The health of a server: its latency, its clock, its memory and its durability."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from ..connection.base import Connection, Reply
from .scripting.retrying import read_patiently, value_of


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory that a server uses, and its limit, in bytes."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """The used share of it."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True)
class Vitals:
    """The health of a server.

    Arguments:
        latency: the duration of a round trip.
        skew: how far its clock is ahead of the one here, give or take a round trip.
        memory: its use of memory; None where there is no limit, or this user may not know.
        is_durable: whether it writes down every change (``appendonly``); None where this user may not know.
    """

    latency: timedelta
    skew: timedelta
    is_durable: bool | None
    memory: MemoryUse | None = None


async def look(connection: Connection) -> Vitals:
    """Measure the health of a server.

    Raises:
        ServerUnavailable: it does not answer.
    """
    began, asked = time.monotonic(), time.time()
    now, persistence, memory = await read_patiently(
        connection, ("TIME",), ("INFO", "persistence"), ("INFO", "memory")
    )
    took = time.monotonic() - began
    seconds, microseconds = value_of(now)
    skew = int(seconds) + int(microseconds) / 1e6 - (asked + took / 2)
    return Vitals(
        timedelta(seconds=took), timedelta(seconds=skew), _is_durable(persistence), _memory(memory)
    )


def _memory(info: Reply) -> MemoryUse | None:
    if not isinstance(info, bytes):
        return None
    lines = dict(line.split(b":", 1) for line in info.split() if b":" in line)
    limit = int(lines.get(b"maxmemory", 0))
    return MemoryUse(int(lines[b"used_memory"]), limit) if limit else None


def _is_durable(info: Reply) -> bool | None:
    # Where INFO is not allowed, its reply is an error.
    return b"aof_enabled:1" in info.split() if isinstance(info, bytes) else None
