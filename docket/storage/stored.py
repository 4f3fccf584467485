"""The memory that the results of a docket take, and may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..connection.base import Connection
from ..foundation.units import from_milliseconds, from_time
from .keys import Keys
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, value_of
from .scripting.script import time_query


@dataclass(frozen=True, slots=True)
class ResultLimits:
    """The bounds of what results take in Redis.

    Arguments:
        max_memory: bytes beyond which the oldest results are evicted; zero is no limit.
    """

    max_memory: int = 256 << 20

    @property
    def words(self) -> str:
        """The limits as scripts read them; empty if there are none."""
        return str(self.max_memory) if self.max_memory > 0 else ""


_NEVER: Final = from_milliseconds(0)

UNLIMITED: Final = ResultLimits(0)


@dataclass(frozen=True, slots=True)
class ResultUse:
    """The memory that results take.

    Arguments:
        bytes: how many they count, those that have just ended by themselves included.
        limit: how many they may count; zero is no limit.
        evicted: the number of results that were evicted, until a day passes without any.
        last_evicted_at: the time of the last one; None if there was none.
        taken_at: when that was so, by the server's clock.
    """

    bytes: int = 0
    limit: int = 0
    evicted: int = 0
    last_evicted_at: datetime | None = None
    taken_at: datetime = _NEVER


class StoredResults:
    """Access to what is counted of results.

    Arguments:
        connection: how the server is reached.
        keys: the keys of the docket.
        limits: how much they may take.
    """

    def __init__(self, connection: Connection, keys: Keys, limits: ResultLimits) -> None:
        self._connection = connection
        self._keys = keys
        self.limits = limits

    async def use(self) -> ResultUse:
        """Return the memory that they take.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        now, sizes, evicted = await read_patiently(
            self._connection,
            time_query(self._connection, self._keys),
            ("HVALS", self._keys.stored),
            ("HGETALL", self._keys.evicted),
        )
        known = pairs(value_of(evicted))
        last = known.get(b"at")
        return ResultUse(
            sum(int(size) for size in value_of(sizes) if size.isdigit()),
            max(0, self.limits.max_memory),
            int(known.get(b"count", 0)),
            None if last is None else from_milliseconds(last),
            from_milliseconds(from_time(value_of(now))),
        )
