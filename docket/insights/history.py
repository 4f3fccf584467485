"""Questions about what has ended: a page of it, the last end of a key, counts and durations."""

from __future__ import annotations

import operator
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from ..errors import InvalidOption
from ..storage.history import COMPLETED, FAILURES, STREAMS, Ended, History, Reach

PAGE: Final = 50
"""Entries of a page, unless another number is asked for."""

SLICE: Final = 1_000
"""Entries of a stream that one round trip reads."""

LOOKED_AT: Final = 10_000
"""Entries that one question looks at."""

COUNTED: Final = 20_000
"""Entries that counts and durations are taken from."""

ENDINGS: Final = (*("completed", "failed", "retried", "cancelled", "struck", "expired", "dropped"),)
"""The states of what is remembered, as ``Ended.ending`` names them."""

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
"""The comparisons of an argument."""


_PLACE: Final = re.compile(r"\+|\d+-\d+")


class Where(NamedTuple):
    """A comparison of an argument that may be logged.

    Arguments:
        name: the parameter.
        comparison: one of ``COMPARISONS``.
        value: the value to compare with; a string is also compared with numbers.
    """

    name: str
    comparison: str
    value: Any

    def holds(self, args: Mapping[str, Any]) -> bool:
        """Return True if the argument is there and compares."""
        if self.name not in args:
            return False
        found = args[self.name]
        try:
            return COMPARISONS[self.comparison](found, _like(found, self.value))
        except (TypeError, ValueError):
            return self.comparison == "!="


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection of what has ended.

    Arguments:
        since: no earlier than this.
        until: before this.
        states: these of ``ENDINGS``; none is all of them.
        task, key: of this task, or key.
        where: all of these hold.
        tags: with all of these.
        error: with an error of this class, or this fingerprint.
    """

    since: datetime | None = None
    until: datetime | None = None
    states: Sequence[str] = ()
    task: str | None = None
    key: str | None = None
    where: Sequence[Where] = ()
    tags: Sequence[str] = ()
    error: str | None = None

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that may hold any of it."""
        if not self.states:
            return STREAMS
        others = [state for state in self.states if state != "completed"]
        return (FAILURES,) * bool(others) + (COMPLETED,) * ("completed" in self.states)

    @property
    def takes_all(self) -> bool:
        """True if everything within its time is meant."""
        return self == Choice(self.since, self.until)

    def lets_through(self, one: Ended) -> bool:
        """Return True if an entry is meant."""
        return (
            (not self.states or one.ending in self.states)
            and self.task in (None, one.task)
            and self.key in (None, one.key)
            and self.error in (None, one.error, one.fingerprint)
            and set(self.tags) <= set(one.tags)
            and all(where.holds(one.args) for where in self.where)
        )


EVERYTHING: Final = Choice()


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some of what has ended, the latest first.

    Arguments:
        entries: what was found.
        cursor: continues where this page ends; empty if there is no more.
        reach: how far back the history reaches.
        looked_at: the number of entries that were looked at.
    """

    entries: list[Ended]
    cursor: str
    reach: Reach
    looked_at: int = 0


@dataclass(frozen=True, slots=True)
class TaskStats:
    """The ends of a task.

    Arguments:
        task: its name.
        counts: how many ended in each way.
        p50, p95: seconds that half of its runs, and 95 in 100, took at most; None if there was none.
    """

    task: str
    counts: Mapping[str, int]
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Stats:
    """The ends of tasks within some time.

    Arguments:
        tasks: those of each task, by its name.
        reach: how far back the history reaches.
        since: the earliest end that was counted, if there were more than are counted.
    """

    tasks: list[TaskStats]
    reach: Reach
    since: datetime | None = None


class Reading:
    """One walk through the history, the latest first; how far it has come is its cursor."""

    def __init__(self, history: History, choice: Choice, cursor: str = "") -> None:
        self._history = history
        self._choice = choice
        self._before = _positions(choice, cursor)
        self._reaches: Mapping[str, Reach] = {}
        self.is_over = False
        self.looked_at = 0
        self.last: Ended | None = None

    @property
    def cursor(self) -> str:
        """The place that it has come to."""
        return ",".join(f"{self._before[name]}" for name in self._choice.streams)

    @property
    def reach(self) -> Reach:
        """Return the reach of the streams that it reads."""
        found = [self._reaches.get(name, Reach(None)) for name in self._choice.streams]
        known = [one for one in found if one.since is not None]
        cut = [one for one in known if one.why]
        if cut:
            return max(cut, key=_moment)
        return min(known, key=_moment, default=Reach(None))

    async def entries(self, most: int, size: int) -> AsyncIterator[Ended]:
        """Yield what is meant.

        Arguments:
            most: entries that are looked at, about.
            size: entries of each stream in one round trip.
        """
        while not self.is_over and self.looked_at < most:
            looked = await self._history.look(self._before, self._choice.since, size)
            self._reaches = looked.reaches
            left = {name: list(one.entries[::-1]) for name, one in looked.slices.items()}
            # Where a slice ends but its stream does not, nothing older may be told before the next slice.
            while all(left[name] or one.is_last for name, one in looked.slices.items()):
                name = max(
                    filter(left.get, left), key=lambda one: _order(left[one][-1]), default=""
                )
                if not name:
                    self.is_over = True
                    break
                self.last = left[name].pop()
                self._before[name] = self.last.id
                self.looked_at += 1
                if self._choice.lets_through(self.last):
                    yield self.last


async def page_of(history: History, choice: Choice, limit: int, cursor: str) -> HistoryPage:
    """Return a page of what has ended, the latest first.

    Arguments:
        history: where.
        choice: which.
        limit: the number of entries.
        cursor: where the page before ended; empty for the first.
    """
    reading = Reading(history, choice, cursor)
    found: list[Ended] = []
    # One more than is shown tells whether there are more.
    async for one in reading.entries(LOOKED_AT, limit if choice.takes_all else SLICE):
        found.append(one)
        if len(found) == limit:
            break
    return HistoryPage(
        found, "" if reading.is_over else reading.cursor, reading.reach, reading.looked_at
    )


async def stats_of(history: History, choice: Choice) -> Stats:
    """Return the ends of tasks, from the last ``COUNTED`` entries."""
    reading = Reading(history, choice)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: dict[str, list[float]] = defaultdict(list)
    async for one in reading.entries(COUNTED, SLICE):
        counts[one.task][one.ending] += 1
        if one.seconds is not None:
            seconds[one.task].append(one.seconds)
    tasks = [
        TaskStats(task, dict(counts[task]), *_quantiles(seconds[task])) for task in sorted(counts)
    ]
    is_cut = not reading.is_over and reading.last is not None
    return Stats(tasks, reading.reach, reading.last.ended_at if is_cut and reading.last else None)


def _quantiles(seconds: list[float]) -> tuple[float | None, float | None]:
    if not seconds:
        return None, None
    ordered = sorted(seconds)
    return ordered[(len(ordered) - 1) // 2], ordered[(len(ordered) - 1) * 95 // 100]


def _positions(choice: Choice, cursor: str) -> dict[str, str]:
    if cursor:
        places = cursor.split(",")
        if len(places) != len(choice.streams) or not all(map(_PLACE.fullmatch, places)):
            raise InvalidOption(
                f"expected the cursor that a page of the same question has given, found {cursor!r}"
            )
        return dict(zip(choice.streams, places, strict=True))
    end = "+" if choice.until is None else f"{int(choice.until.timestamp() * 1000)}-0"
    return dict.fromkeys(choice.streams, end)


def _order(one: Ended) -> tuple[int, int]:
    milliseconds, _, number = one.id.partition("-")
    return int(milliseconds), int(number)


def _moment(reach: Reach) -> float:
    return 0.0 if reach.since is None else reach.since.timestamp()


def _like(found: object, value: Any) -> Any:
    """Return a value that was typed as a string as what it is compared with."""
    if not isinstance(value, str) or isinstance(found, str):
        return value
    if isinstance(found, bool):
        return {"true": True, "false": False}.get(value.lower(), value)
    return float(value)
