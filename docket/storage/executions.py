"""The records of executions: scheduled, replaced, cancelled, read, counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, NamedTuple

from ..connection.base import Connection
from ..errors import DocketError
from ..lifecycle import Disposition, ExecutionState
from .keys import DEFAULT_QUEUE, Keys
from .patience import PATIENCE, read_patiently, run_patiently, value_of
from .progress import ProgressRecord, progress_of, progress_query
from .replies import pairs
from .script import Script, run

CHUNK = 100
"""How many executions one script call takes: well under a millisecond of the server's time."""

PAGE = 1000
"""How many records are read in one round trip."""

_SCHEDULE = Script("schedule", ("mode",))
_CANCEL = Script("cancel", ("key", "ttl"))
_BEGIN = Script("begin", ("key", "generation", "consumer"))


class NewExecution(NamedTuple):
    """What is to be scheduled, in the words of the script."""

    key: str
    nonce: str
    due: int
    """Unix time in ms; 0 is now."""
    task: str
    call: bytes
    queue: str = ""
    attempt: int = 1
    trace: str = ""
    strike: str = ""
    """The rule that parks it, if its caller has found one."""


class Scheduled(NamedTuple):
    """What the server did with one new execution."""

    disposition: Disposition
    state: ExecutionState | None
    generation: int
    error: str | None = None


class Begun(NamedTuple):
    """One execution that was handed to somebody who has asked for it by its key."""

    message: bytes
    queue: str
    generation: int
    fence: int
    started: int
    """Unix time in ms."""
    identity: str


class Backlog(NamedTuple):
    """How much work there is."""

    due: dict[str, int]
    """Due or running, by queue."""
    future: int
    """Waiting for a time."""
    waiting: int
    """Waiting for a slot of a limit."""
    parked: int
    dead: int


@dataclass(frozen=True, slots=True)
class Record:
    """One execution as it stands in Redis."""

    key: str
    state: ExecutionState
    task: str
    call: bytes
    generation: int
    due: datetime
    attempt: int = 1
    queue: str = DEFAULT_QUEUE
    fence: int | None = None
    consumer: str | None = None
    """Who has it, or had it last: one life of a worker."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    reason: str | None = None
    crashes: int = 0
    trace: str = ""
    identity: str = ""
    """What tells this acceptance of its key from every other one."""

    @property
    def worker(self) -> str | None:
        """The name that people see of who has it, or had it last."""
        return None if self.consumer is None else worker_of(self.consumer)


def worker_of(consumer: str) -> str:
    """The name that people see of a consumer: without the token of one life of a worker."""
    name, colon, token = consumer.rpartition(":")
    return name if colon else token


def to_milliseconds(moment: datetime) -> int:
    """Unix time in ms of an aware moment."""
    return round(moment.timestamp() * 1000)


def from_milliseconds(milliseconds: bytes | str | float) -> datetime:
    """The aware moment of a Unix time in ms."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, timezone.utc)


def queue_argument(queue: str) -> str:
    """How scripts name a queue: the default one is the one without a name."""
    return "" if queue == DEFAULT_QUEUE else queue


class Executions:
    """Reads and writes ``P:runs:*`` and what waits, through one script per change."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def schedule(
        self,
        executions: Sequence[NewExecution],
        *,
        mode: Literal["add", "replace"] = "add",
        patience: timedelta = PATIENCE,
    ) -> list[Scheduled]:
        """Schedule all of them, ``CHUNK`` per script call and all calls in one round trip.

        Not atomic as a whole: each one stands for itself. Lost replies are asked for again until
        ``patience`` is over; the nonces make that safe.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been scheduled.
        """
        chunks = [executions[at : at + CHUNK] for at in range(0, len(executions), CHUNK)]
        calls = [
            _SCHEDULE.call(self._keys, mode, *(field for execution in chunk for field in execution))
            for chunk in chunks
        ]
        scheduled: list[Scheduled] = []
        replies = await run_patiently(self._connection, *calls, patience=patience)
        for chunk, reply in zip(chunks, replies, strict=True):
            if isinstance(reply, DocketError):
                failure = Scheduled(Disposition.FAILED, None, 0, str(reply))
                scheduled.extend(failure for _ in chunk)
            else:
                scheduled.extend(_scheduled(word, state, at) for word, state, at in reply)
        return scheduled

    async def cancel(self, key: str, ttl: timedelta) -> str:
        """Cancel one execution; tells CANCELLED, REQUESTED, FINISHED or UNKNOWN."""
        call = _CANCEL.call(self._keys, key, int(ttl / timedelta(milliseconds=1)))
        (reply,) = await run_patiently(self._connection, call)
        return value_of(reply).decode()

    async def begin(self, key: str, generation: int, consumer: str) -> Begun | None:
        """Take one execution, known by its key, to run it; None if it is not to be had.

        Arguments:
            key: the execution.
            generation: the one that is meant; 0 is whatever is there.
            consumer: who takes it.
        """
        # Sent once: an answer that is lost leaves it to be delivered again.
        (reply,) = await run(self._connection, _BEGIN.call(self._keys, key, generation, consumer))
        if not value_of(reply):
            return None
        message, queue, current, fence, started, identity = reply
        return Begun(
            message, queue.decode(), int(current), int(fence), int(started), identity.decode()
        )

    async def read(self, *keys: str) -> list[Record | None]:
        """The records of these keys, None where there is none."""
        replies = await read_patiently(
            self._connection, *(("HGETALL", self._keys.run(key)) for key in keys)
        )
        return [_record(key, value_of(reply)) for key, reply in zip(keys, replies, strict=True)]

    async def read_with_progress(self, key: str) -> tuple[Record | None, ProgressRecord]:
        """The record of this key, None if there is none, and how far it has come."""
        record, progress = await read_patiently(
            self._connection, ("HGETALL", self._keys.run(key)), progress_query(self._keys, key)
        )
        return _record(key, value_of(record)), progress_of(value_of(progress))

    async def result(self, key: str) -> bytes | None:
        """The serialized result or failure, None if there is none."""
        (reply,) = await read_patiently(self._connection, ("GET", self._keys.result(key)))
        return value_of(reply)

    async def future(self) -> AsyncIterator[Record]:
        """All that waits for its due time, earliest first, then all that waits for a slot of a limit."""
        for index in (self._keys.future, self._keys.waiting):
            async for record in self._indexed(index):
                yield record

    def dead(self) -> AsyncIterator[Record]:
        """All that has failed for good and is still kept, the oldest first."""
        return self._indexed(self._keys.dead)

    def parked(self) -> AsyncIterator[Record]:
        """All that is parked, the longest parked first."""
        return self._indexed(self._keys.parked)

    async def due(self, queues: Sequence[str]) -> AsyncIterator[Record]:
        """All that is due or running in these queues, oldest first, a page per round trip."""
        for queue in queues:
            first = "-"
            while True:
                command = ("XRANGE", self._keys.stream(queue), first, "+", "COUNT", PAGE)
                (entries,) = await read_patiently(self._connection, command)
                for record in await self._existing([entry[1][1] for entry in value_of(entries)]):
                    yield record
                if len(entries) < PAGE:
                    break
                first = "(" + entries[-1][0].decode()

    async def queues(self) -> list[str]:
        """All queues that work can be in: those that ever got any, and those that tasks are routed to."""
        used, routes = await read_patiently(
            self._connection, ("SMEMBERS", self._keys.queues), ("HVALS", self._keys.routes)
        )
        names = {queue.decode(errors="replace") for queue in (*value_of(used), *value_of(routes))}
        return sorted({DEFAULT_QUEUE, *(name or DEFAULT_QUEUE for name in names)})

    async def route(
        self, routes: Mapping[str, str], schemas: Mapping[str, int] | None = None
    ) -> None:
        """Say of new executions where they go, and which shape their arguments have.

        Arguments:
            routes: the queue of each task whose is not the default one.
            schemas: the shape of the arguments of each task whose is not the first one.
        """
        replies = await self._connection.send(
            ("MULTI",),
            ("DEL", self._keys.routes),
            *(("HSET", self._keys.routes, task, queue) for task, queue in routes.items()),
            ("DEL", self._keys.schemas),
            *(
                ("HSET", self._keys.schemas, task, schema)
                for task, schema in (schemas or {}).items()
            ),
            ("EXEC",),
        )
        value_of(replies[-1])

    async def depths(self, queues: Sequence[str]) -> tuple[int, int]:
        """How many are due or running in these queues, and how many wait for a time or a slot."""
        *due, future, waiting = await read_patiently(
            self._connection,
            *(("XLEN", self._keys.stream(queue)) for queue in queues),
            ("ZCARD", self._keys.future),
            ("ZCARD", self._keys.waiting),
        )
        return sum(value_of(length) for length in due), value_of(future) + value_of(waiting)

    async def backlog(self, queues: Collection[str] = ()) -> Backlog:
        """How much there is of everything.

        Arguments:
            queues: queues to look at beside those that are known.
        """
        names = sorted({*queues, *await self.queues()})
        *due, future, waiting, parked, dead = await read_patiently(
            self._connection,
            *(("XLEN", self._keys.stream(queue)) for queue in names),
            *(("ZCARD", self._keys.future), ("ZCARD", self._keys.waiting)),
            *(("ZCARD", self._keys.parked), ("ZCARD", self._keys.dead)),
        )
        return Backlog(
            {name: value_of(length) for name, length in zip(names, due, strict=True)},
            *(value_of(length) for length in (future, waiting, parked, dead)),
        )

    async def _indexed(self, index: str) -> AsyncIterator[Record]:
        start = 0
        while True:
            command = ("ZRANGE", index, start, start + PAGE - 1)
            (members,) = await read_patiently(self._connection, command)
            for record in await self._existing(value_of(members)):
                yield record
            if len(members) < PAGE:
                break
            start += PAGE

    async def _existing(self, keys: Sequence[bytes]) -> list[Record]:
        if not keys:
            return []
        records = await self.read(*(key.decode() for key in keys))
        return [record for record in records if record is not None]


def _scheduled(word: bytes, state: bytes, generation: int) -> Scheduled:
    if word == b"FAILED":
        return Scheduled(Disposition.FAILED, None, 0, state.decode(errors="replace"))
    known = ExecutionState(state.decode()) if state else None
    return Scheduled(Disposition(word.decode().lower()), known, generation)


def _record(key: str, fields: list[bytes]) -> Record | None:
    known = pairs(fields)
    if b"state" not in known:
        return None

    def text(name: bytes) -> str | None:
        value = known.get(name)
        return None if value is None else value.decode(errors="replace")

    def moment(name: bytes) -> datetime | None:
        value = known.get(name)
        return None if value is None else from_milliseconds(value)

    return Record(
        key=key,
        state=ExecutionState(known[b"state"].decode()),
        task=known[b"task"].decode(),
        call=known[b"call"],
        generation=int(known.get(b"generation", 1)),
        due=from_milliseconds(known[b"due"]),
        attempt=int(known.get(b"attempt", 1)),
        queue=text(b"queue") or DEFAULT_QUEUE,
        fence=int(known[b"fence"]) if b"fence" in known else None,
        consumer=text(b"consumer"),
        started_at=moment(b"started"),
        completed_at=moment(b"completed"),
        error=text(b"error"),
        reason=text(b"reason"),
        crashes=int(known.get(b"crashes", 0)),
        trace=text(b"trace") or "",
        identity=text(b"nonce") or key,
    )
