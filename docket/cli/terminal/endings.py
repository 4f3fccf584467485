"""Ended executions in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from ...foundation.durations import format_duration, parse_duration
from ..parameters.typed_values import parse_value
from .descriptions import text, when, wide
from .exit_codes import Misused
from .output import Column, Item, moment

if TYPE_CHECKING:
    from ...insights.history import Stats, Where
    from ...insights.series import Series
    from ...storage.history import Ended, Reach

_WHERE: Final = re.compile(r"([^\W\d]\w*)\s*(==|!=|<=|>=|<|>)\s*(.*)", re.DOTALL)
MARKS: Final = 5
"""Revisions that are named under statistics: the latest."""

_DAYS: Final = {"today": 0, "yesterday": 1}


def _seconds(item: Item) -> str:
    return "" if item["seconds"] is None else f"{item['seconds']:.3g}s"


def _args(item: Item) -> str:
    return " ".join(f"{name}={value}" for name, value in item["args"].items())


ENDED: Final = (
    text("key"),
    text("task"),
    text("state"),
    when("ended_at", "ENDED"),
    Column("TOOK", _seconds),
    wide("attempt"),
    wide("worker"),
    wide("revision"),
    wide("queue"),
    wide("reason"),
    Column("ARGUMENTS", _args),
    text("error"),
    wide("fingerprint"),
)


def of_ended(one: Ended) -> dict[str, Any]:
    """Return what has ended as it is shown."""
    error = f"{one.error}: {one.message}" if one.message else one.error
    return {
        "id": one.id,
        "key": one.key,
        "task": one.task,
        "state": one.ending,
        "queue": one.queue,
        "reason": one.reason,
        "attempt": one.attempt,
        "due": one.due,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "seconds": one.seconds,
        "worker": one.worker,
        "revision": one.revision,
        "args": one.args,
        "tags": one.tags,
        "error": error,
        "error_class": one.error,
        "place": one.place,
        "fingerprint": one.fingerprint,
    }


def told_reach(reach: Reach) -> str:
    """Say how far back the history reaches, and why."""
    if reach.since is None:
        return "the history is empty"
    why = {
        "memory": "; what is older is gone because `history.max_memory` is used up",
        "age": "; what is older is gone because of its age (`history.keep`)",
    }
    return f"the history reaches back to {moment(reach.since)}{why.get(reach.why, '')}"


def parse_since(typed: str | None) -> datetime | None:
    """Return the moment that was typed: ``2h`` ago, ``yesterday``, or a moment such as 2026-07-01T12:00Z.

    Raises:
        Misused: it is none of these.
    """
    if typed is None:
        return None
    if typed in _DAYS:
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=_DAYS[typed])
    try:
        return datetime.now(timezone.utc) - parse_duration(typed)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", typed)).astimezone()
    except ValueError:
        raise Misused(
            f"expected how long ago, such as 2h, or today, yesterday, or a moment such as 2026-07-01T12:00Z, "
            f"found {typed!r}"
        ) from None


def parse_where(typed: Sequence[str]) -> list[Where]:
    """Return the comparisons that were typed as ``name==VALUE``.

    Raises:
        Misused: one has no name, or no comparison.

    Example:
        >>> parse_where(["amount>=int:5"])
        [Where(name='amount', comparison='>=', value=5)]
    """
    from ...insights.history import Where  # noqa: PLC0415 - --help needs none of it

    found: list[Where] = []
    for one in typed:
        parts = _WHERE.fullmatch(one.strip())
        if parts is None:
            raise Misused(
                f"expected a comparison such as customer==acme or amount>=5 after --where, found {one!r}"
            )
        found.append(Where(parts[1], parts[2], parse_value(parts[3])))
    return found


def of_stats(found: Stats | Series) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the ends of tasks as they are shown, and what there is to say of where they are from."""
    from ...insights.series import Series  # noqa: PLC0415 - --help needs none of it

    if isinstance(found, Series):
        source, notes = "series", _told_of_series(found)
        tasks = [one.stats for one in found.tasks]
    else:
        source, notes, tasks = "history", _told_of_history(found), found.tasks
    items = [
        {"task": one.task, "counts": one.counts, "p50": one.p50, "p95": one.p95, "source": source}
        for one in tasks
    ]
    return items, notes


def _told_of_series(series: Series) -> list[str]:
    step = format_duration(series.step)
    since = f"from the series since {moment(series.since)}, in steps of {step}"
    marks = [
        f"revision {mark.revision} of {mark.owner} is active since {moment(mark.at)}"
        for mark in series.marks[-MARKS:]
    ]
    return [f"{since}; p50 and p95 are estimates", *marks]


def _told_of_history(stats: Stats) -> list[str]:
    told = [f"from the history; {told_reach(stats.reach)}"]
    if stats.since is not None:
        since = moment(stats.since)
        told.append(f"only what ended since {since} was counted: the last 20,000 ends")
    return told


def _count(state: str) -> Column:
    return Column(state.upper(), lambda item: str(item["counts"].get(state, 0)))


def _length(name: str) -> Column:
    return Column(name.upper(), lambda item: "" if item[name] is None else f"{item[name]:.3g}s")


STATS: Final = (
    text("task"),
    *map(_count, ("completed", "failed", "retried", "cancelled", "struck", "expired", "dropped")),
    _length("p50"),
    _length("p95"),
)
