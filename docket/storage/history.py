"""The history of what has ended, and of each attempt that has failed: two streams with bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias, cast

from ..connection.base import Command, Connection
from ..foundation.units import from_milliseconds, from_time, milliseconds
from .keys import DEFAULT_QUEUE, Keys
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, value_of
from .scripting.script import time_query

Scalar: TypeAlias = "str | int | float | bool | None"

FAILURES: Final = "history"
COMPLETED: Final = "history:completed"
STREAMS: Final = (FAILURES, COMPLETED)
"""Names of the streams, without the prefix."""

FIRST: Final = "0-0"
"""Position before everything in a stream."""


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """The bounds of the memory of what has ended.

    Arguments:
        keep: how long; zero remembers nothing.
        max_memory: bytes in Redis, half of them for what completed.
    """

    keep: timedelta = timedelta(hours=72)
    max_memory: int = 128 << 20

    @property
    def words(self) -> str:
        """The limits as scripts read them; empty if nothing is remembered."""
        keep = milliseconds(self.keep)
        return f"{keep} {self.max_memory // 2}" if keep > 0 else ""


NO_HISTORY: Final = HistoryLimits(timedelta())


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an execution, or an attempt that has failed.

    Arguments:
        id: its place in its stream.
        ended_at: when that was.
        key, task, queue: the execution.
        state: completed, failed, cancelled, or retried if another attempt follows.
        reason: the kind of end, where there are several.
        attempt: the number of the attempt.
        due: when it was due.
        started_at: when its last run began; None if it never did.
        seconds: how long that took; None if no run has brought the end.
        worker: the worker that has run it.
        args: arguments that may be logged, by name.
        tags: its tags.
        error: the class of its error.
        message: what that said, without numbers and ids.
        place: where in the user's code it was raised.
        fingerprint: the same for errors of one kind.
        revision: the revision of the configuration under which its last run began; None if no run of a
            supervisor's worker has brought the end.
    """

    id: str
    ended_at: datetime
    key: str
    task: str
    queue: str
    state: str
    reason: str
    attempt: int
    due: datetime | None
    started_at: datetime | None
    seconds: float | None
    worker: str
    args: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    tags: tuple[str, ...] = ()
    error: str = ""
    message: str = ""
    place: str = ""
    fingerprint: str = ""
    revision: int | None = None

    @property
    def ending(self) -> str:
        """Its state, and of what was cancelled the reason why: cancelled, struck, expired or dropped."""
        return ending_of(self.state, self.reason)


def ending_of(state: str, reason: str) -> str:
    """Return a state, and of what was cancelled the reason why: cancelled, struck, expired or dropped."""
    if state not in ("cancelled", "dropped") or reason in ("", "cancelled"):
        return state
    return reason if reason in ("struck", "expired") else "dropped"


class Reach(NamedTuple):
    """The reach of a stream into the past.

    Arguments:
        since: the moment of its oldest entry; None if there is none.
        why: why there are none before that: ``memory`` or ``age``; empty if there were none.
    """

    since: datetime | None
    why: str = ""


class Slice(NamedTuple):
    """Entries of one stream, the latest first, and whether there may be more before them."""

    entries: list[Ended]
    is_last: bool


class Looked(NamedTuple):
    """The answer to one look at the streams.

    Arguments:
        now: the server's time.
        reaches: how far back each stream reaches, by its name.
        slices: what was found, by the names of the streams that were asked for.
    """

    now: datetime
    reaches: Mapping[str, Reach]
    slices: Mapping[str, Slice]


class History:
    """Reads what has ended.

    Arguments:
        connection: how the server is reached.
        keys: the keys of the docket.
        limits: how much is remembered.
    """

    def __init__(
        self, connection: Connection, keys: Keys, limits: HistoryLimits = NO_HISTORY
    ) -> None:
        self._connection = connection
        self._keys = keys
        self.limits = limits

    async def look(self, before: Mapping[str, str], after: datetime | None, count: int) -> Looked:
        """Read a slice of streams, the latest first, in one round trip.

        Arguments:
            before: the streams, each with the place that the slice ends before; ``+`` is the end.
            after: nothing that ended before this moment.
            count: how many entries of each.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        first = "-" if after is None else str(int(after.timestamp() * 1000))
        now, trimmed, *replies = await read_patiently(
            self._connection,
            time_query(self._connection, self._keys),
            ("HGETALL", self._keys.trimmed),
            *(("XRANGE", self._keys.named(name), "-", "+", "COUNT", 1) for name in STREAMS),
            *(self._query(name, end, first, count) for name, end in before.items()),
        )
        why = pairs(value_of(trimmed))
        reaches = {
            name: _reach(value_of(reply), why.get(name.encode(), b""))
            for name, reply in zip(STREAMS, replies, strict=False)
        }
        slices = {
            name: _slice(value_of(reply), count)
            for name, reply in zip(before, replies[len(STREAMS) :], strict=True)
        }
        return Looked(from_milliseconds(from_time(value_of(now))), reaches, slices)

    def _query(self, name: str, before: str, first: str, count: int) -> Command:
        last = before if before == "+" else f"({before}"
        return ("XREVRANGE", self._keys.named(name), last, first, "COUNT", count)


def read_entry(entry_id: bytes, fields: Sequence[bytes]) -> Ended:
    """Return what an entry of a stream says; what is damaged in it is left out."""
    known = {name.decode(errors="replace"): _text(value) for name, value in pairs(fields).items()}
    text = known.get
    told = _about(text("about", ""))
    return Ended(
        id=_text(entry_id),
        ended_at=moment_of(entry_id),
        key=text("key", ""),
        task=text("task", ""),
        queue=text("queue") or DEFAULT_QUEUE,
        state=text("state", ""),
        reason=text("reason", ""),
        attempt=int(_number(text("attempt")) or 1),
        due=_moment(text("due")),
        started_at=_moment(text("started")),
        seconds=_number(text("seconds")),
        worker=text("worker", ""),
        args=told.get("args") or {},
        tags=tuple(map(str, told.get("tags") or ())),
        error=str(told.get("error") or ""),
        message=str(told.get("message") or ""),
        place=str(told.get("place") or ""),
        fingerprint=str(told.get("fingerprint") or ""),
        revision=_whole(told.get("revision")),
    )


def moment_of(entry_id: bytes) -> datetime:
    """Return the moment at which an entry was written."""
    return from_milliseconds(int(entry_id.partition(b"-")[0]))


def _reach(reply: Sequence[Any], why: bytes) -> Reach:
    return Reach(moment_of(reply[0][0]), _text(why)) if reply else Reach(None)


def _slice(reply: Sequence[tuple[bytes, list[bytes]]], count: int) -> Slice:
    return Slice([read_entry(*entry) for entry in reply], len(reply) < count)


def _about(text: str) -> dict[str, Any]:
    try:
        told: Any = json.loads(text) if text else None
    except ValueError:
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _whole(told: object) -> int | None:
    return told if type(told) is int else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _moment(text: str | None) -> datetime | None:
    number = _number(text)
    return None if number is None else from_milliseconds(number)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
