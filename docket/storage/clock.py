"""The time as the scripts of a docket see it, what is due by it, and moving it.

Time can be moved at a throw-away server only, and for one docket at a time: there every script is loaded in
a form that asks ``P:clock`` how far. Everywhere else no script knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..connection.base import Connection
from .executions import queue_argument
from .keys import DEFAULT_QUEUE, Keys
from .scripting.retrying import value_of
from .scripting.script import Script, run

_CLOCK = Script("clock", ("verb", "at"))


class StandingClock(NamedTuple):
    """The state of a docket at one moment."""

    now: int
    """Its time in ms."""
    next_due: int | None
    """Due time of the earliest future execution, in ms."""
    due: int
    """Number of executions that are due or running."""


class Clock:
    """Access to ``P:clock``."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self.is_movable = connection.is_throwaway
        """True if the time can be moved."""

    async def look(self, queues: Sequence[str] = (DEFAULT_QUEUE,)) -> StandingClock:
        """Return the time, and what is due.

        Arguments:
            queues: the queues to count in.
        """
        return _standing(await self._ask("look", 0, queues))

    async def stop(self) -> bool:
        """Stop the time; return False if it stands still already, because another program moves it."""
        return bool(await self._ask("begin"))

    async def move(self, to: int) -> None:
        """Stop the time at another moment, in ms."""
        await self._ask("stand", to)

    async def go_on(self) -> None:
        """Let time go on from where it stands still."""
        await self._ask("go")

    async def _ask(
        self,
        verb: Literal["look", "begin", "stand", "go"],
        at: int = 0,
        queues: Sequence[str] = (),
    ) -> list[bytes | int]:
        call = _CLOCK.call(self._keys, verb, at, *map(queue_argument, queues))
        (reply,) = await run(self._connection, call)
        return value_of(reply)


def _standing(reply: list[bytes | int]) -> StandingClock:
    now, next_due, due = reply
    upcoming = int(float(next_due))
    return StandingClock(int(now), None if upcoming < 0 else upcoming, int(due))
