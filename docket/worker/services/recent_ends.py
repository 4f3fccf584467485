"""The ends of runs that a worker has seen since it last sent them, and their way to the series."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from ...errors import DocketError, ServerUnavailable
from ...foundation.service import Reports
from ...instrumentation.events import Observer
from ...instrumentation.histogram import BOUNDS
from ...storage.series import MOST, Cell, Row, Series

logger = logging.getLogger("docket.worker")

LARGEST: Final = 10_000
"""Cells that wait to be sent, at most: beyond them, because the server takes none, all are forgotten."""

PATIENCE: Final = 600.0
"""Seconds for which the same batch is sent again: far less than its number is remembered."""


class RecentEnds(Observer):
    """Counts of ends by minute, task and ending; a dictionary and an addition for each run.

    Arguments:
        now: gives the server's time in ms.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._cells: dict[tuple[int, str, str], Cell] = {}

    @override
    def recorded(self, task: str, ending: str, seconds: float | None) -> None:
        place = self._now() // 60_000, task, ending
        cell = self._cells.get(place)
        if cell is None:
            if len(self._cells) >= LARGEST:
                self._cells.clear()
            cell = self._cells[place] = Cell()
        cell.count += 1
        if seconds is not None:
            bound = bisect_left(BOUNDS, seconds)
            cell.seconds += seconds
            cell.lengths[bound] = cell.lengths.get(bound, 0) + 1

    def take(self, most: int) -> list[Row]:
        """Return some of what was counted, the earliest first, and count it no longer."""
        places = list(self._cells)[:most]
        return [Row(*place, self._cells.pop(place)) for place in places]


class SeriesReport:
    """The way of what has ended to the series, in batches that count once.

    A batch whose reply is lost is sent again as it is, under its number; what ends meanwhile is another one.

    Arguments:
        series: the series.
        consumer: the life of the worker.
        ends: what has ended.
    """

    def __init__(self, series: Series, consumer: str, ends: RecentEnds) -> None:
        self._series = series
        self._consumer = consumer
        self._ends = ends
        self._batch: list[Row] = []
        self._number = 0
        self._began = 0.0
        self._reports = Reports()

    async def send(self) -> None:
        """Send what has ended until now; what the server does not take is sent with the next call."""
        try:
            while self._batch or self._next():
                await self._series.add(self._consumer, self._number, self._batch)
                self._batch = []
        except ServerUnavailable:
            self._give_up_late()  # the round trips report it
        except DocketError as error:
            self._give_up_late()
            if self._reports.is_news(error):
                logger.warning("What has ended is not counted in the series: %s", error)

    def _next(self) -> bool:
        """Take the next batch; return False if there is none."""
        self._batch = self._ends.take(MOST)
        self._number += 1
        self._began = asyncio.get_running_loop().time()
        return bool(self._batch)

    def _give_up_late(self) -> None:
        if asyncio.get_running_loop().time() - self._began > PATIENCE:
            self._batch = []
