"""Explanations of the work in a docket, for code that does not await."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..docket import Docket
from ..insights import (
    AuditPage,
    Choice,
    EventPage,
    Explanation,
    Glance,
    HistoryPage,
    Series,
    Stack,
    Stats,
)
from ..insights.history import EVERYTHING, PAGE
from .bridge import Bridge


class SyncInsights:
    """Explains what stands in a docket, as ``Insights``; each call returns when it is done.

    Arguments:
        docket: the docket.
        bridge: where it lives.
    """

    def __init__(self, docket: Docket, bridge: Bridge) -> None:
        self._docket = docket
        self._bridge = bridge

    def explain(self, key: str) -> Explanation | None:
        """Explain why an execution runs, waits or has ended so; None if there is no such execution."""
        return self._bridge.wait(lambda: self._docket.insights.explain(key))

    def history(
        self, choice: Choice = EVERYTHING, *, limit: int = PAGE, cursor: str = ""
    ) -> HistoryPage:
        """Return a page of what has ended, as ``Insights.history``."""
        return self._bridge.wait(
            lambda: self._docket.insights.history(choice, limit=limit, cursor=cursor)
        )

    def stats(self, choice: Choice = EVERYTHING) -> Stats:
        """Return how the runs of each task have ended, as ``Insights.stats``."""
        return self._bridge.wait(lambda: self._docket.insights.stats(choice))

    def series(
        self, task: str | None = None, *, since: datetime | timedelta | None = None
    ) -> Series:
        """Return how many runs have ended how over time, as ``Insights.series``."""
        return self._bridge.wait(lambda: self._docket.insights.series(task, since=since))

    def glance(self) -> Glance:
        """Return a docket at a glance, as ``Insights.glance``."""
        # Asked for in the loop: there the docket is open, and its insights are those of this process.
        return self._bridge.wait(lambda: self._docket.insights.glance())  # noqa: PLW0108

    def audit(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        author: str | None = None,
        deed: str | None = None,
        limit: int = PAGE,
        cursor: str = "",
    ) -> AuditPage:
        """Return a page of what operators have done, as ``Insights.audit``."""
        return self._bridge.wait(
            lambda: self._docket.insights.audit(
                since=since, until=until, author=author, deed=deed, limit=limit, cursor=cursor
            )
        )

    def events(self, cursor: str = "", *, since: datetime | None = None) -> EventPage:
        """Return what has happened after a place, as ``Insights.events``."""
        return self._bridge.wait(lambda: self._docket.insights.events(cursor, since=since))

    def explain_schedule(self, name: str) -> Explanation | None:
        """Explain why a schedule has a run or none; None if there is no such schedule."""
        return self._bridge.wait(lambda: self._docket.insights.explain_schedule(name))

    def stack(self, key: str) -> Stack | None:
        """Ask the worker of a running execution where that stands, as ``Insights.stack``."""
        return self._bridge.wait(lambda: self._docket.insights.stack(key))
