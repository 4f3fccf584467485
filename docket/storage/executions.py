"""The records of executions: scheduled, replaced, cancelled, read, counted."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from ..connection.base import Argument, Command, Connection, Reply
from ..errors import DocketError, Undecodable
from ..foundation.lifecycle import LIVE, Disposition, ExecutionState
from ..foundation.plain import plain
from ..foundation.units import from_due, from_milliseconds, from_time, milliseconds
from .coalescing import Coalescing, Mode
from .keys import DEFAULT_QUEUE, WORKER_GROUP, Keys
from .pages import PAGE, Pages
from .parked import Group
from .progress import ProgressRecord, progress_of, progress_query
from .scripting.replies import pairs
from .scripting.retrying import PATIENCE, patiently, read_patiently, run_patiently, value_of
from .scripting.script import Call, Script, run, time_query

CHUNK = 100
"""Number of executions that one script call takes: well under a millisecond of the server's time."""

FUTURE = ("queue", "waiting")
"""Indexes of executions that are not due, or wait for a slot of a limit."""

SAMPLE = 100
"""Number of overdue executions that show how the others are spread over the queues."""

LOOKS = 5
"""Maximum number of looks, the first included, for what has moved meanwhile."""

logger = logging.getLogger("docket.storage")

_DISPOSITIONS = {one.value.upper().encode(): one for one in Disposition}
_STATES: dict[bytes, ExecutionState | None] = {b"": None} | {
    one.value.encode(): one for one in ExecutionState
}
"""Answers of scripts."""

_SCHEDULE = Script("schedule", ("mode",))
_CANCEL = Script("cancel", ("HISTORY", "key", "ttl"))
_CLEAR = Script(
    "clear",
    (
        "HISTORY",
        "ttl",
    ),
)
_BEGIN = Script("begin", ("key", "generation", "consumer"))


class NewExecution(NamedTuple):
    """An execution to be scheduled, in the words of the script."""

    key: str
    nonce: str
    due: int
    """Unix time in ms; 0 is now."""
    task: str
    call: bytes
    queue: str = ""
    """Empty is that of its task, ``default`` the one without a name, ``/high`` its task's at a priority."""
    attempt: int = 1
    trace: str = ""
    strike: str = ""
    """The rule that parks it, if its caller has found one."""
    when: str = ""
    """``due`` in µs, where it is not a whole ms."""
    options: str = ""
    """The options of its call, as JSON."""
    late_at: float = math.inf
    """Time after which its record may be gone, if it was sent before, in seconds of the monotonic clock."""

    def arguments(self, now: float) -> tuple[Argument, ...]:
        """Return it in the words of the script, as it is sent now."""
        return (*self[:-1], int(now > self.late_at))


class Scheduled(NamedTuple):
    """The outcome of scheduling one new execution."""

    disposition: Disposition
    state: ExecutionState | None
    generation: int
    error: str | None = None
    is_unknown: bool = False
    """True if it is unknown what became of it when it was sent first; it was not scheduled now."""


class Begun(NamedTuple):
    """One execution that was handed to a consumer that has asked for it by its key."""

    message: bytes
    queue: str
    generation: int
    fence: int
    started: int
    """Unix time in ms."""
    identity: str


class Stock(NamedTuple):
    """The amount of waiting and running work, counted without reading any of it."""

    running: int
    queued: int
    scheduled: int
    """Waiting for a time, or for a slot of a limit."""


class Backlog(NamedTuple):
    """The amount of work."""

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
    """Its holder, or the last one: one life of a worker."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    reason: str | None = None
    crashes: int = 0
    trace: str = ""
    identity: str = ""
    """The name of this acceptance of its key, which no other one has."""
    lineage: str = ""
    """Its retries by hand, as JSON."""
    options: str = ""
    """The options of its call, as JSON."""
    is_evicted: bool = False
    """True if its result was taken away, because results took too much memory."""
    has_result: bool = False
    """True if there is a result or a failure of it; known only if it was read with its progress."""

    @property
    def worker(self) -> str | None:
        """The name that people see of its holder, or of the last one."""
        return None if self.consumer is None else worker_of(self.consumer)


def worker_of(consumer: str) -> str:
    """Return the name that people see of a consumer: without the token of one life of a worker."""
    name, colon, token = consumer.rpartition(":")
    return name if colon else token


def queue_argument(queue: str) -> str:
    """Return the name of a queue in scripts: that of the default one is empty."""
    return "" if queue == DEFAULT_QUEUE else queue


class Executions:
    """Access to ``P:runs:*`` and what waits, through one script per change."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._coalescing = Coalescing(self._schedule)

    async def schedule(
        self,
        executions: Sequence[NewExecution],
        *,
        mode: Mode = "add",
        patience: timedelta = PATIENCE,
    ) -> list[Scheduled]:
        """Schedule all of them, ``CHUNK`` per script call and all calls in one round trip.

        Single ones that many tasks schedule in one moment share a round trip. Not atomic as a whole: each
        one stands for itself. Lost replies are asked for again until ``patience`` is over; the nonces make
        that safe.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been scheduled.
        """
        if len(executions) == 1 and patience is PATIENCE:
            return [await self._coalescing.schedule(mode, executions[0])]
        return await self._schedule(mode, executions, patience)

    async def _schedule(
        self, mode: Mode, executions: Sequence[NewExecution], patience: timedelta = PATIENCE
    ) -> list[Scheduled]:
        chunks = [executions[at : at + CHUNK] for at in range(0, len(executions), CHUNK)]
        scheduled: list[Scheduled] = []
        # Made anew each time: the script wants to know how old a call is.
        replies = await patiently(
            self._connection, lambda: run(self._connection, *self._calls(mode, chunks)), patience
        )
        for chunk, reply in zip(chunks, replies, strict=True):
            if isinstance(reply, DocketError):
                failure = Scheduled(Disposition.FAILED, None, 0, str(reply))
                scheduled.extend(failure for _ in chunk)
            else:
                scheduled.extend(_scheduled(word, state, at) for word, state, at in reply)
        return scheduled

    def _calls(self, mode: Mode, chunks: Sequence[Sequence[NewExecution]]) -> list[Call]:
        now = time.monotonic()
        return [
            _SCHEDULE.call(
                self._keys, mode, *chain.from_iterable([one.arguments(now) for one in chunk])
            )
            for chunk in chunks
        ]

    async def cancel(self, key: str, ttl: timedelta) -> str:
        """Cancel one execution; return CANCELLED, REQUESTED, FINISHED or UNKNOWN."""
        call = _CANCEL.call(self._keys, key, milliseconds(ttl))
        (reply,) = await run_patiently(self._connection, call)
        return value_of(reply).decode()

    async def begin(self, key: str, generation: int, consumer: str) -> Begun | None:
        """Take one execution, known by its key, to run it; return None if it is not available.

        Arguments:
            key: the execution.
            generation: the one that is meant; 0 is any.
            consumer: the consumer that takes it.
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
        """Return the records of these keys, None where there is none.

        Raises:
            Undecodable: something else is stored there.
        """
        replies = await read_patiently(
            self._connection, *(("HGETALL", self._keys.run(key)) for key in keys)
        )
        return [_read(key, value_of(reply)) for key, reply in zip(keys, replies, strict=True)]

    async def read_with_progress(self, key: str) -> tuple[Record | None, ProgressRecord]:
        """Return the record of this key, None if there is none, and its progress.

        Raises:
            Undecodable: something else is stored there.
        """
        reply, progress, result = await read_patiently(
            self._connection,
            ("HGETALL", self._keys.run(key)),
            progress_query(self._keys, key),
            ("EXISTS", self._keys.result(key)),
        )
        record = _read(key, value_of(reply))
        if record is not None and record.state.is_terminal:
            record = replace(record, has_result=bool(value_of(result)))
        return record, progress_of(value_of(progress))

    async def result(self, key: str) -> tuple[bytes | None, bool]:
        """Return the serialized result or failure, None if there is none, and whether it was evicted."""
        # The result first: what evicts it says so in the same moment.
        result, is_evicted = await read_patiently(
            self._connection,
            ("GET", self._keys.result(key)),
            ("HEXISTS", self._keys.run(key), "evicted"),
        )
        return value_of(result), bool(value_of(is_evicted))

    async def read_with_result(self, key: str) -> tuple[Record | None, bytes | None]:
        """Return the record of this key, and the serialized result or failure, None where there is none.

        Raises:
            Undecodable: something else is stored there.
        """
        # The result first: a record that is there after it has not expired before it.
        result, record = await read_patiently(
            self._connection,
            ("GET", self._keys.result(key)),
            ("HGETALL", self._keys.run(key)),
        )
        return _read(key, value_of(record)), value_of(result)

    async def future(self) -> AsyncIterator[Record]:
        """Yield what waits for its due time, earliest first, then what waits for a slot of a limit."""
        for index in FUTURE:
            async for record in self._read_pages(self._pages().index(index)):
                yield record

    def dead(self, most: int = PAGE) -> AsyncIterator[Record]:
        """Iterate over the dead letters that are still kept, the last one first; as much is read as is taken.

        Arguments:
            most: about how many the caller takes: the size of the first page.
        """
        return self._read_pages(self._pages(most).index("dead", backwards=True))

    def parked(self, most: int = PAGE, *, group: Group | None = None) -> AsyncIterator[Record]:
        """Iterate over what is parked, the longest parked first; as much is read as is taken.

        Arguments:
            most: about how many the caller takes: the size of the first page.
            group: only what is parked for this reason and of this task.
        """
        index = "parked" if group is None else f"parked:{group}"
        return self._read_pages(self._pages(most).index(index))

    async def due(self, queues: Sequence[str]) -> AsyncIterator[Record]:
        """Yield all that is due or running in these queues, oldest first, a page per round trip."""
        for queue in queues:
            async for record in self._read_pages(self._pages().stream(queue)):
                yield record

    async def everything(self, *, parked: bool = False) -> AsyncIterator[Record]:
        """Yield all that waits or runs, each once, as it stands when it is read.

        It is complete although work moves meanwhile between the places where it waits.

        Arguments:
            parked: include what is parked.
        """
        wanted = LIVE if parked else LIVE - {ExecutionState.PARKED}
        indexes = (*FUTURE, "parked") if parked else FUTURE
        seen = dict[str, None]()
        for _ in range(LOOKS):
            before = len(seen)
            async for page in self._places(indexes):
                seen.update(dict.fromkeys(page))
            if len(seen) == before:
                break
        found = list(seen)
        for at in range(0, len(found), PAGE):
            for record in await self.readable(found[at : at + PAGE]):
                if record.state in wanted:
                    yield record

    async def listed(
        self, states: Collection[ExecutionState], most: int = PAGE
    ) -> AsyncIterator[Record]:
        """Yield what waits or runs, the running ones first; as much is read as is taken.

        Arguments:
            states: running, queued, scheduled, or some of them.
            most: about how many the caller takes: the size of the first page.
        """
        pages = self._pages(most)
        queues = await self.queues()
        places: list[AsyncIterator[list[str]]] = []
        if ExecutionState.RUNNING in states:
            places += [pages.held(queue) for queue in queues]
        if ExecutionState.QUEUED in states:
            places += [pages.stream(queue) for queue in queues]
            places += [pages.index(_suspects(queue)) for queue in queues]
        if ExecutionState.SCHEDULED in states:
            places += [pages.index(index) for index in FUTURE]
        seen: set[str] = set()
        for place in places:
            async for record in self._read_pages(place, seen):
                if record.state in states:
                    yield record

    async def clear(self, ttl: timedelta) -> int:
        """Cancel all that is scheduled or queued; return how many that were.

        Work moves meanwhile: what falls due, or is put off, is found where it has gone to. What is added
        meanwhile may be cancelled or not.

        Arguments:
            ttl: how long that is remembered.
        """
        cleared = 0
        for _ in range(LOOKS):
            before = cleared
            async for page in self._places(FUTURE):
                cleared += await self._clear(page, ttl)
            if cleared == before:
                break
        return cleared

    async def _clear(self, keys: Sequence[str], ttl: timedelta) -> int:
        remembered = milliseconds(ttl)
        calls = [
            _CLEAR.call(self._keys, remembered, *keys[at : at + CHUNK])
            for at in range(0, len(keys), CHUNK)
        ]
        return sum(map(value_of, await run_patiently(self._connection, *calls)))

    async def queues(self) -> list[str]:
        """Return all queues that work can be in: those that ever got any, and those of routes."""
        used, routes = await read_patiently(self._connection, *self._queue_queries())
        return _queues(used, routes)

    def _queue_queries(self) -> tuple[Command, Command]:
        return ("SMEMBERS", self._keys.queues), ("HVALS", self._keys.routes)

    async def depths(self, queues: Sequence[str], now: int = 0) -> tuple[int, int]:
        """Return how many are due or running in these queues, and how many wait for a time or a slot.

        Arguments:
            queues: the queues to count in.
            now: the server's time in ms. What has fallen due by then counts as due, whatever its queue: it
                waits for a worker, and not for its time, also while none has a slot free to take it.
        """
        *due, overdue, future, waiting = await read_patiently(
            self._connection,
            *(("XLEN", self._keys.stream(queue)) for queue in queues),
            *(("ZCARD", self._keys.suspects(queue)) for queue in queues),
            ("ZCOUNT", self._keys.future, "-inf", now),
            ("ZCARD", self._keys.future),
            ("ZCARD", self._keys.waiting),
        )
        late = value_of(overdue)
        return (
            sum(map(value_of, due)) + late,
            value_of(future) - late + value_of(waiting),
        )

    async def stock(self) -> Stock:
        """Count what waits and runs, in all queues."""
        queues = await self.queues()
        due, scheduled = await self.depths(queues)
        # A stream that was never read has no group, and nothing of it runs.
        pending = await read_patiently(
            self._connection,
            *(("XPENDING", self._keys.stream(queue), WORKER_GROUP) for queue in queues),
        )
        running = sum(value_of(one)[0] for one in pending if "NOGROUP" not in str(one))
        return Stock(running, max(0, due - running), scheduled)

    async def now(self) -> int:
        """Return the server's time in ms."""
        (reply,) = await read_patiently(self._connection, time_query(self._connection, self._keys))
        return from_time(value_of(reply))

    async def count_dead(self) -> int:
        """Count the dead letters that are kept; those whose records have expired are none, listed or not."""
        (count,) = await read_patiently(self._connection, self._dead_query(await self.now()))
        return value_of(count)

    def _dead_query(self, now: int) -> Command:
        return "ZCOUNT", self._keys.dead, f"({now}", "+inf"

    async def backlog(self, queues: Collection[str] = ()) -> Backlog:
        """Count all kinds of work.

        Arguments:
            queues: queues to look at beside those that are known.
        """
        clock, used, routes = await read_patiently(
            self._connection,
            time_query(self._connection, self._keys),
            *self._queue_queries(),
        )
        now = from_time(value_of(clock))
        dead, late, first = await read_patiently(
            self._connection,
            self._dead_query(now),
            ("ZCOUNT", self._keys.future, "-inf", now),
            ("ZRANGEBYSCORE", self._keys.future, "-inf", now, "LIMIT", 0, SAMPLE),
        )
        overdue = await self._overdue(value_of(late), [key.decode() for key in value_of(first)])
        names = sorted({*queues, *overdue, *_queues(used, routes)})
        *lengths, future, waiting, parked = await read_patiently(
            self._connection,
            *(("XLEN", self._keys.stream(queue)) for queue in names),
            *(("ZCARD", self._keys.suspects(queue)) for queue in names),
            *(("ZCARD", self._keys.future), ("ZCARD", self._keys.waiting)),
            ("ZCARD", self._keys.parked),
        )
        counts = [value_of(length) for length in lengths]
        due = zip(names, counts[: len(names)], counts[len(names) :], strict=True)
        return Backlog(
            {name: at + suspects + overdue[name] for name, at, suspects in due},
            future=max(0, value_of(future) - overdue.total()),
            waiting=value_of(waiting),
            parked=value_of(parked),
            dead=value_of(dead),
        )

    async def _overdue(self, found: int, keys: Sequence[str]) -> Counter[str]:
        """Return, by queue, how many have fallen due for which no worker had a free slot.

        Arguments:
            found: the number of all of them.
            keys: the first of them, which say how all are spread.
        """
        names: list[Reply] = await read_patiently(
            self._connection, *(("HGET", self._keys.run(key), "queue") for key in keys)
        )
        sample = Counter(
            name.decode(errors="replace") if isinstance(name, bytes) else DEFAULT_QUEUE
            for name in names
        )
        spread = Counter({name: seen * found // len(keys) for name, seen in sample.items()})
        for name in sample:
            # What rounding has left over belongs somewhere.
            spread[name] += found - spread.total()
        return spread

    def _pages(self, most: int = PAGE) -> Pages:
        return Pages(self._connection, self._keys, max(1, min(most, PAGE)), PAGE)

    async def _places(self, indexes: Sequence[str]) -> AsyncIterator[list[str]]:
        """Yield the keys of all that is in these indexes, then of all that is due or runs: what falls due
        meanwhile is met there."""
        pages = self._pages()
        for index in indexes:
            async for page in pages.index(index):
                yield page
        for queue in await self.queues():
            for place in (pages.stream(queue), pages.index(_suspects(queue))):
                async for page in place:
                    yield page

    async def _read_pages(
        self, pages: AsyncIterator[list[str]], seen: set[str] | None = None
    ) -> AsyncIterator[Record]:
        """Yield the records of keys, except those that were seen before."""
        seen = set() if seen is None else seen
        async for page in pages:
            new = [key for key in dict.fromkeys(page) if key not in seen]
            seen.update(new)
            for record in await self.readable(new):
                yield record

    async def readable(self, keys: Sequence[str]) -> list[Record]:
        """Return the records that exist; one that cannot be read is left out."""
        replies = await read_patiently(
            self._connection, *(("HGETALL", self._keys.run(key)) for key in keys)
        )
        found: list[Record] = []
        for key, reply in zip(keys, replies, strict=True):
            try:
                record = _record(key, value_of(reply))
            except (DocketError, ValueError, KeyError, OverflowError):
                logger.warning(
                    "%s is left out: what is stored under its key is no record", plain(key)
                )
                continue
            if record is not None:
                found.append(record)
        return found


def _queues(used: Reply, routes: Reply) -> list[str]:
    names = {queue.decode(errors="replace") for queue in (*value_of(used), *value_of(routes))}
    return sorted({DEFAULT_QUEUE, *(name or DEFAULT_QUEUE for name in names)})


def _suspects(queue: str) -> str:
    """Return the index of what was in flight in a process that died, without the prefix."""
    return Keys("").suspects(queue).lstrip(":")


def _scheduled(word: bytes, state: bytes, generation: int) -> Scheduled:
    if word == b"UNKNOWN":
        return Scheduled(Disposition.FAILED, None, generation, is_unknown=True)
    if word == b"FAILED":
        return Scheduled(Disposition.FAILED, None, 0, state.decode(errors="replace"))
    return Scheduled(_DISPOSITIONS[word], _STATES[state], generation)


def _read(key: str, fields: list[bytes]) -> Record | None:
    """Return the record of a key.

    Raises:
        Undecodable: something else is stored there.
    """
    try:
        return _record(key, fields)
    except (ValueError, LookupError, OverflowError) as error:
        raise Undecodable(
            f"expected the record of an execution under the key {plain(key)!r}, found something else "
            f"({error}); cancel or replace it, or take it away"
        ) from error


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
        due=from_due(known[b"due"], known.get(b"when")),
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
        lineage=text(b"lineage") or "",
        options=text(b"options") or "",
        is_evicted=b"evicted" in known,
    )
