"""Answers what people ask of a docket: why does this not run, what can be done about it, who has done what.

It owns the sentences, as plain values made of what Redis holds. Reading that is the storage's, and nothing
here changes anything.
"""

from __future__ import annotations

from ..storage.audit import AuditEntry, DeedRecord
from .audit import AuditPage
from .events import Event, EventPage
from .explanation import Explanation, Fact
from .glance import Glance, QueueAtAGlance, WorkerAtAGlance
from .history import ENDINGS, Choice, HistoryPage, Stats, TaskStats, Where
from .insights import Insights
from .series import Mark, Series, SeriesPoint, TaskSeries
from .stack import Frame, Stack

__all__ = [
    "ENDINGS",
    "AuditEntry",
    "AuditPage",
    "Choice",
    "DeedRecord",
    "Event",
    "EventPage",
    "Explanation",
    "Fact",
    "Frame",
    "Glance",
    "HistoryPage",
    "Insights",
    "Mark",
    "QueueAtAGlance",
    "Series",
    "SeriesPoint",
    "Stack",
    "Stats",
    "TaskSeries",
    "TaskStats",
    "Where",
    "WorkerAtAGlance",
]
