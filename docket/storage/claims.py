"""The round trip of a busy worker: settle what has ended, claim for the slots that are free."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from ..connection.base import Connection, Reply, ThreadConnection
from ..errors import DocketError, ServerUnavailable
from ..foundation.units import from_time
from .executions import queue_argument
from .history import ending_of
from .keys import Keys
from .scripting.replies import pairs
from .scripting.retrying import value_of
from .scripting.script import Call, Script, run, run_blocking

_CLAIM = Script(
    "claim",
    (
        *(
            "HISTORY",
            "consumer",
            "worker",
            "slots",
            "held",
            "concurrency",
            "lease",
            "patient",
            "thorough",
        ),
        *("waits", "queues", "ttl", "dead_ttl"),
    ),
)
_SETTLE = Script(
    "settle",
    (
        "HISTORY",
        "RESULTS",
        "consumer",
    ),
)
_RENEW = Script("renew", ("consumer", "lease", "quarantine"))
_RELEASE = Script("release", ("consumer", "death"))


GUARD = 10
"""Number of claims of which one looks at the queues from the last to the first."""

MOST = 200
"""Maximum number of executions that one script claims, and that one settles."""

RENEWED = 500
"""Maximum number of runs that one script renews."""

SLICE_BYTES = 4 << 20
"""Bytes of calls that come with one reply, unless a single one is larger."""

QUARANTINE = 15_000
"""Milliseconds for which other workers leave suspects to one that runs nothing else, beyond its lease."""

OWN_DEATH = "an unknown end"
"""The end of a worker's process of which no more is known."""


_GOES_ON = frozenset({"delay", "undo", "back", "waiting", "parked"})
"""Words of settlements that are no end, but for those whose meaning depends on more."""


class Claimed(NamedTuple):
    """One execution that was handed to this worker, with everything it needs to run it."""

    message: bytes
    queue: str
    key: str
    generation: int
    fence: int
    task: str
    call: bytes
    """Its arguments; empty if they are still to be read, because enough came with the reply."""
    attempt: int
    due: int
    crashes: int
    trace: str
    slot: str = ""
    """Slot that was taken for it while it waited: the slots of a concurrency limit, a newline, the limit."""
    schema: int = 1
    """The shape of its arguments."""
    identity: str = ""
    """The name of this acceptance of its key, which no other one has; the same in all its attempts."""
    size: int = 0
    """Number of bytes of its call."""
    company: int | None = None
    """Number of others that may run beside it, as it may have killed its process; None if any number may."""

    when: str = ""
    """The due time in µs, where it is not a whole ms."""
    options: str = ""
    """The options of its call, as JSON."""

    @property
    def is_complete(self) -> bool:
        """True if its call has come along."""
        return len(self.call) >= self.size

    @property
    def holder(self) -> bytes:
        """Its message and the queue of it, as scripts name them: two queues may number theirs alike."""
        return self.queue.encode() + b"\n" + self.message


class Settlement(NamedTuple):
    """The outcome of one run, in the words of the script."""

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
    identity: str = ""
    """Identity of its acceptance, by which a superseded run gives its slots back."""
    when: str = ""
    """``due`` in µs, where it is not a whole ms."""
    seconds: str = ""
    """Seconds that the run has taken, for the history; empty if it has not begun."""
    about: str = ""
    """The rest that the history is to tell of it, as JSON."""

    def told(self, seconds: str, about: str) -> Settlement:
        """Return the same outcome, and what the history is to tell of it."""
        return Settlement(*self[:-2], seconds, about)

    def ending(self, attempt: int) -> str:
        """Return the ending under which the history has it; empty if it is no end, and no failed attempt.

        Arguments:
            attempt: the number of the attempt that it settles.
        """
        if self.word == "again":
            return "retried" if self.attempt > attempt else ""
        if self.word == "next":
            return self.reason
        return "" if self.word in _GOES_ON else ending_of(self.word, self.reason)


class Verdict(Enum):
    """The server's answer to a settlement."""

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
    """There is no longer a record of it."""


_VERDICTS = {verdict.value.encode(): verdict for verdict in Verdict}


class Hold(Enum):
    """The server's answer to the renewal of a lease."""

    HELD = "HELD"
    CANCEL = "CANCEL"
    """Held, and to be cancelled."""
    LOST = "LOST"
    """Another worker has taken it over."""
    SUPERSEDED = "SUPERSEDED"
    """The key has moved on; the run may end in peace."""
    BROKEN = "BROKEN"
    """Its key holds something that is no record; its settlement will get the same answer."""


@dataclass(frozen=True, slots=True)
class ClaimReply:
    """The result of a claim."""

    now: int
    """The server's time in ms."""
    next_due: int | None
    """Due time of the earliest future execution, in ms."""
    next_expiry: int | None
    """Ms until the next lease of another worker ends, unless it is renewed."""
    is_unfinished: bool
    """True if there is more to do at once."""
    is_recovered: bool
    """True if all that is pending under the worker's name is known to it."""
    is_waiting: bool
    """True while a suspect waits for the end of what runs here."""
    stale: int
    """Number of dropped messages, of generations that no longer exist."""
    claimed: list[Claimed]
    struck: list[tuple[str, str]]
    """Key and task of executions that a rule for their task struck out."""
    crashed: list[tuple[str, str]]
    """Key and task of executions that became dead letters."""
    parked: list[tuple[str, str]]
    """Key and task of executions that a rule for their task keeps back."""
    broken: list[tuple[str, str]]
    """Names of what was put aside because it is damaged, and what is wrong with it."""
    expired: list[tuple[str, str]]
    """Key and task of executions that have not begun in time."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """The claimant: one life of one worker."""

    worker: str
    consumer: str
    queues: tuple[str, ...]
    lease: int
    """Time for which a silent worker keeps what it holds, in ms."""
    ttl: int
    dead_ttl: int
    concurrency: int = 10
    suspects_wait: int | None = 0
    """Ms for which it leaves suspects to others; None if it runs suspects only."""

    @property
    def queue_arguments(self) -> list[str]:
        """Its queues as scripts name them."""
        return [queue_argument(queue) for queue in self.queues]


class Claims:
    """The round trips of one claimant, which settle and claim."""

    def __init__(self, connection: Connection, keys: Keys, claimant: Consumer) -> None:
        self._connection = connection
        self._keys = keys
        self.claimant = claimant
        self._turn = 0
        self._thorough_at = 0.0
        self._evicted = 0

    @property
    def is_thorough(self) -> bool:
        """True if the next claim looks also at what hardly ever happens; that one has to go alone."""
        return time.monotonic() >= self._thorough_at

    async def trade(
        self,
        settlements: Sequence[Settlement],
        slots: int,
        *,
        holding: Sequence[bytes] = (),
        lenient: bool = False,
        held: int = 0,
        is_alone: bool = True,
    ) -> tuple[list[Verdict], ClaimReply | None]:
        """Settle and claim in one round trip.

        Arguments:
            settlements: the outcomes of what has ended.
            slots: the number of executions that can be taken, ``MOST`` at a time; 0 claims nothing.
            holding: what this worker holds (``Claimed.holder``), if a reply was lost before: what is pending
                under its name beyond that is handed to it once more.
            lenient: take over only what was released on purpose, not what is merely late: the server
                was away, and healthy workers get a moment to renew their leases.
            held: the number of executions that it has already.
            is_alone: whether no other round trip of the claimant is under way, so that ``held`` is exact.

        Raises:
            ServerUnavailable: the reply is lost. Both halves may be sent again.
        """
        calls: list[Call] = []
        if settlements:
            fields = [field for settlement in settlements for field in settlement]
            calls.append(_SETTLE.call(self._keys, self.claimant.consumer, *fields))
        if slots > 0:
            calls.append(self._claim(slots, held, holding, lenient, is_alone))
        replies = [value_of(reply) for reply in await run(self._connection, *calls)]
        verdicts = self._verdicts(replies.pop(0), len(settlements)) if settlements else []
        if not replies:
            return verdicts, None
        return verdicts, _catch(replies[0])

    def take_evicted(self) -> int:
        """Return how many results settlements have evicted since this was asked last."""
        evicted, self._evicted = self._evicted, 0
        return evicted

    def _verdicts(self, words: list[Any], count: int) -> list[Verdict]:
        self._evicted += sum(words[count:])
        return [_VERDICTS[word] for word in words[:count]]

    async def next_expiry(self) -> int | None:
        """Return the ms until the next lease of another worker ends; None if no other one has a lease.

        Raises:
            ServerUnavailable: the server is away.
        """
        time_of_server, leases = await self._connection.send(
            ("TIME",), ("ZRANGE", self._keys.leases, 0, 1, "WITHSCORES")
        )
        now = from_time(value_of(time_of_server))
        others = [
            float(at)
            for name, at in pairs(value_of(leases)).items()
            if name.decode() != self.claimant.consumer
        ]
        return max(0, int(min(others) - now)) if others else None

    async def read_calls(self, claimed: Sequence[Claimed]) -> list[bytes | None]:
        """Read the calls of executions that were handed out without; None where another worker has it now.

        Raises:
            ServerUnavailable: the reply is lost.
        """
        replies = await self._connection.send(
            *(("HMGET", self._keys.run(one.key), "fence", "call") for one in claimed)
        )
        return [_call_of(one, reply) for one, reply in zip(claimed, replies, strict=True)]

    def _claim(
        self, slots: int, held: int, holding: Sequence[bytes], lenient: bool, is_alone: bool
    ) -> Call:
        is_thorough = is_alone and self.is_thorough
        if is_thorough:
            self._thorough_at = time.monotonic() + self.claimant.lease / 1000
        who = self.claimant
        waits = "" if who.suspects_wait is None else who.suspects_wait
        return _CLAIM.call(
            *(self._keys, who.consumer, who.worker, min(slots, MOST), held, who.concurrency),
            *(who.lease, int(lenient), int(is_thorough), waits),
            *(len(who.queues), who.ttl, who.dead_ttl),
            *self._queues_in_turn(),
            *holding,
        )

    def _queues_in_turn(self) -> list[str]:
        """Return the queues, best first; now and then in reverse, so that the last one is not starved."""
        self._turn = (self._turn + 1) % GUARD
        queues = self.claimant.queue_arguments
        return queues[::-1] if self._turn == 0 else queues


def renew(
    connection: ThreadConnection,
    keys: Keys,
    consumer: str,
    held: Sequence[Claimed],
    lease: int = 30_000,
    *,
    is_quarantine: bool = False,
) -> list[Hold]:
    """Renew the lease of a worker, from a thread; return the server's answer for each of its runs.

    Arguments:
        lease: ms for which it is believed from now on.
        is_quarantine: whether it runs suspects only.
    """
    quarantine = lease + QUARANTINE if is_quarantine else 0
    calls = [
        _RENEW.call(
            *(keys, consumer, lease, quarantine),
            *(
                field
                for run in held[at : at + RENEWED]
                for field in (run.message, run.queue, run.key, run.generation, run.fence)
            ),
        )
        for at in range(0, max(1, len(held)), RENEWED)
    ]
    replies = run_blocking(connection, *calls)
    return [Hold(word.decode()) for reply in replies for word in value_of(reply)]


async def release(
    connection: Connection,
    keys: Keys,
    consumer: str,
    queues: Sequence[str],
    death: str = OWN_DEATH,
) -> int:
    """End the lease of a worker that is known to be gone; return the number of runs that it had.

    Arguments:
        consumer: its name in the consumer group.
        queues: queues to look at beside those that are known.
        death: the end of its process; empty if it was ended on purpose, so that nothing it ran is suspect.
    """
    call = _RELEASE.call(keys, consumer, death, *map(queue_argument, queues))
    total = 0
    while True:
        (reply,) = await run(connection, call)
        released = value_of(reply)
        total += released
        if not released or not death:
            return total


def _call_of(claimed: Claimed, reply: Reply) -> bytes | None:
    try:
        fence, call = value_of(reply)
    except ServerUnavailable:
        raise
    except DocketError:
        return None  # something else was written to its key
    return call or b"" if fence == str(claimed.fence).encode() else None


def _catch(reply: list[Any]) -> ClaimReply:
    now, next_due, next_expiry, *flags, stale, claimed, struck, crashed, parked, broken, expired = (
        reply
    )
    due, expiry = int(float(next_due)), int(next_expiry)
    is_unfinished, is_recovered, is_waiting = map(bool, flags)
    return ClaimReply(
        now=int(now),
        next_due=None if due < 0 else due,
        next_expiry=None if expiry < 0 else expiry,
        is_unfinished=is_unfinished,
        is_recovered=is_recovered,
        is_waiting=is_waiting,
        stale=stale,
        claimed=[_claimed(entry) for entry in claimed],
        struck=[(key.decode(), _text(task)) for key, task in struck],
        crashed=[(key.decode(), _text(task)) for key, task in crashed],
        parked=[(key.decode(), _text(task)) for key, task in parked],
        broken=[(what.decode(errors="replace"), why.decode()) for what, why in broken],
        expired=[(key.decode(), _text(task)) for key, task in expired],
    )


def _claimed(entry: list[bytes]) -> Claimed:
    message, queue, key, generation, fence, task, call, attempt, due, crashes, *more = entry
    trace, slot, schema, identity, size, company, when, options = more
    return Claimed(
        message,
        queue.decode(),
        key.decode(),
        int(generation),
        int(fence),
        _text(task),
        call or b"",
        int(attempt),
        int(due),
        int(crashes),
        _text(trace),
        _text(slot),
        int(schema),
        _text(identity),
        int(size),
        int(company) if company != b"" else None,
        _text(when),
        _text(options),
    )


def _text(field: bytes) -> str:
    # Numbers the script has looked at; a text that somebody has damaged must not take all that came with it.
    return field.decode(errors="replace")
