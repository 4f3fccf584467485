"""The states of an execution, what a call did to it, and the one table of legal transitions."""

from __future__ import annotations

import enum


class ExecutionState(str, enum.Enum):
    """The state of an execution in its life; equal to its value, so that an event of it is plain JSON."""

    SCHEDULED = "scheduled"
    """The execution waits for its due time."""
    QUEUED = "queued"
    """The execution is due, and waits for a worker."""
    RUNNING = "running"
    """A worker holds its lease."""
    PARKED = "parked"
    """The execution waits for an operator, or for a worker that knows its task."""
    COMPLETED = "completed"
    """The task has returned."""
    FAILED = "failed"
    """The task has failed for good; kept as a dead letter."""
    CANCELLED = "cancelled"
    """Was cancelled by a person, struck out, dropped by a limit, or has not begun in time."""

    # As of a plain enumeration, and the same on every Python.
    __str__ = enum.Enum.__str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @property
    def is_live(self) -> bool:
        """True if there is still work to do; a live execution never expires."""
        return self in LIVE

    @property
    def is_terminal(self) -> bool:
        """True if the outcome is recorded."""
        return self not in LIVE


LIVE = frozenset(
    {
        ExecutionState.SCHEDULED,
        ExecutionState.QUEUED,
        ExecutionState.RUNNING,
        ExecutionState.PARKED,
    }
)

_S = ExecutionState

TRANSITIONS: dict[ExecutionState | None, frozenset[ExecutionState]] = {
    # None is the absence of a record: before the first add, and after a finished one expired.
    # Parked at once: a strike keeps it back.
    None: frozenset({_S.SCHEDULED, _S.QUEUED, _S.PARKED}),
    _S.SCHEDULED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.CANCELLED, _S.PARKED}),
    # To failed: it waited for its next run as a suspect, and has killed its process often enough.
    _S.QUEUED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.RUNNING, _S.CANCELLED, _S.PARKED, _S.FAILED}),
    # Back to scheduled: retry, perpetual, blocked. Back to queued: the same when due at once,
    # interrupted by a drain, or replaced. To running: redelivered after its lease ended.
    _S.RUNNING: frozenset(_S),
    _S.PARKED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.CANCELLED, _S.PARKED}),
    # A finished key may be used again, and a dead letter replayed.
    _S.COMPLETED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.PARKED}),
    _S.FAILED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.PARKED}),
    _S.CANCELLED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.PARKED}),
}


class Disposition(enum.Enum):
    """The outcome of a call that wanted to schedule an execution."""

    LOADED = "loaded"
    """Nothing yet: the execution was read, not scheduled."""
    SCHEDULED = "scheduled"
    """The call was accepted and is durable."""
    ALREADY_SCHEDULED = "already_scheduled"
    """An execution with this key is live; nothing was touched."""
    ALREADY_DONE = "already_done"
    """An execution with this key is over, and was to run once; nothing was touched."""
    STRUCK = "struck"
    """A strike forbids it; nothing was touched."""
    SUPERSEDED = "superseded"
    """A newer generation of the key exists; nothing was touched."""
    FAILED = "failed"
    """The server refused this one; see ``schedule_exception``."""


class DeadReason(enum.Enum):
    """The reason of a dead letter."""

    FAILED = "failed"
    """The task failed, and no retry is left."""
    CRASHED = "crashed"
    """Its worker process died in it too often."""
    UNDECODABLE = "undecodable"
    """The payload cannot be read."""
    SIGNATURE = "signature"
    """The arguments do not fit the task."""


class ParkedReason(enum.Enum):
    """The event that a parked execution waits for."""

    UNKNOWN_TASK = "unknown_task"
    """A worker that knows its task."""
    STRUCK = "struck"
    """The end of a strike that parks."""
    ARGS_SCHEMA = "args_schema"
    """A worker that knows this shape of its arguments."""
    SIGNATURE = "signature"
    """A worker whose release of the task takes its arguments, or has the types that they were made of."""
    CODEC = "codec"
    """A worker whose ``security.codecs`` allow how its arguments are encoded."""
