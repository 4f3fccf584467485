"""The choice of executions that a deed is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..foundation.call_options import CallOptions, lane
from ..foundation.lifecycle import LIVE, ExecutionState
from ..storage.dead import read_lineage
from ..storage.executions import Record
from ..strikelist import Condition


@dataclass(frozen=True, slots=True)
class Selection:
    """Executions that wait or run, and that each of these lets through.

    Arguments:
        task: those of this task.
        where: those whose arguments compare so; all comparisons must hold.
        queue: those of this queue, at any priority.
        tag: those with this tag.
        older: those that have been due for longer than this.
        deed: those that a deed of this id has had run again, and that no worker has begun.
        states: those in one of these states.
    """

    task: str | None = None
    where: tuple[Condition, ...] = ()
    queue: str | None = None
    tag: str | None = None
    older: timedelta | None = None
    deed: str | None = None
    states: frozenset[ExecutionState] = LIVE

    def includes(self, record: Record, now: datetime) -> bool:
        """Return True if a record is meant, as far as that is seen without its arguments."""
        return (
            record.state in self.states
            and self.task in (None, record.task)
            and (self.queue is None or record.queue in _names(self.queue))
            and (self.tag is None or self.tag in CallOptions.read(record.options).tags)
            and (self.older is None or now - record.due > self.older)
            and (self.deed is None or self._is_of_deed(record))
        )

    @property
    def about(self) -> dict[str, Any]:
        """The choice as the audit has it."""
        return {
            "task": self.task,
            "where": [f"{one.parameter} {one.operator.value} {one.value!r}" for one in self.where],
            "queue": self.queue,
            "tag": self.tag,
            "older": self.older,
            "deed": self.deed,
            "states": [] if self.states == LIVE else sorted(one.value for one in self.states),
        }

    def holds(self, arguments: Mapping[str, Any]) -> bool:
        """Return True if arguments compare as they must."""
        return all(condition.holds(arguments) for condition in self.where)

    def _is_of_deed(self, record: Record) -> bool:
        lineage = read_lineage(record.lineage)
        has_begun = record.state is ExecutionState.RUNNING or record.attempt > 1
        return bool(lineage) and lineage[-1].deed == self.deed and not has_begun


@dataclass(frozen=True, slots=True)
class Match:
    """An execution that a selection has found.

    Arguments:
        key, task, state: the execution.
        identity: that of its acceptance: a key that is used again meanwhile is another one.
    """

    key: str
    task: str
    state: ExecutionState
    identity: str


@dataclass(frozen=True, slots=True)
class Found:
    """The executions that a selection has found.

    Arguments:
        matches: those that are meant.
        unreadable: keys of those whose arguments cannot be read here: they are left alone.
    """

    matches: tuple[Match, ...]
    unreadable: tuple[str, ...] = ()


def _names(queue: str) -> tuple[str, str, str]:
    return lane(queue, "high"), queue, lane(queue, "low")
