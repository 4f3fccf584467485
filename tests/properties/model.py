"""What the storage promises, as plain values: one entry per key, and the words it must answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from docket import ExecutionState
from docket.storage.claims import Claimed, Hold, Settlement, Verdict
from docket.storage.executions import NewExecution

S = ExecutionState

LIVE = (S.SCHEDULED, S.QUEUED, S.RUNNING, S.PARKED)
ALONE, IN_ALL = 3, 10

_lives = count(1)


@dataclass
class Entry:
    """One execution as it must stand."""

    key: str
    task: str
    call: bytes
    nonce: str
    queue: str
    state: ExecutionState
    due: int
    generation: int = 1
    attempt: int = 1
    fence: int | None = None
    """The one that was handed out last; None if somebody else than its run has ended it."""
    consumer: str | None = None
    """Who has it, or has ended it."""
    passed: list[object] = field(default_factory=list[object])
    """Nonces that were displaced, and runs that were settled and followed by others: the last eight."""
    before: bytes = b""
    """Its message when it became a suspect last."""
    message: bytes = b""
    """The message under which it was handed out last."""
    crashes: int = 0
    alone: int = 0
    silent: int = 0
    suspect: int = 0
    """How often it has died with its process, as far as that makes it a suspect."""
    is_aside: bool = False
    """Whether it waits where suspects do, not on its stream."""
    is_cancelled: bool = False
    rule: str | None = None
    reason: str | None = None
    waits: str | None = None
    has_result: bool = False
    life: int = field(default_factory=lambda: next(_lives))
    """A key that was forgotten and used again lives a second life, with generations of its own."""

    def pass_on(self, what: object) -> None:
        """Remember what it was once known by."""
        self.passed = [*self.passed[-7:], what]

    @property
    def is_live(self) -> bool:
        """Whether there is still work to do."""
        return self.state in LIVE


@dataclass(eq=False)
class Run:
    """One execution that was handed out, and whoever has it."""

    claimed: Claimed
    life: int
    entry: Entry
    consumer: str

    @property
    def holder(self) -> bytes:
        """Its message."""
        return self.claimed.holder


class Model:
    """All entries, the rules in force, and the routes."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.rules: dict[str, str] = {}
        """The action of each rule in force, by its identity."""
        self.routes: dict[str, str] = {}
        self.outcomes: dict[tuple[int, int], str] = {}
        """What was accepted, by life and generation."""
        self.fence = 0

    def live(self) -> list[Entry]:
        """All that is not over."""
        return [entry for entry in self.entries.values() if entry.is_live]

    # Adding

    def schedule(self, mode: str, new: NewExecution) -> tuple[str, ExecutionState | None, int]:
        """One add or replace; tells what must be answered."""
        known = self.entries.get(new.key)
        if known and (new.nonce in ("*", known.nonce) or new.nonce in known.passed):
            struck = known.state is S.PARKED and known.rule
            return ("struck" if struck else "scheduled"), known.state, known.generation
        if known and known.is_live and mode == "add":
            return "already_scheduled", known.state, known.generation
        action = self.rules.get(f"task:{new.task}")
        if action == "drop":
            return "struck", known.state if known else None, known.generation if known else 0
        rule = f"task:{new.task}" if action else new.strike if new.strike in self.rules else None
        entry = Entry(
            new.key,
            new.task,
            new.call,
            new.nonce,
            new.queue or self.routes.get(new.task, ""),
            S.PARKED if rule else S.SCHEDULED if new.due else S.QUEUED,
            new.due,
            rule=rule,
            reason="struck" if rule else None,
        )
        if known:
            entry.generation, entry.life = known.generation + 1, known.life
            entry.passed = known.passed
            if not known.is_live and known.fence and known.consumer:
                entry.pass_on((known.fence, known.consumer))
            # Of the one that a perpetual run has been given, nobody ever asks.
            if known.nonce[:1] not in "*~":
                entry.pass_on(known.nonce)
        self.entries[new.key] = entry
        return ("struck" if rule else "scheduled"), entry.state, entry.generation

    def cancel(self, key: str) -> str:
        """Cancel one; tells what must be answered."""
        entry = self.entries.get(key)
        if entry is None:
            return "UNKNOWN"
        if entry.state is S.RUNNING:
            entry.is_cancelled = True
            return "REQUESTED"
        if not entry.is_live:
            return "FINISHED"
        self.end(entry, S.CANCELLED, "cancelled")
        return "CANCELLED"

    # Running

    def promote(self, key: str) -> None:
        """What waited for its time is on its stream now."""
        self.entries[key].state = S.QUEUED

    def die(self, entry: Entry, is_alone: bool, is_silent: bool) -> str:
        """The worker of a run has died, or is taken for dead; tells what becomes of the run."""
        entry.crashes += 1
        entry.alone += is_alone
        entry.silent += is_silent
        if is_silent and self.is_guilty(entry):
            return "dead letter"
        if is_silent and entry.silent < 2 and not entry.suspect:
            return "again"
        entry.suspect += 1
        self.set_aside(entry)
        return "suspect"

    def set_aside(self, entry: Entry) -> None:
        """It waits where suspects do."""
        entry.state, entry.reason, entry.is_aside = S.QUEUED, "suspect", True
        entry.before = entry.message
        entry.consumer = None

    def is_guilty(self, entry: Entry) -> bool:
        """Whether it has killed often enough."""
        return entry.alone >= ALONE or entry.crashes >= IN_ALL

    def hand_out(self, claimed: Claimed, consumer: str) -> Run:
        """A worker has it now."""
        entry = self.entries[claimed.key]
        assert claimed.fence > self.fence, "fences rise"
        assert claimed.generation == entry.generation
        assert (claimed.task, claimed.call) == (entry.task, entry.call)
        assert (claimed.attempt, claimed.queue) == (entry.attempt, entry.queue)
        if entry.is_aside:
            entry.is_aside, entry.reason = False, None
        entry.state = S.RUNNING
        self.fence = entry.fence = claimed.fence
        entry.consumer = consumer
        entry.message = claimed.message
        return Run(claimed, entry.life, entry, consumer)

    def verdict(self, run: Run) -> Verdict:
        """What must be said to whatever this run ends with."""
        entry = self.entries.get(run.claimed.key)
        if entry is None:
            return Verdict.GONE
        if entry.life != run.life:
            return Verdict.SUPERSEDED
        holder = (run.claimed.fence, run.consumer)
        if holder in entry.passed:
            return Verdict.ALREADY
        if (entry.fence, entry.consumer) != holder:
            is_its_message = run.claimed.message in (entry.message, entry.before)
            same = entry.generation == run.claimed.generation and is_its_message
            return Verdict.STALE if same else Verdict.SUPERSEDED
        if entry.state is not S.RUNNING or entry.generation != run.claimed.generation:
            return Verdict.ALREADY
        return Verdict.RECORDED

    def hold(self, run: Run) -> Hold:
        """What must be said to the renewal of its lease."""
        entry = self.entries.get(run.claimed.key)
        verdict = self.verdict(run)
        if verdict is Verdict.RECORDED:
            return Hold.CANCEL if entry and entry.is_cancelled else Hold.HELD
        return Hold.LOST if verdict is Verdict.STALE else Hold.SUPERSEDED

    def settle(self, run: Run, settlement: Settlement) -> Verdict:
        """One settlement; tells what must be answered."""
        verdict = self.verdict(run)
        if verdict is not Verdict.RECORDED:
            return verdict
        entry = self.entries[run.claimed.key]
        outcome = (entry.life, entry.generation)
        assert outcome not in self.outcomes, "a second outcome of one generation"
        self.outcomes[outcome] = settlement.word
        if settlement.result:
            entry.has_result = True
        self._settle(entry, settlement)
        return verdict

    def _settle(self, entry: Entry, settlement: Settlement) -> None:
        word, reason = settlement.word, settlement.reason
        goes_on = word in ("again", "delay", "undo", "next", "back", "waiting", "parked")
        if goes_on and entry.is_cancelled:
            self.end(entry, S.CANCELLED, "cancelled", by_its_run=True)
            return
        if goes_on:
            entry.pass_on((entry.fence, entry.consumer))
            if word == "next":
                if entry.nonce[:1] not in "*~":
                    entry.pass_on(entry.nonce)
                entry.nonce = f"~{entry.fence}"
            entry.consumer = None
        attempt_before = entry.attempt
        if word in ("again", "delay", "undo", "next"):
            self._again(entry, settlement.due, settlement.attempt, settlement.call)
            if word == "next" or attempt_before != settlement.attempt:
                entry.crashes = entry.alone = entry.silent = entry.suspect = 0
        elif word == "back":
            # The same generation once more: nothing has come of it yet.
            del self.outcomes[entry.life, entry.generation]
            self._again(entry, settlement.due, settlement.attempt)
            entry.generation -= 1
        elif word == "waiting":
            entry.state, entry.waits = S.SCHEDULED, reason
            # Another run of the same generation may follow, and end.
            del self.outcomes[entry.life, entry.generation]
        elif word == "parked" and settlement.error and settlement.error not in self.rules:
            self._again(entry, entry.due, settlement.attempt)
        elif word == "parked":
            entry.state, entry.rule = S.PARKED, settlement.error or None
            entry.reason = "struck" if settlement.error else reason
            del self.outcomes[entry.life, entry.generation]
        else:
            state = S.CANCELLED if word == "dropped" else S(word)
            self.end(entry, state, reason or None, by_its_run=True)

    def _again(self, entry: Entry, due: int, attempt: int, call: bytes = b"") -> None:
        entry.generation += 1
        entry.attempt, entry.reason = attempt, None
        entry.call = call or entry.call
        entry.due = due
        entry.state = S.SCHEDULED if is_future(due) else S.QUEUED

    def put_back(self, key: str) -> None:
        """What was parked waits for a worker, or for its time."""
        entry = self.entries[key]
        was_struck = entry.rule is not None
        entry.generation += 1
        entry.rule = entry.reason = None
        entry.state = S.SCHEDULED if was_struck and is_future(entry.due) else S.QUEUED

    def end(
        self,
        entry: Entry,
        state: ExecutionState,
        reason: str | None,
        *,
        by_its_run: bool = False,
    ) -> None:
        """A terminal state."""
        entry.state, entry.reason, entry.waits = state, reason, None
        entry.is_aside = False
        if not by_its_run:
            entry.fence = None


FAR = 4_102_444_800_000
"""A due time that no test reaches by itself, in ms: the year 2100."""

PAST = 1
"""What a due time is when it has come."""


def is_future(due: int) -> bool:
    """Whether it has still to come."""
    return due >= FAR
