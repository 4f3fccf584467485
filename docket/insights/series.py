"""Ends and durations over time, from the series: steps, sums, quantiles, and the revisions as marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final

from ..instrumentation.histogram import BOUNDS
from ..storage import series as stored
from ..storage.series import Cell, Mark
from .history import TaskStats

__all__ = ["Mark", "Series", "SeriesPoint", "TaskSeries", "series_of"]

_EDGES: Final = (0.0, *BOUNDS, float(BOUNDS[-1]))
"""Bounds in seconds: of the n-th length the lower one stands at n, the upper one behind it."""


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """The ends of a task within one step, or in all.

    Arguments:
        at: where the step begins.
        counts: how many ended in each way; ways in which none did are left out.
        seconds: how long those took together that were run.
        lengths: how many took no longer than each of ``docket.instrumentation.histogram.BOUNDS``, but longer
            than the one before, and at last how many took longer than all.
    """

    at: datetime
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0
    lengths: Sequence[int] = ()

    def quantile(self, share: float) -> float | None:
        """Return an estimate of the seconds that a share of the runs took at most; None if there was none.

        Arguments:
            share: from 0 to 1.
        """
        rank = share * sum(self.lengths)
        below = 0
        for place, many in enumerate(self.lengths):
            if many and below + many >= rank:
                low, high = _EDGES[place], _EDGES[place + 1]
                return low + (high - low) * (rank - below) / many
            below += many
        return None


@dataclass(frozen=True, slots=True)
class TaskSeries:
    """The ends of a task over time.

    Arguments:
        task: its name; ``other`` stands for all tasks beyond the first 500.
        points: the steps in which anything ended, the earliest first.
        total: all of them together.
    """

    task: str
    points: Sequence[SeriesPoint]
    total: SeriesPoint

    @property
    def stats(self) -> TaskStats:
        """The sums, as the history tells them; the quantiles are estimates."""
        total = self.total
        return TaskStats(self.task, total.counts, total.quantile(0.5), total.quantile(0.95))


@dataclass(frozen=True, slots=True)
class Series:
    """The ends of tasks over time.

    Arguments:
        since: where the first step begins.
        until: the time of the server.
        step: the length of a step.
        tasks: those of which anything has ended, by their names.
        marks: the revisions that became active within this time.
    """

    since: datetime
    until: datetime
    step: timedelta
    tasks: Sequence[TaskSeries]
    marks: Sequence[Mark]


async def series_of(
    series: stored.Series, task: str | None, since: datetime | timedelta | None
) -> Series:
    """Return the series of tasks.

    Arguments:
        series: where they are stored.
        task: this one only; None for all.
        since: the earliest end, or how long ago that was; None for all that there is.
    """
    found = await series.read(since, task)
    step = timedelta(minutes=found.resolution.minutes)
    begin = _moment(found.first, step)
    tasks = [
        TaskSeries(name, _points(cells, step), _point(begin, cells.values()))
        for name, cells in sorted(found.tasks.items())
    ]
    return Series(begin, found.now, step, tasks, await series.marks(begin))


def _points(cells: Mapping[int, Mapping[str, Cell]], step: timedelta) -> list[SeriesPoint]:
    return [_point(_moment(number, step), [cell]) for number, cell in sorted(cells.items())]


def _point(at: datetime, cells: Iterable[Mapping[str, Cell]]) -> SeriesPoint:
    """Return the sum of cells."""
    by_ending: dict[str, Cell] = {}
    total = Cell()
    for cell in cells:
        for ending, one in cell.items():
            added = one.count, one.seconds, one.lengths
            by_ending.setdefault(ending, Cell()).add(*added)
            total.add(*added)
    lengths = [total.lengths.get(bound, 0) for bound in range(len(BOUNDS) + 1)]
    counts = {ending: one.count for ending, one in by_ending.items()}
    return SeriesPoint(at, counts, total.seconds, lengths)


def _moment(number: int, step: timedelta) -> datetime:
    return datetime.fromtimestamp(number * step.total_seconds(), timezone.utc)
