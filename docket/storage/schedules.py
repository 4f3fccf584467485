"""The active schedules, and the one atomic step from a due time to an execution."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from ..connection.base import Connection
from ..errors import DocketError, ServerRefused
from ..foundation.plain import plain
from ..foundation.units import from_time, milliseconds
from .keys import Keys
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script, time_query
from .staging import DeclaredSchedule, Staging

logger = logging.getLogger("docket.storage")

_RECONCILE = Script("reconcile", ("owner", "token"))
_PAUSED = Script("paused", ("owner",))
_TICK = Script(
    "tick",
    (
        *("HISTORY", "id", "expected", "following", "due", "key", "task", "call"),
        *("overlap", "limit", "rests", "ttl", "missed", "late", "digest"),
        *("queue", "options"),
    ),
)
_AWAITED = Script("awaited")
_STEER = Script("steer", ("id", "verb", "pause"))
_BACKFILL = Script("backfill", ("id", "word", "task", "queue", "options"))
_STATES = Script("states")

CHUNK = 250
"""Number of schedules that one script reads: two milliseconds of the server's time."""


class Turn(NamedTuple):
    """The orders for a due time, beside its execution."""

    overlap: str
    """Its treatment while the run before it is not over."""
    limit: int = 0
    """Number of runs in all; 0 is any number."""
    rests: bool = False
    """True if the next time is known only when this run is over."""
    missed: int = 0
    """Number of due times before this one that have passed without a run."""
    late: int = 0
    """Number of those that have because it is too late for them."""


class DueTime(NamedTuple):
    """One due time of a schedule that has come."""

    schedule: str
    """owner/name."""
    turn: Turn
    """The orders for it."""
    expected: int
    """The due time that is known here, in ms."""
    following: int
    """The one after it, in ms; 0 if there is none."""
    due: int
    """The due time of the execution, in ms; later than expected where those before it are missed."""
    key: str
    """Key of the execution; empty if the due time passes without one."""
    task: str
    call: bytes
    ttl: timedelta
    """Time for which a run is remembered that is cancelled for this one."""
    digest: str = ""
    """Digest of the definition that is known here; empty is any."""
    queue: str = ""
    """Queue of the execution, as ``schedule.lua`` takes it."""
    options: str = ""
    """Options of the execution, as JSON."""


class Tick(NamedTuple):
    """The outcome of one due time."""

    word: str
    """FIRED, WAITS, STRUCK, SKIPPED, PASSED, MOVED if another one was first, CHANGED if another definition
    is active."""
    next_time: int
    reason: str = ""
    """The reason why it was skipped: paused, asked, limit, struck or overlap."""
    pause: Mapping[str, Any] | None = None
    """Its pause (author, reason, begin and end), if that is the reason."""


class Awaited(NamedTuple):
    """A schedule whose run is awaited, because its next due time is counted from its end."""

    schedule: str
    """owner/name."""
    period: int
    """Its interval, in ms."""
    limit: int
    ends: int
    """Unix time in ms from which on it is no longer due; 0 is never."""


class DueOutcome(NamedTuple):
    """The outcome of one due time, or of several."""

    due: int
    word: str
    """fired, waits, parked, backfilled, triggered, or the reason why it was skipped."""
    times: int
    """Number of due times that this is about; more than one only of those that were skipped."""
    key: str
    end: str = ""
    """The end of its run: completed, failed, cancelled, parked, replaced; empty if that is unknown."""
    took: int | None = None
    """Ms for which it ran."""


class Known(NamedTuple):
    """All that Redis holds of one schedule."""

    owner: str
    name: str
    definition: str
    next_time: int
    created: int
    last: int
    """Its last due time with a run; 0 is never."""
    last_key: str
    runs: int
    failures: int
    """Number of runs in a row that have failed."""
    pause: Mapping[str, Any] | None
    """Its pause: author, reason, begin and end."""
    stopped: Mapping[str, Any] | None
    """The reason why a row of failures has stopped it, and the moment."""
    skip: int
    """The due time that passes without a run because an operator wanted that; 0 is none."""
    skipped: Counter[str]
    """Number of due times without a run, by reason."""
    seal: str = ""
    """The signature of the definition; empty if there is none."""
    latest: DueOutcome | None = None
    """The outcome of its last due time; None if that is unknown."""


class PausedSchedule(NamedTuple):
    """A schedule that has no runs at the moment."""

    name: str
    pause: Mapping[str, Any] | None
    """The pause by an operator: author, reason, begin and end."""
    stopped: Mapping[str, Any] | None
    """The reason why a row of failures has stopped it, and the moment."""


class Schedules:
    """Access to ``P:schedules`` and what has happened to each schedule."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self.staging = Staging(connection, keys)

    async def now(self) -> int:
        """Return the server's time in ms, as the scripts see it."""
        (reply,) = await self._connection.send(time_query(self._connection, self._keys))
        return from_time(value_of(reply))

    async def reconcile(self, owner: str, declared: Sequence[DeclaredSchedule]) -> list[int]:
        """Make the schedules of ``owner`` equal to these; return their next times, in ms."""
        staged = await self.staging.stage(owner, declared)
        call = _RECONCILE.call(self._keys, owner, staged.token)
        (reply,) = await run_patiently(self._connection, call)
        value_of(reply)
        await self.staging.follow(owner)
        return await self.staging.next_times(owner, [one.name for one in declared])

    async def tick(self, *due_times: DueTime) -> list[Tick | DocketError]:
        """Turn due times into executions, all in one round trip, unless that was done before.

        Each one stands for itself: the refusal of one stands in its place.
        """
        calls = [
            _TICK.call(
                self._keys,
                *(due.schedule, due.expected, due.following, due.due, due.key, due.task, due.call),
                *(due.turn.overlap, due.turn.limit, int(due.turn.rests), milliseconds(due.ttl)),
                *(due.turn.missed, due.turn.late, due.digest, due.queue, due.options),
            )
            for due in due_times
        ]
        replies = await run_patiently(self._connection, *calls)
        return [one if isinstance(one, DocketError) else _tick(one) for one in replies]

    async def awaited(self, schedules: Sequence[Awaited]) -> list[int]:
        """Return the next due times of schedules, counted from their runs' ends; 0 if one is not over."""
        fields = (field for schedule in schedules for field in schedule)
        (reply,) = await run_patiently(self._connection, _AWAITED.call(self._keys, *fields))
        return [int(moment) for moment in value_of(reply)]

    async def steer(
        self,
        schedule: str,
        verb: Literal["pause", "resume", "skip"],
        pause: Mapping[str, Any] | None = None,
    ) -> tuple[str, int]:
        """Do what an operator wants; return DONE, UNKNOWN or IDLE, and the next due time, in ms.

        Arguments:
            schedule: owner/name.
            verb: pause it, resume it, or let its next due time pass without a run.
            pause: its author (``by``), its ``reason``, its begin and end (``since``, ``until``, ms).
        """
        call = _STEER.call(self._keys, schedule, verb, json.dumps(pause or {}))
        (reply,) = await run_patiently(self._connection, call)
        word, next_time = value_of(reply)
        return word.decode(), int(next_time)

    async def run_at(
        self,
        schedule: str,
        why: Literal["backfilled", "triggered"],
        task: str,
        due: Sequence[tuple[int, str, bytes]],
        queue: str = "",
        options: str = "",
    ) -> list[str]:
        """Run a schedule on request; return for each time FIRED, ALREADY (it had a run) or STRUCK.

        Arguments:
            schedule: owner/name.
            why: at due times that have passed, or now.
            task: the task that is run.
            due: the times in ms, each with key and call of its execution.
            queue, options: those of its executions, as ``schedule.lua`` takes them.
        """
        fields = (field for one in due for field in one)
        command = _BACKFILL.call(self._keys, schedule, why, task, queue, options, *fields)
        (reply,) = await run_patiently(self._connection, command)
        return [word.decode() for word in value_of(reply)]

    async def known(self, name: str = "") -> list[Known]:
        """Return all schedules of all owners, by owner and name, in a few commands however many there are.

        Arguments:
            name: only those of this name, or owner/name; empty is any.
        """
        (reply,) = await read_patiently(self._connection, ("HGETALL", self._keys.schedules))
        fields = pairs(value_of(reply))
        names = sorted(
            field.partition(b":")[2].decode(errors="replace")
            for field in fields
            if _is_definition(field)
        )
        if name:
            names = [one for one in names if name in (one, one.partition("/")[2])]
        known: list[Known] = []
        for one, (state, latest) in zip(names, await self._states(names, fields), strict=True):
            try:
                if isinstance(state, bytes):
                    raise ServerRefused(state.decode(errors="replace"))
                known.append(known_of(one, fields, pairs(state), outcomes_of(one, [latest])))
            except (ServerRefused, ValueError, TypeError, LookupError) as error:
                logger.error(
                    "Schedule %s is left out, what is stored is none: %s", plain(one), error
                )
        return known

    async def _states(
        self, names: Sequence[str], fields: Mapping[bytes, bytes]
    ) -> list[tuple[list[bytes] | bytes, bytes]]:
        """Return what has happened to these schedules, or why it cannot be read, and their last outcomes."""
        inner = [_inner(name, fields) for name in names]
        calls = [
            _STATES.call(self._keys, *inner[at : at + CHUNK]) for at in range(0, len(inner), CHUNK)
        ]
        replies = await run_patiently(self._connection, *calls) if calls else []
        parts = [part for reply in replies for part in value_of(reply)]
        return list(zip(parts[::2], parts[1::2], strict=True))

    async def paused(self, owner: str) -> list[PausedSchedule]:
        """Return the schedules of an owner that an operator has paused, or a row of failures has stopped."""
        (reply,) = await run_patiently(self._connection, _PAUSED.call(self._keys, owner))
        parts: list[bytes] = value_of(reply)
        return [
            PausedSchedule(name.decode(errors="replace"), _pause(pause), _pause(stopped))
            for name, pause, stopped in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        ]

    async def outcomes(self, schedule: str) -> list[DueOutcome]:
        """Return the last outcomes of a schedule, the latest first; unreadable ones are left out.

        Arguments:
            schedule: owner/name.
        """
        inner = await self._inner_name(schedule)
        (reply,) = await read_patiently(
            self._connection, ("LRANGE", self._keys.outcomes(inner), 0, -1)
        )
        return outcomes_of(schedule, value_of(reply))

    async def has_run(self, schedule: str, due: Sequence[int]) -> list[bool]:
        """Return for each due time (ms) of a schedule if it had a run, as far as that is remembered."""
        inner = await self._inner_name(schedule)
        replies = await read_patiently(
            self._connection, *(("ZSCORE", self._keys.ran(inner), moment) for moment in due)
        )
        return [value_of(reply) is not None for reply in replies]

    async def _inner_name(self, schedule: str) -> str:
        """Return the name under which what has happened to a schedule is kept: the first one that it had."""
        command = ("HGET", self._keys.schedules, f"alias:{schedule}")
        (reply,) = await read_patiently(self._connection, command)
        alias = value_of(reply)
        return schedule if alias is None else alias.decode(errors="replace")


def _is_definition(field: bytes) -> bool:
    return field.startswith(b"definition:")


def _inner(name: str, fields: Mapping[bytes, bytes]) -> str:
    return fields.get(f"alias:{name}".encode(), name.encode()).decode(errors="replace")


def outcomes_of(schedule: str, texts: Sequence[bytes]) -> list[DueOutcome]:
    """Return the outcomes of due times; unreadable ones are left out."""
    found: list[DueOutcome] = []
    for text in filter(None, texts):
        try:
            found.append(_outcome(text.decode()))
        except ValueError as error:
            logger.error(
                "An outcome of the schedule %s is left out, what is stored is none: %s",
                plain(schedule),
                error,
            )
    return found


def known_of(
    name: str,
    fields: Mapping[bytes, bytes],
    state: Mapping[bytes, bytes],
    latest: Sequence[DueOutcome],
) -> Known:
    """Return all that Redis holds of one schedule.

    Arguments:
        name: owner/name.
        fields: the content of ``P:schedules``.
        state: what has happened to it.
        latest: the outcomes of its last due times.

    Raises:
        ValueError, LookupError: something else is stored there.
    """

    def number(field: bytes) -> int:
        return int(state.get(field, 0))

    owner, _, short = name.partition("/")
    return Known(
        owner=owner,
        name=short,
        definition=fields[f"definition:{name}".encode()].decode(),
        next_time=int(fields.get(f"next:{name}".encode(), 0)),
        created=number(b"created"),
        last=number(b"last"),
        last_key=state.get(b"key", b"").decode(),
        runs=number(b"runs"),
        failures=number(b"failures"),
        pause=_pause(state.get(b"pause")),
        stopped=_pause(state.get(b"stopped")),
        skip=number(b"skip"),
        skipped=Counter(
            {
                field.partition(b":")[2].decode(): int(count)
                for field, count in state.items()
                if field.startswith(b"skipped:")
            }
        ),
        seal=fields.get(f"seal:{name}".encode(), b"").decode(errors="replace"),
        latest=next(iter(latest), None),
    )


def _pause(text: bytes | None) -> Mapping[str, Any] | None:
    """Return a pause; one that cannot be read counts like any other, as for the scripts."""
    if not text:
        return None
    try:
        told: Any = json.loads(text)
        by, reason = str(told["by"]), str(told.get("reason", ""))
        until = {"until": int(told["until"])} if told.get("until") else {}
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return _UNREADABLE
    return {**told, "by": by, "reason": reason, **until}


_UNREADABLE: Mapping[str, Any] = {"by": "?", "reason": "what is stored is no pause"}


def _outcome(text: str) -> DueOutcome:
    due, told, key, *ending = text.split("\n", 3)
    word, _, count = told.partition(" ")
    end, _, took = (ending or [""])[0].partition(" ")
    return DueOutcome(int(due), word, int(count or 1), key, end, int(took) if took else None)


def _tick(reply: Sequence[bytes]) -> Tick:
    word, next_time, reason, pause = reply
    return Tick(word.decode(), int(next_time), reason.decode(), _pause(pause))
