"""The series: how many runs of each task have ended how, and how long they took, in three resolutions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple

from ..connection.base import Connection
from ..foundation.units import from_milliseconds, from_time
from .keys import Keys
from .scripting.retrying import read_patiently, value_of
from .scripting.script import Script, run, time_query

_ADD: Final = Script("series", ("consumer", "number"))
_MARKS: Final = Script("marks")

MOST: Final = 30
"""Cells that one script adds: each is read and written in three resolutions, which takes 0.1 to 0.2 ms."""

FIELDS: Final = 20_000
"""Cells of all tasks together that one round trip asks for, at most."""

OTHER: Final = "other"
"""Task that stands for all those beyond the first 500."""

LETTERS: Final[Mapping[str, str]] = {
    "completed": "c",
    "failed": "f",
    "retried": "r",
    "cancelled": "x",
    "struck": "s",
    "expired": "e",
    "dropped": "d",
}
"""Endings, and what stands for them in Redis."""

_ENDINGS: Final = {letter: ending for ending, letter in LETTERS.items()}
_CELL: Final = re.compile(r"([a-z])(\d+) (\S+) ([\d:,]*);")
_LENGTH: Final = re.compile(r"(\d+):(\d+)")


class Resolution(NamedTuple):
    """A resolution of the series.

    Arguments:
        name: its name in Redis.
        minutes: the minutes of one cell.
        kept: how many cells are kept.
    """

    name: str
    minutes: int
    kept: int

    @property
    def reach(self) -> timedelta:
        """Time into the past that it holds."""
        return timedelta(minutes=self.minutes * self.kept)


RESOLUTIONS: Final = (
    Resolution("1m", 1, 180),
    Resolution("10m", 10, 144),
    Resolution("1h", 60, 168),
)
"""The resolutions, the finest first."""


@dataclass(slots=True)
class Cell:
    """The runs that have ended in one way within some time.

    Arguments:
        count: how many.
        seconds: how long they took together.
        lengths: how many took no longer than each bound of a histogram, by its place; runs of coarse cells
            stand under a later bound than they would.
    """

    count: int = 0
    seconds: float = 0.0
    lengths: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, count: int, seconds: float, lengths: Mapping[int, int]) -> None:
        """Count more of them."""
        self.count += count
        self.seconds += seconds
        for bound, many in lengths.items():
            self.lengths[bound] = self.lengths.get(bound, 0) + many


class Row(NamedTuple):
    """A cell that a worker adds.

    Arguments:
        minute: the minute since 1970 by the server's clock.
        task: the task.
        ending: one of ``LETTERS``.
        cell: what has ended so.
    """

    minute: int
    task: str
    ending: str
    cell: Cell


class Found(NamedTuple):
    """Series as they are stored.

    Arguments:
        now: the server's time.
        resolution: their resolution.
        first: the number of the earliest cell.
        tasks: by task, by the number of the cell, by ending.
    """

    now: datetime
    resolution: Resolution
    first: int
    tasks: Mapping[str, Mapping[int, Mapping[str, Cell]]]


class Mark(NamedTuple):
    """A revision that became active.

    Arguments:
        at: when.
        owner: the owner of the configuration.
        revision: its number.
    """

    at: datetime
    owner: str
    revision: int


class Series:
    """Access to ``P:series:…``."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def add(self, consumer: str, number: int, rows: Sequence[Row]) -> bool:
        """Add a batch of cells; return False if it was added before.

        Arguments:
            consumer: the life of the worker.
            number: the number of the batch, higher than of the one before.
            rows: ``MOST`` at most.

        Raises:
            ServerUnavailable: the reply is lost. The batch may be sent again, as it is.
        """
        words = [word for row in rows for word in _words(row)]
        (reply,) = await run(self._connection, _ADD.call(self._keys, consumer, number, *words))
        return bool(value_of(reply))

    async def read(self, since: datetime | timedelta | None, task: str | None = None) -> Found:
        """Return the series, in the finest resolution that reaches so far back.

        It takes one round trip, and one more for each ``FIELDS`` cells.

        Arguments:
            since: the earliest end, or how long ago that was; None for all that there is.
            task: this one only.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        clock, named = await read_patiently(
            self._connection,
            time_query(self._connection, self._keys),
            ("ZRANGE", self._keys.series_tasks, 0, -1),
        )
        now = from_milliseconds(from_time(value_of(clock)))
        if isinstance(since, timedelta):
            since = now - since
        resolution = _resolution(now, since)
        last = int(now.timestamp()) // 60 // resolution.minutes
        first = last - resolution.kept + 1
        if since is not None:
            first = max(first, int(since.timestamp()) // 60 // resolution.minutes)
        names = [name.decode(errors="replace") for name in value_of(named)]
        wanted = [*names, OTHER] if task is None else [task]
        tasks = await self._cells(resolution, wanted, range(first, last + 1))
        return Found(now, resolution, first, tasks)

    async def _cells(
        self, resolution: Resolution, tasks: Sequence[str], numbers: range
    ) -> dict[str, dict[int, dict[str, Cell]]]:
        found: dict[str, dict[int, dict[str, Cell]]] = {}
        if not numbers:
            return found
        waiting = iter(tasks)
        while page := [*islice(waiting, max(1, FIELDS // len(numbers)))]:
            places = [self._keys.series(resolution.name, task) for task in page]
            replies = await read_patiently(
                self._connection, *(("HMGET", place, *numbers) for place in places)
            )
            for task, reply in zip(page, replies, strict=True):
                cells = zip(numbers, value_of(reply), strict=True)
                if known := {number: read_cell(text) for number, text in cells if text}:
                    found[task] = known
        return found

    async def marks(self, since: datetime) -> list[Mark]:
        """Return the revisions that became active since then, of owners whose supervisors live.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        (reply,) = await run(self._connection, _MARKS.call(self._keys))
        told = [text.decode(errors="replace") for text in value_of(reply)]
        marks = [
            Mark(from_milliseconds(at), owner, int(number))
            for owner, stamp in zip(told[::2], told[1::2], strict=True)
            for number, _, at in [stamp.partition(" ")]
            if at
        ]
        return sorted(mark for mark in marks if mark.at >= since)


def read_cell(text: bytes) -> dict[str, Cell]:
    """Return what a cell says; what is damaged in it is left out."""
    found: dict[str, Cell] = {}
    for letter, count, seconds, lengths in _CELL.findall(text.decode(errors="replace")):
        if letter in _ENDINGS:
            by_bound = {int(bound): int(many) for bound, many in _LENGTH.findall(lengths)}
            found[_ENDINGS[letter]] = Cell(int(count), _number(seconds), by_bound)
    return found


def _resolution(now: datetime, since: datetime | None) -> Resolution:
    """Return the finest resolution that reaches so far back, or the coarsest."""
    for resolution in RESOLUTIONS:
        if since is not None and now - since < resolution.reach:
            return resolution
    return RESOLUTIONS[-1]


def _words(row: Row) -> Iterable[Any]:
    cell = row.cell
    lengths = ",".join(f"{bound}:{many}" for bound, many in cell.lengths.items())
    return (
        *(row.minute, row.task, LETTERS[row.ending]),
        *(cell.count, f"{cell.seconds:.6g}", lengths),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
