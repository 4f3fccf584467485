"""Executions and workers in the words of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

from ...foundation.plain import plain
from .output import Column, Item, distance

if TYPE_CHECKING:
    from ...docket import Docket
    from ...execution import Execution
    from ...storage.workers import WorkerInfo


def of_execution(execution: Execution) -> dict[str, Any]:
    """Return an execution as it is shown: of its arguments only those that may be logged."""
    return {
        "key": execution.key,
        "task": execution.function_name,
        "state": execution.state.value,
        "queue": execution.queue,
        "when": execution.when,
        "attempt": execution.attempt,
        "worker": execution.worker,
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "reason": execution.reason,
        "error": execution.error,
        "tags": list(execution.tags),
        "expires": execution.options.expires,
        "call": execution.call_repr(),
    }


def of_workers(workers: Collection[WorkerInfo]) -> list[dict[str, Any]]:
    """Return workers as they are shown, by name, and which of them run older code than the newest."""
    return [
        {
            "name": worker.name,
            "last_seen": worker.last_seen,
            "tasks": sorted(worker.tasks),
            "started": worker.started,
            "code": worker.code,
            "slots": worker.slots,
            "is_behind": worker.is_behind(workers),
        }
        for worker in sorted(workers, key=lambda worker: worker.name)
    ]


def text(name: str) -> Column:
    """Make a column of a string field."""
    return Column(_title(name), lambda item: str(item[name] or ""))


def wide(name: str) -> Column:
    """Return a column of a field that is shown where there is room."""
    return Column(_title(name), lambda item: str(item[name] or ""), is_wide=True)


def when(name: str, title: str | None = None) -> Column:
    """Return a column of a moment, by its distance from now."""
    return Column(title or _title(name), lambda item: distance(item[name]))


def _title(name: str) -> str:
    return name.replace("_", " ").upper()


def _tasks(item: Item) -> str:
    return ", ".join(item["tasks"])


EXECUTIONS: Final = (
    text("key"),
    text("task"),
    text("state"),
    when("when", "DUE"),
    text("worker"),
    when("started_at", "STARTED"),
    wide("queue"),
    wide("attempt"),
    wide("call"),
)
WORKERS: Final = (
    text("name"),
    when("last_seen"),
    Column("CODE", lambda item: "older" if item["is_behind"] else ""),
    Column("TASKS", _tasks),
    Column("SLOTS", lambda item: str(item["slots"] or ""), is_wide=True),
    Column("STARTED", lambda item: distance(item["started"]), is_wide=True),
    Column("FINGERPRINT", lambda item: item["code"], is_wide=True),
)


async def known_tasks(docket: Docket) -> set[str]:
    """Return the names of all known tasks, of this process or of a live worker."""
    return set(docket.tasks).union(*(worker.tasks for worker in await docket.workers()))


def meant(name: str, known: Iterable[str]) -> str:
    """Suggest a known name for an unknown one; return an empty string if none is similar.

    Example:
        >>> meant("gret", ["greet", "trace"])
        '; did you mean greet?'
    """
    close = difflib.get_close_matches(name, sorted(known), 1)
    return f"; did you mean {plain(close[0])}?" if close else ""
