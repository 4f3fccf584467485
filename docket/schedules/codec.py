"""Schedules as Redis holds them: timing and definition as text, and back again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final, cast

from ..foundation.cron import CronExpression, exact_zone
from ..foundation.durations import format_duration
from .timing import EPOCH, NextAfter, delayed, every, once, rolling, within

_TAG: Final = "$"


def next_after_of(
    timing: Mapping[str, Any], seed: str, created: datetime | None = None
) -> NextAfter:
    """Return the function from a moment to the first due time after it.

    Arguments:
        timing: what decides it, as ``DesiredSchedule.timing`` holds it.
        seed: what ``H`` is computed from.
        created: when the schedule was first seen; None is not known, and then the next due time of one
            that counts from there is a period after any moment.
    """
    found = _base(timing, seed, created)
    if pause := timing.get("jitter"):
        found = delayed(found, timedelta(seconds=pause))
    return within(found, _moment(timing, "start"), _moment(timing, "end"))


def expression_of(timing: Mapping[str, Any], seed: str) -> CronExpression:
    """Return the cron expression of a timing that has one."""
    dst = timing.get("dst", {})
    zone = exact_zone(timing["timezone"])
    return CronExpression(timing["cron"], zone, dst.get("gap"), dst.get("overlap"), seed)


def in_words(timing: Mapping[str, Any]) -> str:
    """Describe a timing as people write it.

    Example:
        >>> in_words({"every": 90.0, "phase": 0.0})
        'every 1m30s'
    """
    if "at" in timing:
        return f"at {timing['at']}"
    if "cron" in timing:
        return f"{timing['cron']} ({timing['timezone']})"
    return f"every {format_duration(timedelta(seconds=timing['every']))}"


def encode(value: Any) -> Any:
    """Return a value of TOML as JSON can hold it: moments and numbers without an end are tagged.

    Example:
        >>> encode({"day": date(2026, 11, 23)})
        {'day': {'$date': '2026-11-23'}}
    """
    match value:
        case Mapping():
            table = cast("Mapping[str, Any]", value)
            # A name that looks like a tag is distinguished from one by another $.
            return {_TAG * name.startswith(_TAG) + name: encode(of) for name, of in table.items()}
        case list() | tuple():
            return [encode(inner) for inner in cast("list[Any]", value)]
        case datetime():
            return {"$datetime": value.isoformat()}
        case date():
            return {"$date": value.isoformat()}
        case time():
            return {"$time": value.isoformat()}
        case float() if not math.isfinite(value):
            return {"$float": repr(value)}
        case _:
            return value


def decode(value: Any) -> Any:
    """Decode an encoded value.

    Example:
        >>> decode({"day": {"$date": "2026-11-23"}})
        {'day': datetime.date(2026, 11, 23)}
    """
    match value:
        case {"$datetime": text}:
            return datetime.fromisoformat(text)
        case {"$date": text}:
            return date.fromisoformat(text)
        case {"$time": text}:
            return time.fromisoformat(text)
        case {"$float": text}:
            return float(text)
        case dict():
            table = cast("dict[str, Any]", value)
            return {name[name.startswith(_TAG) :]: decode(of) for name, of in table.items()}
        case list():
            return [decode(inner) for inner in cast("list[Any]", value)]
        case _:
            return value


def dump(fields: Mapping[str, Any]) -> str:
    """Write fields as text; the same fields are the same text."""
    return json.dumps(fields, sort_keys=True)


def _base(timing: Mapping[str, Any], seed: str, created: datetime | None) -> NextAfter:
    if "at" in timing:
        return once(datetime.fromisoformat(timing["at"]))
    if "cron" in timing:
        return expression_of(timing, seed).next_after
    period, phase = timedelta(seconds=timing["every"]), timedelta(seconds=timing["phase"])
    match timing.get("anchor"):
        case None:
            return every(period, EPOCH + phase)
        case "created" if created is not None:
            return every(period, created + phase)
        case "created" | "finish":
            return rolling(period)
        case anchor:
            return every(period, datetime.fromisoformat(anchor) + phase)


def _moment(timing: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(timing[name]) if name in timing else None
