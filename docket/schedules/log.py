"""Log lines about schedules: nothing that was due is left out in silence."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..foundation.plain import plain
from ..storage.schedules import Tick
from .desired import Owed

logger = logging.getLogger("docket.schedules")

REASONS = {
    "asked": "a skip was requested",
    "limit": "it has had all its runs",
    "struck": "a strike forbids it",
    "overlap": "the run before it is not over",
}
"""Reasons why a due time passes without a run, in words."""


def key_of(name: str, due: datetime) -> str:
    """Return the key of the run of a schedule, made from its due time.

    Arguments:
        name: the schedule.
        due: when it is due, in UTC.
    """
    return f"{name}@{utc(due)}"


def utc(moment: datetime) -> str:
    """Return a moment in UTC as keys and logs name it, with milliseconds only where there are any."""
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return text.replace(".000Z", "Z")


def tell_missed(name: str, expected: datetime, owed: Owed) -> None:
    """Warn of due times that passed without a run of their own.

    Arguments:
        name: the schedule.
        expected: the first of them.
        owed: how many they are, and what is made up for.
    """
    made_up = (
        f"{len(owed.runs)} runs from {utc(owed.runs[0])} on are made up for"
        if len(owed.runs) > 1
        else f"only the run of {utc(owed.runs[0])} is made up for"
        if owed.runs
        else "none of them is made up for"
    )
    logger.warning(
        "Schedule %s was due at %s and later and missed %d; %s",
        name,
        utc(expected),
        owed.skipped,
        made_up,
    )


def tell_tick(name: str, key: str, tick: Tick) -> None:
    """Log the outcome of a due time.

    Arguments:
        name: the schedule.
        key: the run.
        tick: what became of it.
    """
    match tick:
        case Tick(word="FIRED"):
            logger.info("Schedule %s: queued %s", name, key)
        case Tick(word="WAITS"):
            logger.info("Schedule %s: %s waits for %s to end", name, key, plain(tick.reason))
        case Tick(word="STRUCK"):
            logger.warning("Schedule %s: a strike parks %s", name, key)
        case Tick(word="SKIPPED"):
            why = REASONS[tick.reason] if tick.pause is None else _paused(tick.pause)
            logger.warning("Schedule %s: no run %s, %s", name, key, why)
        case _:
            return


def _paused(pause: Mapping[str, Any]) -> str:
    return plain(f"{pause['by']} has paused it: {pause.get('reason') or 'no reason given'}")
