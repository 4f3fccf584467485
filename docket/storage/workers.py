"""The workers: their heartbeats, and the tasks that each of them knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from ..connection.base import Connection
from ..foundation.units import from_milliseconds, from_time, milliseconds
from .executions import queue_argument
from .keys import Keys
from .parked import Group, Released, released_of
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, value_of
from .scripting.script import Script, run, time_query

_REGISTER = Script("register", ("worker", "silence", "codecs", "queues", "age", "code", "slots"))
_HEARTBEAT = Script("heartbeat", ("worker", "now"))
_RETIRE = Script("retire", ("worker", "consumer"))
_UNPARK = Script("unpark", ("quiet", "most"))

ANY_TASK = ""
"""In place of a task's name: all that the worker does not know by name."""

NOTHING: Mapping[str, str] = MappingProxyType({})

GROUPS = 100
"""Groups of parked work that one script looks at."""


@dataclass
class WorkerInfo:
    """One worker as its heartbeat shows it."""

    name: str
    last_seen: datetime
    tasks: set[str]
    started: datetime | None = field(default=None, kw_only=True)
    """Time at which it has started, if it says which code it runs."""
    code: str = field(default="", kw_only=True)
    """Fingerprint of the code that it runs; empty if it does not say."""
    slots: int | None = field(default=None, kw_only=True)
    """Number of executions that it runs at a time, if it says which code it runs."""

    def is_behind(self, workers: Iterable[WorkerInfo]) -> bool:
        """Return True if the newest of those that know the same tasks runs other code.

        Workers that know others run another program, whose code is another one for that reason.
        """
        same = [one for one in workers if one.started is not None and one.tasks == self.tasks]
        newest = max(same, key=lambda one: (one.started, one.name), default=self)
        return bool(self.code) and newest.code != self.code


class Workers:
    """Access to ``P:workers``, ``P:worker-*:*``, ``P:task-workers:*`` and ``P:codecs``."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def register(
        self,
        worker: str,
        tasks: Sequence[str],
        silence: timedelta,
        shapes: Mapping[str, str] = NOTHING,
        codecs: Sequence[str] = (),
        queues: Sequence[str] = (),
        age: timedelta = timedelta(0),
        code: str = "",
        slots: int = 0,
    ) -> int:
        """Announce a worker and forget those that were silent for longer than ``silence``.

        Arguments:
            worker: its name.
            tasks: those that it knows.
            silence: after which a worker counts as gone.
            shapes: what tasks can be called with, by name; by ``ANY_TASK``, that it takes all others, too.
            codecs: those that it reads.
            queues: those that it serves; empty if it does not say so.
            age: the time since it has started.
            code: the fingerprint of the code that it runs; empty if there is none.
            slots: the number of executions that it runs at a time; 0 if it does not say so.

        Returns the server's time in ms.
        """
        told = {**dict.fromkeys(tasks, ""), **shapes}
        words = [word for pair in told.items() for word in pair]
        call = _REGISTER.call(
            self._keys,
            *(worker, milliseconds(silence), " ".join(codecs), "\n".join(queues)),
            *(milliseconds(age), code, slots),
            *words,
        )
        (reply,) = await run(self._connection, call)
        return int(value_of(reply))

    async def beat(self, worker: str, now: int) -> bool:
        """Say that the worker lives, at ``now`` ms of the server's time; return True if it was still known.

        It is not where the server was emptied, or has not heard of it for so long that others forgot it.
        """
        (reply,) = await self._connection.send(("ZADD", self._keys.workers, now, worker))
        return not value_of(reply)

    async def beat_at_a_full_server(self, worker: str, now: int) -> bool:
        """Do as ``beat`` does, where that is refused for want of memory."""
        (reply,) = await run(self._connection, _HEARTBEAT.call(self._keys, worker, now))
        return not value_of(reply)

    async def parked(self) -> int:
        """Return the number of parked executions."""
        (reply,) = await self._connection.send(("ZCARD", self._keys.parked))
        return value_of(reply)

    async def retire(self, worker: str, consumer: str, queues: Sequence[str]) -> int:
        """Say goodbye, and hand back what is still pending; return how much that was."""
        call = _RETIRE.call(self._keys, worker, consumer, *map(queue_argument, queues))
        total = 0
        while True:
            (reply,) = await run(self._connection, call)
            count, is_more = value_of(reply)
            total += count
            if not is_more:
                return total

    async def parked_groups(self) -> list[Group]:
        """Return the reasons for which, and the tasks of which, anything is parked."""
        (reply,) = await self._connection.send(("SMEMBERS", self._keys.parked_groups))
        return sorted(Group.read(text) for text in value_of(reply))

    async def parked_by_group(self) -> dict[Group, int]:
        """Return the number of parked executions by reason and task."""
        groups = await self.parked_groups()
        if not groups:
            return {}
        sizes = await read_patiently(
            self._connection, *(("ZCARD", self._keys.parked_group(str(group))) for group in groups)
        )
        return {group: value_of(size) for group, size in zip(groups, sizes, strict=True)}

    async def unpark(
        self, reason: str, tasks: Sequence[str], *, is_quiet: bool = False, most: int = 0
    ) -> Released:
        """Queue again what was parked for this reason and is known now.

        Arguments:
            reason: why it was parked.
            tasks: the names of the tasks that are known.
            is_quiet: whether the caller looks for it by itself, and no bell is rung.
            most: how many at most; 0 is any number.
        """
        done = Released([], [])
        for at in range(0, len(tasks), GROUPS):
            groups = [str(Group(reason, task)) for task in tasks[at : at + GROUPS]]
            is_more = True
            while is_more and not 0 < most <= len(done.released):
                left = most - len(done.released) if most else 0
                call = _UNPARK.call(self._keys, int(is_quiet), left, *groups)
                (reply,) = await run(self._connection, call)
                is_more, slice_ = released_of(value_of(reply))
                done.released.extend(slice_.released)
                done.unreadable.extend(slice_.unreadable)
        return done

    async def living(self, silence: timedelta) -> list[WorkerInfo]:
        """Return the workers that were heard of within ``silence``."""
        now, seen = await read_patiently(
            self._connection,
            time_query(self._connection, self._keys),
            ("ZRANGE", self._keys.workers, 0, -1, "WITHSCORES"),
        )
        oldest = from_milliseconds(from_time(value_of(now))) - silence
        heard = {
            name.decode(errors="replace"): from_milliseconds(at)
            for name, at in pairs(value_of(seen)).items()
        }
        living = [(name, last) for name, last in heard.items() if last >= oldest]
        if not living:
            return []
        codes, *tasks = await read_patiently(
            self._connection,
            ("HMGET", self._keys.worker_code, *(name for name, _ in living)),
            *(("SMEMBERS", self._keys.worker_tasks(name)) for name, _ in living),
        )
        return [
            WorkerInfo(
                name,
                last_seen,
                {task.decode(errors="replace") for task in value_of(known)},
                **_code_of(code),
            )
            for (name, last_seen), known, code in zip(living, tasks, value_of(codes), strict=True)
        ]

    async def shapes(self, task: str, silence: timedelta, *, fallbacks: bool = True) -> list[str]:
        """Return what a task can be called with, as the workers heard of within ``silence`` say.

        Arguments:
            task: its name.
            silence: after which a worker counts as gone.
            fallbacks: count those as well that take tasks which they do not know.
        """
        workers = await self.living(silence)
        if not workers:
            return []
        replies = await read_patiently(
            self._connection,
            *(
                ("HMGET", self._keys.worker_shapes(worker.name), task, ANY_TASK)
                for worker in workers
            ),
        )
        told = [own or (other if fallbacks else None) for own, other in map(value_of, replies)]
        return list(
            dict.fromkeys(shape.decode(errors="replace") for shape in told if shape is not None)
        )

    async def codecs(self, silence: timedelta) -> list[set[str]]:
        """Return the codecs that the workers read that were heard of within ``silence``, if they say so."""
        workers = await self.living(silence)
        if not workers:
            return []
        names = [worker.name for worker in workers]
        (reply,) = await read_patiently(self._connection, ("HMGET", self._keys.codecs, *names))
        return [
            set(codecs.decode(errors="replace").split()) for codecs in value_of(reply) if codecs
        ]

    async def served(self, silence: timedelta) -> set[str]:
        """Return the queues that the workers heard of within ``silence`` say they serve."""
        return set[str]().union(*(await self.serving(silence)).values())

    async def serving(self, silence: timedelta) -> dict[str, set[str]]:
        """Return the queues that each worker heard of within ``silence`` says it serves."""
        names = [worker.name for worker in await self.living(silence)]
        if not names:
            return {}
        (reply,) = await read_patiently(
            self._connection, ("HMGET", self._keys.worker_queues, *names)
        )
        told = [(queues or b"").decode(errors="replace") for queues in value_of(reply)]
        return {
            name: set(queues.split("\n")) if queues else set[str]()
            for name, queues in zip(names, told, strict=True)
        }

    async def knowing(self, task: str, silence: timedelta) -> list[WorkerInfo]:
        """Return the workers heard of within ``silence`` that know a task."""
        return [worker for worker in await self.living(silence) if task in worker.tasks]


def _code_of(told: bytes | None) -> dict[str, Any]:
    """Return when a worker has started, which code it runs, and its slots; nothing of what is damaged."""
    started, code, slots, *_ = [*(told or b"").split(b" "), b"", b""]
    if not started.isdigit():
        return {}
    return {
        "started": from_milliseconds(int(started)),
        "code": code.decode(errors="replace"),
        "slots": int(slots) if slots.isdigit() and int(slots) else None,
    }
