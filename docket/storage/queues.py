"""Queues that an operator, or a file, has paused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from ..connection.base import Connection
from ..errors import DocketError
from ..foundation.call_options import without_priority
from ..foundation.names import EVERY_QUEUE
from ..foundation.units import from_milliseconds, from_time
from .executions import queue_argument
from .keys import DEFAULT_QUEUE, Keys
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script, run, time_query

_PAUSE: Final = Script("pause_queues", ("verb", "pause"))
_WAITS: Final = Script("waits")
_OF_FILES: Final = b"file\n"
"""Beginning of the fields of pauses that files declare."""


@dataclass(frozen=True, slots=True)
class QueuePause:
    """A pause of a queue: nothing of it is started, what runs goes on.

    Arguments:
        queue: its name, or ``EVERY_QUEUE``.
        by: the author, if it is one by hand.
        reason: the reason that was given.
        since: its begin.
        until: its end; None if it lasts until the queue is resumed.
        file: the owner of the file that pauses it, until it no longer does; empty if it is one by hand.
        revision: the revision of the file that began it.
    """

    queue: str
    by: str = ""
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None
    file: str = ""
    revision: int | None = None

    def holds_back(self, queue: str) -> bool:
        """Return True if this keeps work of a queue, or of one of its priorities, from being started."""
        return self.queue in (EVERY_QUEUE, queue, without_priority(queue))


class QueueWait(NamedTuple):
    """The time that work has waited in a queue.

    Arguments:
        longest: how long the oldest work has been due that no worker has taken; None if none waits.
        is_paused: whether nothing of the queue is started.
    """

    longest: timedelta | None
    is_paused: bool


class Queues:
    """The names of queues, their pauses, and how long work has waited there."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def used(self) -> frozenset[str]:
        """Return the names of all queues that ever got work; none if they cannot be read.

        Raises:
            ServerUnavailable: the server does not answer.
        """
        (reply,) = await self._connection.send(("SMEMBERS", self._keys.queues))
        return frozenset() if isinstance(reply, DocketError) else frozenset(map(_name, reply))

    async def pause(self, queues: Sequence[str], pause: Mapping[str, Any]) -> None:
        """Start nothing of these queues from now on.

        Arguments:
            queues: their names; ``EVERY_QUEUE`` is all of them.
            pause: ``by``, ``reason``, ``since`` and ``until`` (ms; None is without end).
        """
        await self._steer("pause", queues, pause)

    async def resume(self, queues: Sequence[str]) -> list[str]:
        """Start work of these queues again; return those that were paused."""
        changed = await self._steer("resume", queues, {})
        return [queue for queue, was_paused in zip(queues, changed, strict=True) if was_paused]

    async def paused(self) -> list[QueuePause]:
        """Return the pauses in effect, of operators and of files, by the names of their queues.

        One that cannot be read counts.
        """
        fields, now = await read_patiently(
            self._connection,
            ("HGETALL", self._keys.paused_queues),
            time_query(self._connection, self._keys),
        )
        moment = from_milliseconds(from_time(value_of(now)))
        found = [
            one for field, text in pairs(value_of(fields)).items() for one in _pauses(field, text)
        ]
        return sorted(
            (one for one in found if one.until is None or one.until > moment),
            key=lambda one: (one.queue, one.file),
        )

    async def waits(self, queues: Sequence[str]) -> dict[str, QueueWait]:
        """Return how long work has waited in these queues; one round trip, without patience.

        Raises:
            ServerUnavailable: the server does not answer.
        """
        call = _WAITS.call(self._keys, *map(queue_argument, queues))
        (reply,) = await run(self._connection, call)
        told = [int(number) for number in value_of(reply)]
        return {
            queue: QueueWait(
                timedelta(milliseconds=told[at]) if told[at] >= 0 else None, told[at + 1] == 1
            )
            for queue, at in zip(queues, range(0, len(told), 2), strict=True)
        }

    async def _steer(self, verb: str, queues: Sequence[str], pause: Mapping[str, Any]) -> list[int]:
        names = [one if one == EVERY_QUEUE else queue_argument(one) for one in queues]
        call = _PAUSE.call(self._keys, verb, json.dumps(dict(pause)), *names)
        (reply,) = await run_patiently(self._connection, call)
        return value_of(reply)


def _pauses(field: bytes, text: bytes) -> list[QueuePause]:
    if field.startswith(_OF_FILES):
        return read_file_pauses(_name(field.removeprefix(_OF_FILES)), text)
    return [read_pause(_name(field), text)]


def read_file_pauses(queue: str, text: bytes) -> list[QueuePause]:
    """Return the pauses of a queue that files declare, one for each owner, or one of an unknown owner."""
    owners = _table(text) or {"?": None}
    return [_of_file(queue, owner, _fields(said)) for owner, said in owners.items()]


def _of_file(queue: str, owner: str, said: Mapping[str, Any]) -> QueuePause:
    revision = said.get("revision")
    return QueuePause(
        queue,
        since=_moment(said.get("since")),
        file=owner,
        revision=revision if isinstance(revision, int) else None,
    )


def _table(text: bytes) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return _fields(told)


def _fields(told: object) -> dict[str, Any]:
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def read_pause(queue: str, text: bytes) -> QueuePause:
    """Return what a stored pause by hand says."""
    said = _table(text)
    return QueuePause(
        queue,
        str(said.get("by") or ""),
        str(said.get("reason") or ""),
        _moment(said.get("since")),
        _moment(said.get("until")),
    )


def _moment(unix: object) -> datetime | None:
    if isinstance(unix, int | float) and unix:
        return from_milliseconds(unix)
    return None


def _name(queue: bytes) -> str:
    return queue.decode(errors="replace") or DEFAULT_QUEUE
