"""A docket at a glance, in the words of the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ...foundation.durations import format_duration
from .descriptions import text, when
from .output import Column, Item, moment

if TYPE_CHECKING:
    from ...insights.glance import Glance
    from ...insights.series import TaskSeries

_FAILURES: Final = ("failed", "retried")


def _number(name: str, title: str | None = None) -> Column:
    return Column(title or name.upper(), lambda item: str(item[name]))


def _length(name: str) -> Column:
    return Column(name.upper(), lambda item: "" if item[name] is None else f"{item[name]:.3g}s")


def _oldest(item: Item) -> str:
    seconds = item["oldest"]
    return "" if seconds is None else format_duration(timedelta(seconds=round(seconds)))


def _slots(item: Item) -> str:
    return f"{item['running']}/{item['slots'] or '?'}"


QUEUES: Final = (
    Column("QUEUE", lambda item: item["name"]),
    _number("due_or_running", "DUE OR RUNNING"),
    Column("OLDEST", _oldest),
    Column("PAUSED", lambda item: "yes" if item["is_paused"] else ""),
)
TASKS: Final = (
    text("task"),
    Column("PER MINUTE", lambda item: f"{item['per_minute']:.3g}"),
    _number("completed"),
    _number("failed"),
    _number("retried"),
    _length("p50"),
    _length("p95"),
)
WORKERS: Final = (
    Column("WORKER", lambda item: item["name"]),
    Column("RUNNING", _slots),
    when("last_seen"),
)


def of_glance(glance: Glance) -> dict[str, Any]:
    """Return a docket as it is shown: of its tasks those first that fail most, then the slowest."""
    minutes = (glance.now - glance.since).total_seconds() / 60 or 1.0
    tasks = [_of_task(one, minutes) for one in glance.tasks]
    return {
        "now": glance.now,
        "since": glance.since,
        "future": glance.future,
        "waiting": glance.waiting,
        "parked": glance.parked,
        "dead": glance.dead,
        "queues": [
            {
                "name": one.name,
                "due_or_running": one.depth,
                "oldest": None if one.longest is None else one.longest.total_seconds(),
                "is_paused": one.is_paused,
            }
            for one in glance.queues
        ],
        "tasks": sorted(
            tasks, key=lambda one: (-one["failed"] - one["retried"], -(one["p95"] or 0))
        ),
        "workers": [
            {
                "name": one.name,
                "last_seen": one.last_seen,
                "slots": one.slots,
                "running": one.running,
            }
            for one in glance.workers
        ],
        "schedules": [{"schedule": one.name, "due": one.due} for one in glance.schedules],
    }


def _of_task(one: TaskSeries, minutes: float) -> dict[str, Any]:
    stats = one.stats
    counts = {ending: stats.counts.get(ending, 0) for ending in ("completed", *_FAILURES)}
    return {
        "task": one.task,
        "per_minute": sum(stats.counts.values()) / minutes,
        **counts,
        "p50": stats.p50,
        "p95": stats.p95,
    }


def told_of_glance(glance: Glance) -> str:
    """Return the head of a screen: when, and how many are not in a queue, or have ended lately."""
    ended = [one.total.counts for one in glance.tasks]
    failures = sum(counts.get(ending, 0) for counts in ended for ending in _FAILURES)
    minutes = round((glance.now - glance.since).total_seconds() / 60)
    return (
        f"{moment(glance.now)}  {glance.future} scheduled, {glance.waiting} wait for a limit, "
        f"{glance.parked} parked, {glance.dead} dead\n"
        f"last {minutes} minutes: {sum(sum(counts.values()) for counts in ended)} ends, {failures} failures"
    )
