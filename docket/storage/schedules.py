"""The schedules that are in force, and the one atomic step from a due time to an execution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..connection.base import Connection
from .keys import Keys
from .patience import run_patiently, value_of
from .script import Script

_RECONCILE = Script("reconcile", ("owner",))
_TICK = Script("tick", ("id", "expected", "following", "key", "task", "call"))


class DeclaredSchedule(NamedTuple):
    """One schedule in the words of the script."""

    name: str
    timing: str
    """What decides when it is due; as long as this is the same, so is the next time."""
    definition: str
    next_time: int
    """Unix time in ms from which it starts if its timing is new; 0 if it is not due any more."""
    renamed_from: str
    """The name that it had before; empty if it had none."""


class Tick(NamedTuple):
    """What became of one due time."""

    word: str
    """FIRED, STRUCK, SKIPPED, or MOVED if somebody else was first."""
    next_time: int


class Schedules:
    """Reads and writes ``P:schedules``."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def now(self) -> int:
        """The server's time in ms."""
        (reply,) = await self._connection.send(("TIME",))
        seconds, microseconds = value_of(reply)
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def reconcile(self, owner: str, declared: Sequence[DeclaredSchedule]) -> list[int]:
        """Make the schedules of ``owner`` equal to these; tells their next times in force, in ms."""
        fields = (field for schedule in declared for field in schedule)
        (reply,) = await run_patiently(
            self._connection, _RECONCILE.call(self._keys, owner, *fields)
        )
        return [int(moment) for moment in value_of(reply)]

    async def tick(
        self, schedule: str, *, expected: int, following: int, key: str, task: str, call: bytes
    ) -> Tick:
        """Turn one due time into an execution, unless somebody else has done so.

        Arguments:
            schedule: owner/name.
            expected: the due time that is known here, in ms.
            following: the one after it, in ms.
            key, task, call: the execution; without a key the due time passes without one.
        """
        command = _TICK.call(self._keys, schedule, expected, following, key, task, call)
        (reply,) = await run_patiently(self._connection, command)
        word, next_time = value_of(reply)
        return Tick(word.decode(), int(next_time))
