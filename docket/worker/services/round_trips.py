"""The round trips that keep a worker busy: settle what has ended, claim for the free slots."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import DocketError, ServerFull, ServerRefused
from ...foundation.clock import ServerClock
from ...foundation.lifecycle import ParkedReason
from ...foundation.service import Service, end
from ...instrumentation.events import Observer
from ...storage.claims import MOST, Claimed, ClaimReply, Claims, Settlement, Verdict
from ...storage.scripting.retrying import Backoff
from ..runs.slots import Running

GRACE = 2.0
"""Seconds, at most, that other workers get after an outage to renew their leases before they are judged."""

CALM = 2.0
"""Seconds that a full server must do what it is asked for before it counts as well."""

FALLBACK = 5.0
"""Seconds after which an idle worker looks on its own, should a ring have been lost."""

JITTER = 0.25
"""Seconds, at most, by which idle workers look at leases apart from each other: one of them is enough."""

RECHECK = 1.0
"""Seconds between two looks at a suspect that waits for the end of what runs here."""

WORTH_A_TRIP = 16
"""Slots for which a second round trip pays: with fewer, both sides spend more on it than they had waited."""

LANES = 2
"""Round trips under way at a time: the server works on one, the worker on what the other has brought."""


@dataclass(frozen=True, eq=False, slots=True)
class Trip:
    """One round trip, from what it takes along to what it asks for."""

    batch: list[tuple[Claimed, Settlement]]
    slots: int
    """Number of executions that it asks for: no other trip asks for these slots meanwhile."""
    is_alone: bool
    """True if no other one is under way meanwhile, so that what the worker holds is known exactly."""
    holding: list[bytes]
    """The runs that the worker holds, if it wants to hear of those that it does not know to be its own."""

    @property
    def settlements(self) -> list[Settlement]:
        """The settlements that it takes along."""
        return [settlement for _, settlement in self.batch]


class RoundTrips(Service):
    """One loop that wakes when a run has ended, when the bell rings, or when something falls due.

    It sends up to ``LANES`` round trips out at a time and divides the free slots between them. Outcomes
    gather while they are under way and go out with the next one. A settlement whose reply is lost is sent
    again until it is answered: the script knows it by its fence.

    A trip goes alone that needs to know exactly what the worker holds: the recovery after a lost reply,
    the search for consumers that are forgotten, and the claim that gives a suspect its turn.

    Arguments:
        exchange: the round trip.
        running: what is in flight.
        clock: the server's time.
        observer: hears of troubles and refusals.
        begin: starts one claimed execution.
        lease: how long a lease lasts, in seconds.
    """

    is_kept = True

    def __init__(
        self,
        exchange: Claims,
        running: Running,
        clock: ServerClock,
        observer: Observer,
        begin: Callable[[Claimed], None],
        lease: float,
    ) -> None:
        self._exchange = exchange
        self._running = running
        self._clock = clock
        self._observer = observer
        self._begin = begin
        self._grace = min(GRACE, lease / 2)
        self._lenient_until = 0.0
        self._look_at = 0.0
        self._settlements: list[tuple[Claimed, Settlement]] = []
        self._unanswered = 0
        self._wake = asyncio.Event()
        self._traded = asyncio.Event()
        self._look = True
        self._peek = False
        self._claiming = True
        self._under_way: dict[Trip, asyncio.Task[None]] = {}
        self._failure: Exception | None = None
        self._reply_was_lost = False
        self._must_recover = False
        self._is_turn_of_suspects = False
        self._timer: asyncio.TimerHandle | None = None
        # With its jitter the longest pause stays below 2 s.
        self._backoff = Backoff(0.05, 1.4)
        self._is_full = False
        self._relief: asyncio.TimerHandle | None = None
        self.outage = ""
        """The reason why the server does not do what it is asked for; empty if it does."""
        self.on_idle: Callable[[bool], None] = lambda _: None
        self.last_contact: float | None = None
        """Time of the server's last answer, on the clock of the event loop."""
        self.claims = 0
        """Number of claims that were answered, if only by the news that there is nothing."""

    def settle(self, claimed: Claimed, settlement: Settlement | None) -> None:
        """Write down the outcome of a run with the next round trip, if there is anything to write."""
        if settlement is None:
            return
        self._settlements.append((claimed, settlement))
        self._unanswered += 1
        self._wake.set()

    def look(self) -> None:
        """Claim as soon as there is a free slot: there may be work."""
        self._look = True
        self._wake.set()

    def stop_claiming(self) -> None:
        """Only settle from now on."""
        self._claiming = False
        self._stand_by(False)

    @property
    def is_idle(self) -> bool:
        """True if nothing is in flight, nothing is to be written down, and nothing was to be had."""
        return not (self._look or self._unanswered or len(self._running))

    @property
    def is_under_way(self) -> bool:
        """True while there is a round trip whose reply has not been heard."""
        return bool(self._under_way)

    async def until_landed(self) -> None:
        """Wait until what is under way now is over: what it has claimed has begun then."""
        if self._under_way:
            await asyncio.wait(self._under_way.values())

    async def until_traded(self) -> None:
        """Wait until the next round trip is over."""
        self._traded.clear()
        await self._traded.wait()

    async def until_settled(self) -> None:
        """Wait until everything that has ended is written down."""
        # What is under way counts: it is written down when it is answered.
        while self._unanswered:
            await self.until_traded()

    async def prepare(self) -> None:
        """Claim again, also after a drain."""
        self._claiming = self._look = True
        self._lenient_until = self._now() + self._grace

    async def run(self) -> None:
        """Trade until stopped."""
        try:
            while True:
                self.turn()
                await self._fail_with_trips()
                if self._peek and not self._has_reason():
                    await self._look_at_leases()
                trip = self._next_trip()
                if trip is not None:
                    self._under_way[trip] = asyncio.create_task(self._travel(trip))
                    continue
                self._stand_by(self._claiming and self._free > 0)
                self._wake.clear()
                await self._wake.wait()
        finally:
            for trip in [*self._under_way.values()]:
                await end(trip)

    def is_final(self, error: Exception) -> bool:
        """Return True if this user may not work here at all: refused before anything has worked."""
        return isinstance(error, ServerRefused) and self.last_contact is None

    @property
    def _free(self) -> int:
        """Number of free slots that no trip has asked for."""
        return self._running.free - sum(trip.slots for trip in self._under_way)

    def _has_reason(self) -> bool:
        return bool(self._settlements) or (self._look and self._claiming and self._free > 0)

    def _next_trip(self) -> Trip | None:
        """Return the trip that is to go out now; None if there is none, or if it waits for one under way."""
        if not self._has_reason():
            return None
        is_alone = (
            self._must_recover
            or self._reply_was_lost
            or self._is_turn_of_suspects
            or self._exchange.is_thorough
        )
        if not self._has_lane(is_alone):
            return None
        free = max(0, self._free) if self._claiming else 0
        batch, self._settlements = self._settlements[:MOST], self._settlements[MOST:]
        share = max(WORTH_A_TRIP, math.ceil(self._running.concurrency / LANES))
        slots = free if is_alone else min(free, share)
        if slots:
            self._look = False
        return Trip(batch, slots, is_alone, self._holding(batch) if self._must_recover else [])

    def _has_lane(self, is_alone: bool) -> bool:
        if not self._under_way:
            return True
        if is_alone or any(trip.is_alone for trip in self._under_way):
            return False
        return len(self._under_way) < LANES

    async def _travel(self, trip: Trip) -> None:
        try:
            await self._trade(trip)
        except Exception as error:
            # What the reply has brought may not have begun: it is claimed again.
            self._reply_was_lost = self._must_recover = self._look = True
            self._failure = error
        finally:
            del self._under_way[trip]
            self._wake.set()

    async def _fail_with_trips(self) -> None:
        """Raise what a round trip has failed with, as soon as all of them are over."""
        if self._failure is not None:
            await self.until_landed()
            failure, self._failure = self._failure, None
            raise failure

    async def _look_at_leases(self) -> None:
        """Claim if a lease of another worker has ended; to know that takes one command."""
        self._peek = False
        try:
            left = await self._exchange.next_expiry()
        except DocketError:
            left = 0  # the claim hears of it as well, and reports it
        if left is None or left > 0:
            self._set_timer(left)
        else:
            self.look()

    async def _trade(self, trip: Trip) -> None:
        running = self._running
        try:
            verdicts, catch = await self._exchange.trade(
                trip.settlements,
                trip.slots,
                holding=trip.holding,
                lenient=self._reply_was_lost or self._now() < self._lenient_until,
                # Beside another trip it may be anything by the time it gets there.
                held=len(running) + len(self._settlements)
                if trip.is_alone
                else running.concurrency,
                is_alone=trip.is_alone,
            )
        except DocketError as error:
            if self.is_final(error):
                raise
            # A refusal, too: a password that rotates, a limit of clients, an ACL that is loaded late.
            self._settlements = trip.batch + self._settlements
            self._look = True
            await self._wait_for_the_server(trip, error)
            return
        except BaseException:
            self._settlements = trip.batch + self._settlements
            self._reply_was_lost = self._must_recover = True
            raise
        self._unanswered -= len(trip.batch)
        self._answered(trip)
        self._hear(trip.batch, verdicts)
        if evicted := self._exchange.take_evicted():
            self._observer.evicted(evicted)
        if catch is not None:
            self._take(trip, catch)
        self._traded.set()

    def _holding(self, batch: list[tuple[Claimed, Settlement]]) -> list[bytes]:
        # Nothing that is held is empty: the marker tells "recover" apart from "holding nothing".
        # What is settled in the same round trip is ours, too: a server that has restarted may know
        # the script that claims already, and be told the one that settles only afterwards.
        held = [run.holder for run in self._running.held()]
        return [b"-", *held, *(one.holder for one, _ in (*batch, *self._settlements))]

    def _answered(self, trip: Trip) -> None:
        self.last_contact = self._now()
        # What was under way when a reply was lost says nothing of the next one.
        if self._reply_was_lost and trip.slots and trip.is_alone:
            self._reply_was_lost = False
            self._lenient_until = self._now() + self._grace
            self._backoff.reset()
            # A server that is full takes now this and now that: it is well when it has been for a while.
            calm = CALM if self._is_full else 0.0
            self._relief = asyncio.get_running_loop().call_later(calm, self._recovered)

    def _recovered(self) -> None:
        self.outage = ""
        self._is_full = False
        self._observer.recovered()

    async def _wait_for_the_server(self, trip: Trip, error: DocketError) -> None:
        if self._reply_was_lost and not trip.is_alone:
            return  # another one has found it away, and waits
        self._reply_was_lost = self._must_recover = True
        if self._relief is not None:
            self._relief.cancel()
        self.outage, self._is_full = str(error), isinstance(error, ServerFull)
        pause = self._backoff.next_pause()
        self._observer.disrupted(error, pause)
        await asyncio.sleep(pause)

    def _hear(self, batch: list[tuple[Claimed, Settlement]], verdicts: list[Verdict]) -> None:
        for (claimed, settlement), verdict in zip(batch, verdicts, strict=True):
            if verdict in (Verdict.RECORDED, Verdict.ALREADY):
                self._tell_end(claimed, settlement)
            else:
                where = _meant_by(claimed, settlement)
                self._observer.refused(claimed.task, claimed.key, verdict.value, where)

    def _tell_end(self, claimed: Claimed, settlement: Settlement) -> None:
        if ending := settlement.ending(claimed.attempt):
            seconds = float(settlement.seconds) if settlement.seconds else None
            self._observer.recorded(claimed.task, ending, seconds)

    def _take(self, trip: Trip, catch: ClaimReply) -> None:
        self.claims += 1
        self._clock.set(catch.now)
        for key, task in catch.struck:
            self._observer.struck(task, key)
            self._observer.recorded(task, "struck", None)
        for key, task in catch.parked:
            self._observer.struck(task, key)
            self._observer.parked(task, key, ParkedReason.STRUCK.value)
        for key, task in catch.crashed:
            self._observer.crashed(task, key)
            self._observer.recorded(task, "failed", None)
        for key, task in catch.expired:
            self._observer.expired(task, key)
            self._observer.recorded(task, "expired", None)
        for what, trouble in catch.broken:
            self._observer.broken(what, trouble)
        if catch.stale:
            self._observer.stale(catch.stale)
        for claimed in catch.claimed:
            self._begin(claimed)
        self._must_recover = not catch.is_recovered or (self._must_recover and not trip.holding)
        self._is_turn_of_suspects = catch.is_waiting
        ended = len(catch.struck) + len(catch.parked) + len(catch.crashed) + catch.stale
        is_full = len(catch.claimed) + ended + len(catch.broken) >= min(trip.slots, MOST)
        is_more = is_full or catch.is_unfinished or self._must_recover
        # Beside another trip a suspect has to wait, whatever is held: alone it may have its turn.
        if is_more if not catch.is_waiting else not trip.is_alone:
            self._look = True
        self._look_at = self._now() + self._pause(catch)
        self._set_timer(catch.next_expiry)

    def _pause(self, catch: ClaimReply) -> float:
        """Return the seconds after which to claim again in any case."""
        pauses = [FALLBACK]
        if catch.next_due is not None:
            pauses.append(max(0.0, (catch.next_due - catch.now) / 1000))
        if catch.is_waiting:
            pauses.append(RECHECK)
        if (turn := self._running.turn_ends_in) is not None:
            pauses.append(turn)
        return min(pauses)

    def _set_timer(self, next_expiry: int | None) -> None:
        """Claim when it is time, or look before that if a lease of another worker has ended."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        until_claim = max(0.0, self._look_at - self._now())
        if next_expiry is not None:
            # A lenient claim takes over nothing before.
            until_end = max(next_expiry / 1000, self._lenient_until - self._now())
            until_end += random.uniform(0.01, JITTER)  # noqa: S311
            if until_end < until_claim:
                self._timer = loop.call_later(until_end, self._peek_soon)
                return
        self._timer = loop.call_later(until_claim, self.look)

    def _peek_soon(self) -> None:
        self._peek = True
        self._wake.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _stand_by(self, idle: bool) -> None:
        self.on_idle(idle)

    async def stop(self) -> None:
        """End the loop; what is not written down by then is left to the end of its lease."""
        for timer in (self._timer, self._relief):
            if timer is not None:
                timer.cancel()
        await super().stop()


def _meant_by(claimed: Claimed, settlement: Settlement) -> str:
    """Return what would have followed: nothing (worker), another try (retry), its next run (on_complete)."""
    if settlement.word == "next":
        return "on_complete"
    is_retried = settlement.word == "again" and settlement.attempt > claimed.attempt
    return "retry" if is_retried else "worker"
