"""The round trip of a busy worker: settle what has ended, claim for the slots that are free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from ..connection.base import Connection, ThreadConnection
from .executions import queue_argument
from .keys import Keys
from .patience import value_of
from .script import Call, Script, run, run_blocking

_CLAIM = Script(
    "claim", ("consumer", "worker", "slots", "lease", "cursor", "queues", "ttl", "dead_ttl")
)
_SETTLE = Script("settle", ("consumer",))
_RENEW = Script("renew", ("consumer",))
_RELEASE = Script("release", ("consumer",))


GUARD = 10
"""Every so many claims the queues are looked at from the last to the first."""

RELEASED = 86_400_000
"""Idle time in ms that only entries have whose leases were ended on purpose."""


class Claimed(NamedTuple):
    """One execution that was handed to this worker, with everything it needs to run it."""

    message: bytes
    queue: str
    key: str
    generation: int
    fence: int
    task: str
    call: bytes
    attempt: int
    due: int
    crashes: int
    trace: str
    slot: str = ""
    """What was taken for it while it waited: the slots of a concurrency limit, a newline, the limit."""
    schema: int = 1
    """Which shape its arguments have."""
    identity: str = ""
    """What tells this acceptance of its key from every other one; the same in all its attempts."""

    @property
    def holder(self) -> bytes:
        """Its message and the queue of it, as scripts name them: two queues may number theirs alike."""
        return self.queue.encode() + b"\n" + self.message


class Settlement(NamedTuple):
    """What one run ended with, in the words of the script."""

    message: bytes
    queue: str
    key: str
    generation: int
    fence: int
    word: str
    due: int = 0
    attempt: int = 1
    call: bytes = b""
    result: bytes = b""
    error: str = ""
    reason: str = ""
    ttl: int = 0


class Verdict(Enum):
    """What the server said to a settlement."""

    RECORDED = "RECORDED"
    ALREADY = "ALREADY"
    """It was recorded before; this was a second try."""
    SUPERSEDED = "SUPERSEDED"
    """The key has a newer generation."""
    STALE = "STALE"
    """Another worker has taken it over: this run's outcome is refused."""
    BROKEN = "BROKEN"
    """Its key holds something that is no record."""
    GONE = "GONE"
    """There is no record of it any more."""


class Hold(Enum):
    """What the server said to the renewal of a lease."""

    HELD = "HELD"
    CANCEL = "CANCEL"
    """Held, and somebody wants it cancelled."""
    LOST = "LOST"
    """Another worker has taken it over."""
    SUPERSEDED = "SUPERSEDED"
    """The key has moved on; the run may end in peace."""


@dataclass(frozen=True, slots=True)
class Catch:
    """What a claim brought."""

    now: int
    """The server's time in ms."""
    next_due: int | None
    """When the earliest future execution is due, in ms."""
    stale: int
    """Messages of generations that are no more, dropped."""
    claimed: list[Claimed]
    struck: list[tuple[str, str]]
    """Key and task of executions that a rule for their task struck out."""
    crashed: list[tuple[str, str]]
    """Key and task of executions that became dead letters."""
    parked: list[tuple[str, str]]
    """Key and task of executions that a rule for their task keeps back."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims: one life of one worker."""

    worker: str
    consumer: str
    queues: tuple[str, ...]
    lease: int
    """How long a silent worker keeps what it holds, in ms."""
    ttl: int
    dead_ttl: int

    @property
    def queue_arguments(self) -> list[str]:
        """Its queues as scripts name them."""
        return [queue_argument(queue) for queue in self.queues]


class Exchange:
    """Settles and claims for one claimant."""

    def __init__(self, connection: Connection, keys: Keys, claimant: Claimant) -> None:
        self._connection = connection
        self._keys = keys
        self.claimant = claimant
        self._cursor = b"{}"
        self._turn = 0

    async def trade(
        self,
        settlements: Sequence[Settlement],
        slots: int,
        *,
        holding: Sequence[bytes] = (),
        lenient: bool = False,
    ) -> tuple[list[Verdict], Catch | None]:
        """Settle and claim in one round trip.

        Arguments:
            settlements: what has ended.
            slots: how many executions can be taken; 0 claims nothing.
            holding: what this worker holds (``Claimed.holder``), if a reply was lost before: what is pending
                under its name beyond that is handed to it once more.
            lenient: take over only what was released on purpose, not what is merely late: the server
                was away, and healthy workers get a moment to renew their leases.

        Raises:
            ServerUnavailable: the reply is lost. Both halves may be sent again.
        """
        calls: list[Call] = []
        if settlements:
            fields = (field for settlement in settlements for field in settlement)
            calls.append(_SETTLE.call(self._keys, self.claimant.consumer, *fields))
        if slots > 0:
            calls.append(self._claim(slots, holding, RELEASED if lenient else self.claimant.lease))
        replies = [value_of(reply) for reply in await run(self._connection, *calls)]
        verdicts = [Verdict(word.decode()) for word in replies.pop(0)] if settlements else []
        if not replies:
            return verdicts, None
        self._cursor = replies[0][2]
        return verdicts, _catch(replies[0])

    def _claim(self, slots: int, holding: Sequence[bytes], lease: int) -> Call:
        who = self.claimant
        return _CLAIM.call(
            self._keys,
            who.consumer,
            who.worker,
            slots,
            lease,
            self._cursor,
            len(who.queues),
            who.ttl,
            who.dead_ttl,
            *self._queues_in_turn(),
            *holding,
        )

    def _queues_in_turn(self) -> list[str]:
        """Best first, as a rule; now and then the other way round, so that the last one is not starved."""
        self._turn = (self._turn + 1) % GUARD
        queues = self.claimant.queue_arguments
        return queues[::-1] if self._turn == 0 else queues


def renew(
    connection: ThreadConnection, keys: Keys, consumer: str, held: Sequence[Claimed]
) -> list[Hold]:
    """Renew the leases of what is held, from a thread; tells which are lost or to be cancelled."""
    fields = (
        field
        for run in held
        for field in (run.message, run.queue, run.key, run.generation, run.fence)
    )
    (reply,) = run_blocking(connection, _RENEW.call(keys, consumer, *fields))
    return [Hold(word.decode()) for word in value_of(reply)]


async def release(connection: Connection, keys: Keys, consumer: str, queues: Sequence[str]) -> int:
    """End all leases of a worker that is known to be dead; tells how many there were."""
    call = _RELEASE.call(keys, consumer, *map(queue_argument, queues))
    total = 0
    while True:
        (reply,) = await run(connection, call)
        released = value_of(reply)
        total += released
        if not released:
            return total


def _catch(reply: list[Any]) -> Catch:
    now, next_due, _, stale, claimed, struck, crashed, parked = reply
    due = int(float(next_due))
    return Catch(
        now=int(now),
        next_due=None if due < 0 else due,
        stale=stale,
        claimed=[_claimed(entry) for entry in claimed],
        struck=[(key.decode(), task.decode()) for key, task in struck],
        crashed=[(key.decode(), task.decode()) for key, task in crashed],
        parked=[(key.decode(), task.decode()) for key, task in parked],
    )


def _claimed(entry: list[bytes]) -> Claimed:
    message, queue, key, generation, fence, task, call, attempt, due, crashes, *more = entry
    trace, slot, schema, identity = more
    return Claimed(
        message,
        queue.decode(),
        key.decode(),
        int(generation),
        int(fence),
        task.decode(),
        call,
        int(attempt),
        int(float(due)),
        int(crashes),
        trace.decode(),
        slot.decode(),
        int(schema),
        identity.decode(),
    )
