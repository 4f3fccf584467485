"""Whatever is done to the storage, in whatever order: nothing is lost, and every outcome is one.

A machine of random steps - adds, claims, settlements sent twice, zombies, crashes, lost replies, rules -
runs on a real server next to a simple model. After every step all that the server keeps is read and
compared: no acknowledged key is absent, each stands in one place, one outcome per generation is accepted,
states move along the table, each payload is kept once, nothing is left behind. Time does not pass by
itself here: due times, leases and records come to their ends by a step of their own.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from docket import Docket, ExecutionState
from docket.foundation.lifecycle import TRANSITIONS
from docket.storage.checks import Mismatch
from docket.storage.claims import (
    Claimed,
    ClaimReply,
    Claims,
    Consumer,
    Settlement,
    Verdict,
    release,
    renew,
)
from docket.storage.executions import NewExecution
from docket.storage.limits import Entrant, Question, Word
from tests.fleet.kinds import MEMORY, Fleet
from tests.routing import route

from .bench import Bench
from .budget import budget
from .model import FAR, PAST, Entry, Model, Run
from .snapshot import Message, Snapshot

pytestmark = pytest.mark.thorough

S = ExecutionState

LEASE, TTL = 30_000, 600_000
TASKS = ("a", "b")
ARGUMENT_RULE = "argument:x"
SLOTS = {"a of default": 1, "a of fast": 1, "b of default": 2, "b of fast": 2}
"""Limits of each task in each queue: those that wait are served in the order of one stream."""
QUEUES: tuple[tuple[str, ...], ...] = (
    ("default",),
    ("default", "fast"),
    ("fast", "default"),
)
DOCUMENTED = re.compile(
    r"(stream|bell)(:fast)?|queues?|format|(runs|results|progress):.+|dead|strikes|routes|fence|history(:completed)?|audit"
    r"|parked(:.+|-groups)?|stored(:.+)?"
    r"|(slots|waiters|orphans):.+|holding|waiting|sizes|leases|(lost|suspects)(:fast)?|death:.+"
)
FOR_EVER = re.compile(
    r"(stream|bell)(:fast)?|queues|format|dead|strikes|routes|fence|leases|stored(:.+)?"
)

keys = st.sampled_from(["k1", "k2", "k3"])
tasks = st.sampled_from(TASKS)
rules = st.sampled_from(["task:a", "task:b", ARGUMENT_RULE])
picks = st.integers(0, 11)
dues = st.sampled_from([0, 0, FAR])
ends = st.sampled_from(
    [
        *("again", "waiting", "failed", "by task", "by argument", "unknown"),
        *("later", "changed", "back", "result", "cancelled", "completed"),
        *("delay", "undo", "dropped"),
    ]
)


@dataclass
class Worker:
    """One claimant, life after life."""

    name: str
    queues: tuple[str, ...]
    life: int = 1
    held: dict[bytes, Run] = field(default_factory=dict[bytes, Run])
    has_lost_a_reply: bool = False
    exchange: Claims | None = None

    @property
    def consumer(self) -> str:
        """Its name in the consumer group: a new one for every life."""
        return f"{self.name}:{self.life}"

    def round_trips(self, docket: Docket) -> Claims:
        """Its round trip."""
        if self.exchange is None:
            claimant = Consumer(self.name, self.consumer, self.queues, LEASE, TTL, TTL)
            self.exchange = docket.storage.exchange(claimant)
        return self.exchange

    def die(self) -> None:
        """Forget everything, and be somebody else."""
        self.held, self.life, self.exchange = {}, self.life + 1, None
        self.has_lost_a_reply = False


class StorageMachine(RuleBasedStateMachine):
    """Random steps, and what must hold after each."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.storage = bench.storage
        self.model = Model()
        self.workers = [Worker(f"w{n}", queues) for n, queues in enumerate(QUEUES)]
        self.runs: list[Run] = []
        """All that was ever handed out lately: zombies are among them."""
        self.sent: list[tuple[Run, Settlement]] = []
        self.over: set[str] = set()
        """The consumers whose leases are over."""
        self.by_hand: set[bytes] = set()
        """Messages of what was begun by hand: on their stream, until they are settled or read."""
        self.awake: set[str] = set()
        """Queues that some worker will look at by itself."""
        self.must_settle_first = True
        """The server may know the script that claims, and not the one that settles: then it claims first."""
        self.numbers = count(1)
        self.steps = count(1)
        self.added: list[tuple[Literal["add", "replace"], list[NewExecution]]] = []
        bench.clear()
        self.seen = bench.snapshot()
        self.states: dict[str, ExecutionState | None] = {}

    # Adding

    def _new(self, key: str, task: str, due: int, queue: str, rule: str) -> NewExecution:
        number = next(self.numbers)
        nonce = "*" if key.startswith("fresh") else f"nonce-{number}"
        return NewExecution(key, nonce, due, task, f"<call {number}>".encode(), queue, strike=rule)

    def _schedule(self, mode: Literal["add", "replace"], new: list[NewExecution]) -> None:
        expected = [self.model.schedule(mode, one) for one in new]
        answers = self.bench.do(self.storage.executions.schedule(new, mode=mode))
        assert [(a.disposition.value, a.state, a.generation) for a in answers] == expected

    @rule(
        mode=st.sampled_from(["add", "add", "replace"]),
        key=keys,
        task=tasks,
        due=dues,
        queue=st.sampled_from(["", "", "fast"]),
        by=st.sampled_from(["", "", ARGUMENT_RULE]),
        twice=st.booleans(),
    )
    def add(
        self,
        mode: Literal["add", "replace"],
        key: str,
        task: str,
        due: int,
        queue: str,
        by: str,
        twice: bool,
    ) -> None:
        new = [self._new(key, task, due, queue, by)]
        self._schedule(mode, new)
        if twice:
            self._schedule(mode, new)
        self.added = [*self.added[-3:], (mode, new)]

    @rule(plan=st.lists(st.tuples(keys, tasks, dues), min_size=2, max_size=4), fresh=st.booleans())
    def add_many(self, plan: list[tuple[str, str, int]], fresh: bool) -> None:
        new = [self._new(key, task, due, "", "") for key, task, due in plan]
        if fresh:
            number = next(self.numbers)
            new.append(self._new(f"fresh-{number}", "a", 0, "", ""))
        self._schedule("add", new)
        self.added = [*self.added[-3:], ("add", new[-1:])]

    @precondition(lambda self: self.added)
    @rule(pick=picks)
    def an_add_arrives_once_more(self, pick: int) -> None:
        mode, new = self.added[pick % len(self.added)]
        known = self.model.entries.get(new[0].key)
        # What is remembered of a replacement ends with the next one of that key.
        if mode == "add" or (known and known.nonce == new[0].nonce):
            self._schedule(mode, new)

    @precondition(lambda self: self.model.entries)
    @rule(key=keys)
    def cancel(self, key: str) -> None:
        expected = self.model.cancel(key)
        assert self.bench.do(self.storage.executions.cancel(key, _ttl())) == expected

    def _clear(self) -> None:
        for entry in self.model.live():
            if entry.state in (S.SCHEDULED, S.QUEUED):
                self.model.end(entry, S.CANCELLED, "cancelled")
        self.bench.do(self.bench.docket.clear())

    def _route(self, routes: dict[str, str]) -> None:
        self.model.routes = routes
        self.bench.do(route(self.storage, routes))

    # Claiming

    @precondition(lambda self: self.model.live())
    @rule(
        who=st.integers(0, 2),
        slots=st.integers(1, 4),
        lenient=st.sampled_from([False, False, True]),
        loses_the_reply=st.sampled_from([False, False, False, True]),
    )
    def claim(self, who: int, slots: int, lenient: bool, loses_the_reply: bool) -> None:
        worker = self.workers[who]
        self._trade(worker, [], slots, lenient=lenient, loses_the_reply=loses_the_reply)

    @precondition(lambda self: self.model.live())
    @rule(who=st.integers(0, 2), end=ends)
    def a_worker_works(self, who: int, end: str) -> None:
        self._trade(self.workers[who], [], 4)
        if self.runs:
            self._settle(self.workers[who], [(self.runs[-1], self._settlement(self.runs[-1], end))])

    def _trade(
        self,
        worker: Worker,
        ends: list[tuple[Run, Settlement]],
        slots: int,
        *,
        lenient: bool = False,
        loses_the_reply: bool = False,
    ) -> None:
        if ends and slots and self.must_settle_first:
            self._trade(worker, ends, 0)
            ends = []
        self.must_settle_first = self.must_settle_first and not ends
        recovers = worker.has_lost_a_reply and slots > 0
        holding = [b"-", *worker.held, *(run.holder for run, _ in ends)] if recovers else []
        if slots:
            self.bench.send("DEL", *map(self.bench.keys.bell, worker.queues))
            self.awake -= set(worker.queues)
        expected = [self.model.settle(run, settlement) for run, settlement in ends]
        for run, _ in ends:
            worker.held.pop(run.holder, None)
        before = self.bench.snapshot() if ends else self.seen
        verdicts, catch = self.bench.do(
            worker.round_trips(self.bench.docket).trade(
                [settlement for _, settlement in ends],
                slots,
                holding=holding,
                lenient=lenient,
                held=len(worker.held),
            )
        )
        assert list(map(_plainly, verdicts)) == list(map(_plainly, expected))
        if catch is None:
            return
        pending = {m.holder: m for m in before.messages if m.consumer == worker.consumer}
        lost = {holder for holder in pending if recovers and holder not in holding}
        self._caught(worker, catch, slots, lost, lenient)
        if loses_the_reply:
            for claimed in catch.claimed:
                worker.held.pop(claimed.holder, None)
            worker.has_lost_a_reply = True
            self.awake.update(worker.queues)
        elif recovers:
            worker.has_lost_a_reply = not catch.is_recovered

    def _caught(
        self, worker: Worker, catch: ClaimReply, slots: int, lost: set[bytes], lenient: bool
    ) -> None:
        for entry in self.model.live():
            if entry.state is S.SCHEDULED and entry.due == PAST and not entry.waits:
                self.model.promote(entry.key)
        now = self.bench.snapshot()
        self._granted(now)
        cancelled = self._cancelled(now)
        for key, _ in catch.struck:
            assert self.model.rules[f"task:{self.model.entries[key].task}"] == "drop"
            self._may_take(self.model.entries[key], lost, lenient)
            self.model.end(self.model.entries[key], S.CANCELLED, "struck")
        for key, _ in catch.parked:
            entry = self.model.entries[key]
            entry.rule, entry.reason = f"task:{entry.task}", "struck"
            assert self.model.rules[entry.rule] == "park"
            self._may_take(entry, lost, lenient)
            entry.state, entry.consumer, entry.is_aside = S.PARKED, None, False
        for key, _ in catch.crashed:
            entry = self.model.entries[key]
            if not entry.is_aside:
                assert self._may_take(entry, lost, lenient), "only a crash is a crash"
                assert self._dies(entry, now, is_silent=True) == "dead letter"
            assert self.model.is_guilty(entry)
            self.model.end(entry, S.FAILED, "crashed")
        self._set_aside(now, lost, lenient)
        for claimed in catch.claimed:
            entry = self.model.entries[claimed.key]
            assert f"task:{entry.task}" not in self.model.rules
            if self._may_take(entry, lost, lenient):
                what = self._dies(entry, now, is_silent=True)
                assert what == "again" or claimed.company is not None
            assert claimed.crashes == entry.crashes
            assert not self.model.is_guilty(entry)
            assert claimed.queue in {queue.replace("default", "") for queue in worker.queues}
            run = self.model.hand_out(claimed, worker.consumer)
            self.by_hand.discard(claimed.holder)
            self.runs = [*self.runs[-11:], run]
            worker.held[claimed.holder] = run
        assert len(catch.claimed) <= slots
        self._was_thorough(worker, catch, slots, cancelled)
        dues = [e.due for e in self.model.live() if e.state is S.SCHEDULED and not e.waits]
        assert catch.next_due == min(dues, default=None), (catch, self.model.live())

    def _may_take(self, entry: Entry, lost: set[bytes], lenient: bool) -> bool:
        """Whether what a claim took was to be had; tells whether its last worker has crashed."""
        if entry.state is S.QUEUED:
            return False
        assert entry.state is S.RUNNING, f"{entry.key} was {entry.state} and was taken"
        (message,) = self._messages_of(entry, self.seen)
        if message.holder in lost and message.holder not in self.by_hand:
            return False
        assert entry.consumer in self.over, f"the lease of {entry.key} was not over"
        assert not lenient, f"the worker of {entry.key} had no time to renew its lease"
        return True

    def _dies(self, entry: Entry, now: Snapshot, *, is_silent: bool) -> str:
        """The worker of a run is dead, or taken for it; tells what becomes of the run."""
        is_alone = int(now.hash(f"runs:{entry.key}").get("alone", 0)) > entry.alone
        others = [m for m in now.messages if m.consumer == entry.consumer]
        assert not is_alone or not others, "it was not alone"
        return self.model.die(entry, is_alone, is_silent)

    def _set_aside(self, now: Snapshot, lost: set[bytes], lenient: bool) -> None:
        """What a claim came across that is suspect has gone where suspects wait."""
        for entry in self.model.live():
            record = now.hash(f"runs:{entry.key}")
            if record.get("reason") != "suspect" or entry.is_aside:
                continue
            if entry.state is S.RUNNING:
                assert self._may_take(entry, lost, lenient)
                assert self._dies(entry, now, is_silent=True) == "suspect"
            else:
                assert entry.state is S.QUEUED
                assert entry.suspect
                self.model.set_aside(entry)

    def _cancelled(self, now: Snapshot) -> int:
        """What was to be cancelled is, when somebody comes across it; tells how many that were."""
        cancelled = 0
        for entry in self.model.live():
            if entry.is_cancelled and now.hash(f"runs:{entry.key}")["state"] == "cancelled":
                self.model.end(entry, S.CANCELLED, "cancelled")
                cancelled += 1
        return cancelled

    def _was_thorough(self, worker: Worker, catch: ClaimReply, slots: int, cancelled: int) -> None:
        """A worker that has found less than it can take has left nothing."""
        told = len(catch.claimed) + len(catch.struck) + len(catch.parked) + len(catch.crashed)
        has_suspects = any(claimed.company is not None for claimed in catch.claimed)
        if told + catch.stale + cancelled < slots and not has_suspects:
            names = {queue.replace("default", "") for queue in worker.queues}
            left = [
                entry
                for entry in self.model.live()
                if entry.state is S.QUEUED and entry.queue in names and not entry.is_aside
            ]
            # What was read in vain may have stood in front of more: then the bell has rung.
            bells = [
                queue
                for queue in worker.queues
                if self.bench.send("EXISTS", self.bench.keys.bell(queue))
            ]
            assert not left or bells, "a worker with free slots has left something behind"
        if told + catch.stale >= slots:
            self.awake.update(worker.queues)

    def _begin(self, who: int, by_key: bool, key: str, which: int) -> None:
        entry = self.model.entries.get(key)
        generation = 0 if by_key or entry is None else max(0, entry.generation - which // 9)
        consumer = f"by-hand:{who}"
        begun = self.bench.do(self.storage.executions.begin(key, generation, consumer))
        is_meant = entry and generation in (0, entry.generation)
        is_waiting = entry and entry.state in (S.SCHEDULED, S.QUEUED) and not entry.is_cancelled
        if not entry or not is_meant or not is_waiting:
            assert begun is None
            return
        assert begun is not None
        claimed = Claimed(
            *(begun.message, begun.queue, key, begun.generation, begun.fence, entry.task),
            *(entry.call, entry.attempt, entry.due, entry.crashes, ""),
            identity=begun.identity,
        )
        entry.waits = None
        self.by_hand.add(claimed.holder)
        self.runs = [*self.runs[-11:], self.model.hand_out(claimed, consumer)]

    # Settling

    @precondition(lambda self: self.runs)
    @rule(
        who=st.integers(0, 2),
        which=st.lists(picks, min_size=1, max_size=3),
        how=st.lists(ends, min_size=3, max_size=3),
        slots=st.sampled_from([0, 0, 2]),
        twice=st.booleans(),
    )
    def settle(
        self, who: int, which: Sequence[int], how: list[str], slots: int, twice: bool
    ) -> None:
        worker = self.workers[who]
        batch: list[tuple[Run, Settlement]] = []
        for pick, end in zip(which, how, strict=False):
            run = self.runs[-1 - pick % len(self.runs)]
            if run not in [other for other, _ in batch]:
                batch.append((run, self._settlement(run, end)))
        self._settle(worker, batch, slots)
        if twice:
            self._settle_once_more(batch)

    def _settle(self, worker: Worker, batch: list[tuple[Run, Settlement]], slots: int = 0) -> None:
        for run, _ in batch:
            for other in self.workers:
                if other.held.get(run.holder) is run:
                    del other.held[run.holder]
        mine = [(run, end) for run, end in batch if run.consumer == worker.consumer]
        self._settle_for_others([one for one in batch if one not in mine])
        self._trade(worker, mine, slots)
        self.sent = [*self.sent[-5:], *batch]

    @precondition(lambda self: self.sent)
    @rule(pick=picks)
    def a_settlement_arrives_once_more(self, pick: int) -> None:
        self._settle_once_more([self.sent[pick % len(self.sent)]])

    def _settle_once_more(self, batch: list[tuple[Run, Settlement]]) -> None:
        for run, _ in batch:
            assert self.model.verdict(run) is not Verdict.RECORDED
        self._settle_for_others(batch)

    def _settle_for_others(self, batch: list[tuple[Run, Settlement]]) -> None:
        """Whoever had the runs says what they have ended with: in another life, perhaps."""
        for run, settlement in batch:
            name, life = run.consumer.split(":")
            self._trade(Worker(name, ("default",), int(life)), [(run, settlement)], 0)

    def _settlement(self, run: Run, end: str) -> Settlement:
        c = run.claimed
        common = Settlement(
            c.message, c.queue, c.key, c.generation, c.fence, end, ttl=TTL, identity=c.identity
        )
        again = common._replace(word="again", attempt=c.attempt)
        parked = common._replace(word="parked", attempt=c.attempt, reason="struck")
        match end:
            case "result":
                return common._replace(word="completed", result=b"<result>")
            case "failed":
                return common._replace(error="Oh!", reason="failed", result=b"<failure>")
            case "cancelled" | "dropped":
                return common._replace(reason=end)
            case "again":
                return again._replace(attempt=c.attempt + 1)
            case "later":
                return again._replace(due=FAR, attempt=c.attempt + 1)
            case "changed":
                call = f"<call {next(self.numbers)}>".encode()
                return again._replace(
                    word="next", due=FAR, attempt=1, call=call, result=b"<result>"
                )
            case "back":
                return again._replace(word="back", due=PAST)
            case "delay" | "undo":
                return again._replace(word=end, due=FAR)
            case "unknown":
                return parked._replace(reason="unknown_task")
            case "by task" | "by argument":
                rule = f"task:{c.task}" if end == "by task" else ARGUMENT_RULE
                return parked._replace(error=rule)
            case "waiting":
                return common._replace(reason=_slot(c), due=SLOTS[_slot(c)])
            case _:
                return common

    # Limits

    def _acquire(self, pick: int) -> None:
        if not self.runs:
            return
        run = self.runs[-1 - pick % len(self.runs)]
        slot, run_is = _slot(run.claimed), run.claimed
        asks = Entrant(run_is.key, run_is.identity, run_is.attempt, run_is.fence, run.consumer)
        question = Question("slot", slot, SLOTS[slot])
        answer = self.bench.do(self.storage.limits.admit(asks, [question]))
        now = self.bench.snapshot()
        if self.model.verdict(run) is not Verdict.RECORDED:
            assert answer.word is Word.SUPERSEDED
        else:
            holds = f"{run_is.identity}\n{run_is.key}" in now.scores(f"slots:{slot}")
            assert (answer.word is Word.ADMITTED) == holds
        self._granted(now)

    def _granted(self, now: Snapshot) -> None:
        """Whoever had to wait and does not any more was granted a slot."""
        for entry in self.model.live():
            if entry.waits and entry.key not in now.scores(f"waiters:{entry.waits}"):
                entry.waits, entry.state, entry.message = None, S.QUEUED, b""

    # Parking

    def _strike(self, identity: str, action: str) -> None:
        # A rule that looks at arguments is found by its reader; only one that parks is told here.
        self.model.rules[identity] = action
        self.bench.do(
            self.storage.strikes.change("strike", identity, b"<rule>", action=action)  # type: ignore[arg-type]
        )

    def _restore(self, identity: str, by_itself: bool, is_noticed: bool) -> None:
        if by_itself and identity in self.model.rules:
            self.bench.send("HSET", self.bench.keys.strikes, identity, "park 1 0\n<rule>")
            if is_noticed:
                self.bench.do(self.storage.strikes.change("expire"))
        else:
            self.bench.do(self.storage.strikes.change("restore", identity))
        self.model.rules.pop(identity, None)

    def _acquit(self) -> None:
        freed = self.bench.do(self.storage.strikes.acquit())
        parked = [e for e in self.model.live() if e.state is S.PARKED]
        over = {e.key for e in parked if e.rule and e.rule not in self.model.rules}
        assert {key for key, _ in freed.released} == over
        for key in over:
            self.model.put_back(key)

    def _unpark(self, known: set[str]) -> None:
        freed = self.bench.do(self.storage.workers.unpark("unknown_task", sorted(known)))
        parked = [e for e in self.model.live() if e.state is S.PARKED]
        mine = {e.key for e in parked if e.reason == "unknown_task" and e.task in known}
        assert {key for key, _ in freed.released} == mine
        for key in mine:
            self.model.put_back(key)

    # Operators, tasks, time

    @rule(
        verb=st.sampled_from(["strike", "restore", "acquit", "unpark", "route", "clear", "flush"]),
        identity=rules,
        action=st.sampled_from(["drop", "park"]),
        by_itself=st.booleans(),
    )
    def an_operator_acts(self, verb: str, identity: str, action: str, by_itself: bool) -> None:
        match verb:
            case "strike":
                self._strike(identity, action)
            case "restore":
                self._restore(identity, by_itself, action == "park")
            case "acquit":
                self._acquit()
            case "unpark":
                self._unpark({"a"} if by_itself else set(TASKS))
            case "route":
                self._route({"a": "fast"} if by_itself else {})
            case "clear":
                self._clear()
            case _:
                self._flush_the_scripts()

    @precondition(lambda self: self.model.live())
    @rule(
        verb=st.sampled_from(["acquire", "renew", "progress", "begin"]),
        who=st.integers(0, 2),
        pick=picks,
        key=keys,
        by_key=st.booleans(),
    )
    def a_task_acts(self, verb: str, who: int, pick: int, key: str, by_key: bool) -> None:
        match verb:
            case "acquire":
                self._acquire(pick)
            case "renew":
                self._renew(who)
            case "progress":
                self._progress(key)
            case _:
                self._begin(who, by_key, key, pick)

    @precondition(lambda self: self.model.entries)
    @rule(verb=st.sampled_from(["lease", "due", "record"]), key=keys, pick=picks)
    def time_passes(self, verb: str, key: str, pick: int) -> None:
        match verb:
            case "lease":
                self._end_a_lease(pick)
            case "due":
                self._its_time_comes(key)
            case _:
                self._its_record_expires(key)

    def _renew(self, who: int) -> None:
        worker = self.workers[who]
        held = list(worker.held.values())
        if not held:
            return
        line = self.storage.connection.threaded()
        answers = renew(line, self.bench.keys, worker.consumer, [run.claimed for run in held])
        line.close()
        assert answers == [self.model.hold(run) for run in held]

    @precondition(lambda self: any(message.consumer for message in self.seen.messages))
    @rule(who=st.integers(0, 2), is_seen=st.booleans())
    def a_worker_dies(self, who: int, is_seen: bool) -> None:
        worker = self.workers[who]
        if is_seen:
            self._release(worker.consumer)
        worker.die()

    @precondition(lambda self: any(message.consumer for message in self.seen.messages))
    @rule(who=st.integers(0, 2))
    def a_worker_retires(self, who: int) -> None:
        """In good order, but for what it never heard of, or could not end."""
        worker = self.workers[who]
        names = ["default", "fast"]
        retire = self.storage.workers.retire
        self.bench.do(retire(worker.name, worker.consumer, names))
        now = self.bench.snapshot()
        fences: list[int] = []
        for entry in self.model.live():
            messages = self._messages_of(entry, self.seen)
            record = now.hash(f"runs:{entry.key}")
            is_its = messages and messages[0].consumer == worker.consumer
            if entry.state is S.RUNNING and is_its:
                if entry.consumer != worker.consumer:
                    continue
                entry.state, entry.consumer, entry.message = S.QUEUED, None, b""
                entry.fence = int(record["fence"])
                fences.append(entry.fence)
        assert all(fence > self.model.fence for fence in fences)
        self.model.fence = max(fences, default=self.model.fence)
        worker.die()

    @precondition(lambda self: self.model.live())
    @rule(who=st.integers(0, 2), times=st.integers(1, 4))
    def a_task_kills_its_workers(self, who: int, times: int) -> None:
        for _ in range(times):
            worker = self.workers[who]
            self._trade(worker, [], 4)
            self._release(worker.consumer)
            worker.die()
            self.seen = self.bench.snapshot()

    def _release(self, consumer: str) -> None:
        before = self.bench.snapshot()
        mine = {m.holder for m in before.messages if m.consumer == consumer}
        connection = self.storage.connection
        count = self.bench.do(release(connection, self.bench.keys, consumer, ["default", "fast"]))
        assert bool(count) == bool(mine)
        now = self.bench.snapshot()
        assert not [m for m in now.messages if m.consumer == consumer]
        for entry in self.model.live():
            if entry.consumer == consumer and self._messages_of(entry, before)[0].consumer:
                was_alone = entry.alone
                assert self._dies(entry, now, is_silent=False) == "suspect"
                if consumer not in self.over:
                    assert entry.alone - was_alone == (len(mine) == 1)

    def _end_a_lease(self, pick: int) -> None:
        messages = [m for m in self.seen.messages if m.consumer]
        if not messages:
            return
        message = messages[pick % len(messages)]
        self._end_lease(message)

    def _end_lease(self, message: Message) -> None:
        assert message.consumer is not None
        self.bench.send("ZADD", self.bench.keys.leases, 1, message.consumer)
        self.over.add(message.consumer)

    def _its_time_comes(self, key: str) -> None:
        entry = self.model.entries.get(key)
        if entry and entry.state is S.SCHEDULED and not entry.waits:
            entry.due = PAST
            self.bench.send("ZADD", self.bench.keys.future, "XX", PAST, key)
            self.bench.send("HSET", self.bench.keys.run(key), "due", PAST)

    def _its_record_expires(self, key: str) -> None:
        entry = self.model.entries.get(key)
        if entry and not entry.is_live:
            self._expire(key)

    def _expire(self, key: str) -> None:
        del self.model.entries[key]
        self.states.pop(key, None)
        names = self.bench.keys
        for name in (names.run(key), names.result(key), names.progress(key)):
            if self.bench.send("PTTL", name) > 0:
                self.bench.send("DEL", name)

    def _progress(self, key: str) -> None:
        self.bench.do(self.storage.progress.change(key, "increment", 1))

    def _flush_the_scripts(self) -> None:
        self.bench.send("SCRIPT", "FLUSH")
        self.must_settle_first = True

    # What must hold

    @invariant()
    def everything_is_where_it_belongs(self) -> None:
        now = self.bench.snapshot()
        self._granted(now)
        self._leases_are_believed(now)
        self._records_are_those_of_the_model(now)
        for entry in self.model.entries.values():
            self._stands_in_one_place(entry, now)
        self._messages_have_a_reason(now)
        self._slots_are_held_by_acceptances(now)
        self._parked_work_is_in_its_group(now)
        self._bells_have_rung(now)
        self._nothing_else_is_kept(now)
        self._states_moved_along_the_table(now)
        if next(self.steps) % 5 == 0:
            self._a_check_finds_nothing()
        self.seen = now

    def _leases_are_believed(self, now: Snapshot) -> None:
        """Whoever has renewed a lease, or is gone, is not late any more."""
        leases = now.scores("leases")
        late = {consumer for consumer in leases if leases[consumer] == 1}
        self.over &= late | set(now.scores("lost")) | set(now.scores("lost:fast"))

    def _records_are_those_of_the_model(self, now: Snapshot) -> None:
        records = now.named("runs:")
        assert set(records) == set(self.model.entries), "I1: no acknowledged key is absent"
        for key, entry in self.model.entries.items():
            record = now.hash(f"runs:{key}")
            assert record["state"] == entry.state.value, key
            assert int(record.get("generation", 1)) == entry.generation
            assert int(record.get("attempt", 1)) == entry.attempt
            assert record.get("fence") == (str(entry.fence) if entry.fence else None)
            assert int(record.get("crashes", 0)) == entry.crashes
            assert int(record.get("alone", 0)) == entry.alone
            assert int(record.get("silent", 0)) == entry.silent
            assert int(record.get("suspect", 0)) == entry.suspect
            assert record.get("reason") == entry.reason, (record, entry)
            assert record.get("waits") == entry.waits
            assert record.get("queue", "") == entry.queue
            if entry.state is not S.RUNNING and entry.is_live:
                assert "consumer" not in record
            assert (records[key].ttl == -1) == entry.is_live, f"{key}: live work never expires"
            assert now.occurrences(entry.call) == [f"runs:{key}"], "a payload is kept once"

    def _stands_in_one_place(self, entry: Entry, now: Snapshot) -> None:
        key = entry.key
        messages = self._messages_of(entry, now)
        places = {
            "future": key in now.scores("queue"),
            "waiting": key in now.scores("waiting"),
            "parked": key in now.scores("parked"),
            "stream": bool(messages),
            "suspects": key in now.scores("suspects" + (entry.queue and f":{entry.queue}")),
        }
        expected = {
            S.SCHEDULED: "waiting" if entry.waits else "future",
            S.QUEUED: "suspects" if entry.is_aside else "stream",
            S.RUNNING: "stream",
            S.PARKED: "parked",
        }.get(entry.state)
        assert [place for place, is_there in places.items() if is_there] == (
            [expected] if expected else []
        ), f"{key} is {entry.state}: {entry} {now.hash(f'runs:{key}')} {now.messages}"
        assert len(messages) <= 1, f"{key} is on its stream more than once"
        if entry.state is S.SCHEDULED and not entry.waits:
            assert now.scores("queue")[key] == entry.due
        if messages:
            assert messages[0].queue == entry.queue
            assert now.hash(f"runs:{key}")["message"].encode() == messages[0].number
        if entry.state is S.QUEUED and not entry.is_aside:
            assert messages[0].consumer is None, f"{key} is queued, but held"
        if entry.state is S.FAILED:
            assert key in now.scores("dead")
        elif entry.is_live:
            assert key not in now.scores("dead"), "a dead letter that lives"
        for kind in ("results", "progress"):
            kept = now.kept.get(f"{kind}:{key}")
            assert kept is None or entry.is_live or kept.ttl > 0, f"{kind}:{key} never expires"

    def _messages_of(self, entry: Entry, now: Snapshot) -> list[Message]:
        """Those that stand for it; a message of an earlier life has the number of none."""
        number = now.hash(f"runs:{entry.key}").get("message", "").encode()
        messages = now.messages_of(entry.key, entry.generation)
        return [m for m in messages if m.number == number or m.consumer is None]

    def _messages_have_a_reason(self, now: Snapshot) -> None:
        for message in now.messages:
            entry = self.model.entries.get(message.key)
            if message.consumer is None and message.holder not in self.by_hand:
                assert entry is not None, f"a message of nothing: {message}"
                assert message.generation == entry.generation, f"a stale message: {message}"
            # What is pending and superseded goes with whoever holds it, or with its lease.

    def _slots_are_held_by_acceptances(self, now: Snapshot) -> None:
        holding = {owner: json.loads(text) for owner, text in now.hash("holding").items()}
        held = {(m, slot) for slot in SLOTS for m in now.scores(f"slots:{slot}")}
        assert held == {(owner, slot) for owner, has in holding.items() for slot in has["slots"]}
        live = {
            f"{entry.key if entry.nonce == '*' else entry.nonce}\n{entry.key}"
            for entry in self.model.live()
            if entry.state is not S.PARKED
        }
        superseded = {owner: has["consumer"] for owner, has in holding.items() if "consumer" in has}
        assert set(holding) - set(superseded) <= live, "a slot is held by a run that is gone"
        for owner, consumer in superseded.items():
            assert owner in now.members(f"orphans:{consumer}"), "nobody will free this slot"
        waiters = {key: slot for slot in SLOTS for key in now.scores(f"waiters:{slot}")}
        assert waiters == {e.key: e.waits for e in self.model.live() if e.waits}
        assert set(now.scores("waiting")) == set(waiters)
        for slot, size in SLOTS.items():
            taken = len(now.scores(f"slots:{slot}"))
            assert taken <= size, f"I5: {taken} hold the {size} slots of {slot}"
            assert taken == size or slot not in waiters.values(), "somebody waits for a free slot"
        assert set(now.hash("sizes")) == set(waiters.values())

    def _parked_work_is_in_its_group(self, now: Snapshot) -> None:
        groups: dict[str, set[str]] = {}
        for entry in self.model.live():
            if entry.state is S.PARKED:
                what = entry.rule if entry.reason == "struck" else entry.task
                groups.setdefault(f"{entry.reason}:{what}", set()).add(entry.key)
        assert {name: set(now.scores(f"parked:{name}")) for name in now.named("parked:")} == groups
        assert now.members("parked-groups") == set(groups)

    def _bells_have_rung(self, now: Snapshot) -> None:
        for message in now.messages:
            if message.consumer is None and message.holder not in self.by_hand:
                queue = message.queue or "default"
                bell = "bell:fast" if message.queue else "bell"
                is_heard = bell in now.kept or queue in self.awake
                assert is_heard, f"nobody is woken for {message}"

    def _nothing_else_is_kept(self, now: Snapshot) -> None:
        for name in now.kept:
            assert DOCUMENTED.fullmatch(name), f"{name} is not a key of ours"
        for kind in ("results", "progress"):
            for key, kept in now.named(f"{kind}:").items():
                assert key in self.model.entries or kept.ttl > 0, f"{kind}:{key} is left behind"

    def _states_moved_along_the_table(self, now: Snapshot) -> None:
        for key, state in self.bench.announced():
            before = self.states.get(key)
            assert state in TRANSITIONS[before], f"I8: {key} moved from {before} to {state}"
            self.states[key] = state
        for key, entry in self.model.entries.items():
            assert self.states.get(key) is entry.state, f"the event of {key} is missing"

    # The end

    def teardown(self) -> None:
        """Everything comes to an end, and nothing is left."""
        if sys.exc_info()[0] is not None:
            return  # A step has failed already: what is left says nothing.
        for identity in ("task:a", "task:b", ARGUMENT_RULE):
            self.model.rules.pop(identity, None)
            self.bench.do(self.storage.strikes.change("restore", identity))
        for _ in range(40):
            if not self.model.live() and not self.bench.snapshot().messages:
                break
            self._bring_to_an_end()
        self.everything_is_where_it_belongs()
        assert not self.model.live(), "some work cannot be brought to its end"
        for key in list(self.model.entries):
            self._expire(key)
        left = self.bench.snapshot()
        assert not left.messages, "messages are left on a stream"
        for name, kept in left.kept.items():
            assert FOR_EVER.fullmatch(name) or kept.ttl > 0, f"{name} is left behind"

    def _a_check_finds_nothing(self) -> None:
        async def look() -> list[Mismatch]:
            pages = self.storage.checks.walk(repair=False)
            return [one async for looked in pages for one in looked.mismatches]

        # The record of a dead letter is ended by a step, before its time in the index.
        found = [one for one in self.bench.do(look()) if one.kind != "dead-stale"]
        assert not found, found

    def _bring_to_an_end(self) -> None:
        self._acquit()
        self._unpark(set(TASKS))
        for entry in self.model.live():
            self._its_time_comes(entry.key)
        for message in self.bench.snapshot().messages:
            if message.consumer:
                self._end_lease(message)
        before = self.bench.snapshot()
        holding = {message.consumer for message in before.messages}
        for name in before.named("orphans:").keys() - holding:
            # Whoever ran them is gone for good, and holds nothing whose lease would end.
            gone = release(self.storage.connection, self.storage.keys, name, [])
            self.bench.do(gone)
        self._granted(self.bench.snapshot())
        self.seen = self.bench.snapshot()
        worker = self.workers[1]
        worker.die()
        self._trade(worker, [], 100)
        self.everything_is_where_it_belongs()
        runs = list(worker.held.values())
        self._trade(worker, [(run, self._settlement(run, "completed")) for run in runs], 0)
        self.everything_is_where_it_belongs()


def _ttl() -> timedelta:
    return timedelta(milliseconds=TTL)


def _plainly(verdict: Verdict) -> Verdict:
    """A refusal is one: whether the message has changed since is told to nobody but the log."""
    return Verdict.SUPERSEDED if verdict is Verdict.STALE else verdict


def _slot(claimed: Claimed) -> str:
    return f"{claimed.task} of {claimed.queue or 'default'}"


KINDS = (MEMORY, "redis-6.2", "cluster")
EXAMPLES = {MEMORY: 70, "redis-6.2": 20, "cluster": 16}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(kind, marks=() if kind == MEMORY else pytest.mark.fleet) for kind in KINDS
    ],
)
def bench(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[tuple[str, Bench]]:
    kind: str = request.param
    url = "memory://properties" if kind == MEMORY else fleet.url(kind)
    with Bench(url, f"machine-{uuid.uuid4().hex[:12]}") as bench:
        yield kind, bench


def test_whatever_happens_nothing_is_lost_and_every_outcome_is_one(
    bench: tuple[str, Bench],
) -> None:
    kind, docket = bench

    class Machine(StorageMachine):
        def __init__(self) -> None:
            super().__init__(docket)

    run_state_machine_as_test(Machine, settings=budget(EXAMPLES[kind], steps=50, thorough=80))
