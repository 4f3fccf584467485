"""Explanations of executions whose records are gone, from the history."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ..foundation.plain import plain
from ..storage.history import Ended
from .causes import DEAD, TOLD, Cause
from .explanation import Explanation, Fact, at, span

_AGAIN: Final = "add it again: `docket task add {task}`"


def explained_end(one: Ended, now: datetime) -> Explanation:
    """Explain the end of an execution of which only the history knows.

    Arguments:
        one: its last entry.
        now: the server's time.
    """
    cause = _cause(one)
    error = f"{one.error}: {one.message}" if one.message else one.error or "an error"
    words = {
        "ago": span(now - one.ended_at),
        "ended": at(one.ended_at),
        "error": plain(error),
        "reason": plain(one.reason),
        "by": "",
        "key": plain(one.key),
        "task": plain(one.task),
    }
    return Explanation(
        subject=one.key,
        state=one.state,
        cause=cause.value,
        sentence=TOLD[cause].sentence.format_map(words),
        advice="" if cause is Cause.COMPLETED else _AGAIN.format_map(words),
        facts=(_run(one), Fact("Its record is gone; this is from the history.")),
    )


def _run(one: Ended) -> Fact:
    on = f" on {plain(one.worker)}" if one.worker else ""
    under = f" under revision {one.revision}" if one.revision else ""
    took = "" if one.seconds is None else f", and took {one.seconds:.3g}s"
    what = f"attempt {one.attempt} of task {plain(one.task)} in queue {plain(one.queue)}"
    return Fact(f"It was {what}{on}{under}{took}.")


def _cause(one: Ended) -> Cause:
    if one.state in ("failed", "retried"):
        return DEAD.get(one.reason, Cause.FAILED)
    found = {
        "completed": Cause.COMPLETED,
        "struck": Cause.CANCELLED_STRUCK,
        "cancelled": Cause.CANCELLED,
    }
    return found.get(one.ending, Cause.DROPPED)
