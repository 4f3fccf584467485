"""The situation of an execution: why it stands where it does, in one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ...connection.base import Connection
from ...errors import Undecodable
from ...foundation.call_options import without_priority
from ...foundation.lifecycle import ExecutionState
from ...foundation.names import EVERY_QUEUE
from ...foundation.plain import plain
from ...foundation.units import MILLISECOND, from_due, from_milliseconds, milliseconds
from ..executions import worker_of
from ..keys import DEFAULT_QUEUE, Keys
from ..queues import QueuePause, read_file_pauses, read_pause
from ..scripting.retrying import run_patiently, value_of
from ..scripting.script import Script
from ..strikes import StoredRule, stored_rule

_SITUATION = Script("situation", ("key", "silence"))


class Seen(NamedTuple):
    """Something that has a name, and a moment of it."""

    name: str
    at: datetime


class Moment(NamedTuple):
    """The moment that a run was given at a gate that has put it off."""

    kind: str
    """rate or debounce."""
    gate: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SlotWait:
    """The wait for a slot of a concurrency limit.

    Arguments:
        limit: its name.
        slots: how many it has; None if that is unknown.
        held: how many of them are held.
        holders: the keys that have held one longest, and since when; ten at most.
        before: how many wait before it.
        since: since when it waits.
    """

    limit: str
    slots: int | None
    held: int
    holders: tuple[Seen, ...]
    before: int
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class TurnWait:
    """The wait for the run of a schedule before it.

    Arguments:
        schedule: owner/name.
        holder: the key of the run that has the turn; None if no run has it.
        before: how many wait before it.
        since: since when it waits.
    """

    schedule: str
    holder: str | None
    before: int
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """The state of an execution, and what is around it; what does not concern its state is not read.

    Arguments:
        key, task, state, queue, attempt, due: the execution.
        now: the server's time.
        silence: how long a worker may be silent before it counts as gone.
        worker: its holder, or the last one.
        started_at, completed_at, reason, error: as its record says.
        expires: the moment by which it must have begun.
        ended_by, released_by: who has cancelled it, or released it when it was parked, and why, as JSON.
        crashes, alone, death: how many processes have died under it, how many of them while it ran alone,
            and how the last one has.
        is_suspect: true while it waits as a suspect.
        is_cancelled: whether its worker was asked to cancel it.
        schedule: the schedule that it is a run of, owner/name.
        strike: the identity of the rule that has parked it.
        rules: the rule that has parked it and that for its whole task, by identity, if they are there.
        is_listed: whether it is where what is scheduled, or due, is looked for.
        slot, turn: what it waits for.
        moments: what it was given at gates.
        ahead: how many of its queue are before it that no worker has; with ``is_least``, so many at least.
        suspects_before: how many suspects run before it.
        lease_left: how long its worker is still believed; negative if it is not, None if that is unknown.
        heard: when its worker was last heard of.
        parked_since, kept_for: as the names say.
        is_dead: whether it is listed as a dead letter.
        pauses: the pauses of its queue, and of all queues.
        living: how many workers live.
        knowing: the workers that know its task, and when they were last heard of.
        serving: the queues of the workers that live, by name; None of one that does not say.
        taking: the workers that live and take any task.
    """

    key: str
    task: str
    state: ExecutionState
    due: datetime
    now: datetime
    silence: timedelta
    queue: str = DEFAULT_QUEUE
    attempt: int = 1
    worker: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    reason: str = ""
    error: str = ""
    expires: datetime | None = None
    ended_by: str = ""
    released_by: str = ""
    crashes: int = 0
    alone: int = 0
    death: str = ""
    is_suspect: bool = False
    is_cancelled: bool = False
    schedule: str = ""
    strike: str = ""
    rules: Mapping[str, StoredRule] = field(default_factory=dict[str, StoredRule])
    is_listed: bool = True
    slot: SlotWait | None = None
    turn: TurnWait | None = None
    moments: tuple[Moment, ...] = ()
    ahead: int = 0
    is_least: bool = False
    suspects_before: int = 0
    lease_left: timedelta | None = None
    heard: datetime | None = None
    parked_since: datetime | None = None
    kept_for: timedelta | None = None
    is_dead: bool = False
    pauses: tuple[QueuePause, ...] = ()
    living: int = 0
    knowing: tuple[Seen, ...] = ()
    serving: Mapping[str, Sequence[str] | None] = field(
        default_factory=dict[str, "Sequence[str] | None"]
    )
    taking: tuple[str, ...] = ()

    def is_living(self, heard: datetime) -> bool:
        """Return True if a worker that was last heard of then counts as living."""
        return heard >= self.now - self.silence


class Situations:
    """Reader of the situations of executions."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def of(self, key: str, silence: timedelta) -> Situation | None:
        """Return the situation of an execution, read in one command; None if there is no such execution.

        Arguments:
            key: the execution.
            silence: after which a worker counts as gone.

        Raises:
            Undecodable: something else is stored there.
        """
        call = _SITUATION.call(self._keys, key, milliseconds(silence))
        (reply,) = await run_patiently(self._connection, call)
        parts: list[Any] = value_of(reply)
        if not parts:
            return None
        told = _Told(
            {name.decode(): value for name, value in zip(parts[::2], parts[1::2], strict=True)}
        )
        try:
            return _situation(key, told, silence)
        except (ValueError, LookupError, OverflowError) as error:
            raise Undecodable(
                f"expected the record of an execution under the key {plain(key)!r}, found something else "
                f"({error}); cancel or replace it, or take it away"
            ) from error


class _Told(dict[str, Any]):
    """The answer of the script."""

    def text(self, name: str) -> str:
        return _text(self.get(name, b""))

    def number(self, name: str) -> int:
        return int(float(self.get(name, 0)))

    def moment(self, name: str) -> datetime | None:
        return from_milliseconds(float(self[name])) if name in self else None

    def texts(self, name: str) -> list[str]:
        return [*map(_text, self.get(name, ()))]

    def seen(self, name: str) -> tuple[Seen, ...]:
        parts = self.texts(name)
        return tuple(
            Seen(one, from_milliseconds(float(at)))
            for one, at in zip(parts[::2], parts[1::2], strict=True)
        )


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _situation(key: str, told: _Told, silence: timedelta) -> Situation:
    state = ExecutionState(told.text("state"))
    consumer, task, strike = told.text("consumer"), told.text("task"), told.text("strike")
    waits = told.text("waits")
    is_turn = waits.startswith("schedule ")
    now = from_milliseconds(told.number("now"))
    left = told.number("left")
    queue = told.text("queue") or DEFAULT_QUEUE
    parts, gates = told.texts("serving"), told.texts("moments")
    return Situation(
        key=key,
        task=task,
        state=state,
        due=from_due(told["due"], told.get("when")),
        now=now,
        silence=silence,
        queue=queue,
        attempt=told.number("attempt") or 1,
        worker=worker_of(consumer) if consumer else None,
        started_at=told.moment("started"),
        completed_at=told.moment("completed"),
        reason=told.text("reason"),
        error=told.text("error"),
        expires=told.moment("expires"),
        ended_by=told.text("ended_by"),
        released_by=told.text("released_by"),
        crashes=told.number("crashes"),
        alone=told.number("alone"),
        death=told.text("death"),
        is_suspect="suspects_before" in told,
        is_cancelled="cancel" in told,
        schedule=told.text("schedule"),
        strike=strike,
        rules={
            identity: stored_rule(told[name])
            for identity, name in ((strike, "rule"), (f"task:{task}", "task_rule"))
            if name in told
        },
        is_listed=bool({"listed", "before", "ahead", "suspects_before"} & told.keys()),
        slot=_slot(waits, told) if waits and not is_turn else None,
        turn=_turn(waits.removeprefix("schedule "), told) if is_turn else None,
        moments=tuple(
            Moment(kind, gate, from_milliseconds(float(at)))
            for kind, gate, at in zip(gates[::3], gates[1::3], gates[2::3], strict=True)
        ),
        ahead=told.number("ahead"),
        is_least="ahead_is_least" in told,
        suspects_before=told.number("suspects_before"),
        lease_left=(told.number("lease") - told.number("true_now")) * MILLISECOND
        if "lease" in told
        else None,
        heard=told.moment("heard"),
        parked_since=told.moment("parked"),
        kept_for=left * MILLISECOND if left > 0 else None,
        is_dead="dead" in told,
        pauses=tuple(_pauses(queue, told)),
        living=told.number("living"),
        knowing=told.seen("knowing"),
        serving={
            name: queues.split("\n") if queues else None
            for name, queues in zip(parts[::2], parts[1::2], strict=True)
        },
        taking=tuple(told.texts("taking")),
    )


def _pauses(queue: str, told: _Told) -> Iterator[QueuePause]:
    """Yield the pauses that keep work of a queue from being started, those by hand first."""
    names = {"": queue, "_of_queue": without_priority(queue), "_of_all": EVERY_QUEUE}
    for which, name in names.items():
        if (text := told.get(f"pause{which}")) is not None:
            yield read_pause(name, text)
    for which, name in names.items():
        if (text := told.get(f"file_pause{which}")) is not None:
            yield from read_file_pauses(name, text)


def _slot(limit: str, told: _Told) -> SlotWait:
    return SlotWait(
        limit,
        told.number("slots") if "slots" in told else None,
        told.number("held"),
        tuple(Seen(owner.partition("\n")[2], at) for owner, at in told.seen("holders")),
        told.number("before"),
        told.moment("waiting_since"),
    )


def _turn(schedule: str, told: _Told) -> TurnWait:
    has_turn = told.text("turn_state") in ("scheduled", "queued", "running")
    holder = told.text("turn_of") if has_turn else None
    return TurnWait(schedule, holder, told.number("before"), told.moment("waiting_since"))
