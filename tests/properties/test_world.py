"""Every verb, gate and fault on real workers, in any order: what a caller was told is true, and stays so.

The storage machine holds the scripts against a model; this one speaks as users and operators do, by the
public API, and looks at what the tasks themselves have seen. Time stands still but for a step of its own,
and each step is followed until nothing moves any more.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, cast

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from docket import Disposition, ExecutionState
from docket.storage.executions import Record
from tests.routing import route

from .budget import budget
from .world import ATTEMPTS, GATES, PER, RATE, SCHEDULES, SLOTS, WINDOW, Body, World

pytestmark = pytest.mark.thorough

S = ExecutionState

KEYS = ("k1", "k2", "k3", "k4")
LANES = ("x", "y")
TASKS = (*GATES, "keeps")
LIVE = (S.SCHEDULED, S.QUEUED, S.RUNNING, S.PARKED)

keys = st.sampled_from(KEYS)
lanes = st.sampled_from(LANES)
tasks = st.sampled_from(TASKS)
which = st.integers(0, 2)
picks = st.integers(0, 11)


@dataclass(eq=False)
class Call:
    """One call, what became of it, and what may still."""

    number: int
    key: str
    task: str
    lane: str
    failures: int
    fate: Literal["accepted", "refused", "superseded", "cancelled", "destroyed"] = "accepted"
    end: S | None = None
    kills: int = 0
    """How many workers died under it."""
    hand_backs: int = 0
    may_be_struck: bool = False
    """Whether a strike that drops was in force for it while it had not ended."""

    def has(self, *gates: str) -> bool:
        """Whether its task has one of these gates."""
        return any(gate in self.task for gate in gates)


class WorldMachine(RuleBasedStateMachine):
    """Random steps, and what must hold after each."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.world = World(url)
        self.world.__enter__()
        self.world.on_start = self._started
        self.world.on_death = self._died
        self.calls: list[Call] = []
        self.current: dict[str, Call] = {}
        self.tasks: tuple[str, ...] = ()
        """Those of this example: few, so that they meet."""
        self.strikes: dict[str, str] = {}
        """The action of the strike on each target: a task, or a lane."""
        self.expiring: dict[str, float] = {}
        """When strikes come to their end by themselves."""
        self.by_hand: set[str] = set()
        """Runs of schedules that were filled in, or replaced: they wait for nobody."""
        self.has_schedules = False
        self.has_wreck = False
        self.is_taught = False
        self.complaints: list[str] = []

    # What tasks see

    def _started(self, body: Body) -> None:
        if body.number >= 0:
            self._call_started(body, self.calls[body.number])
        others = [other for other in self.world.held() if other is not body]
        if "slot" in body.task:
            running = [other for other in others if other.task == body.task]
            if len(running) >= SLOTS:
                self._complain(f"{body} runs beside {running}")
        if self._takes_turns(body):
            name = body.key.partition("@")[0]
            if any(one.key.startswith(name) for one in others if self._takes_turns(one)):
                self._complain(f"{body} does not wait for its turn")
        same = [other for other in others if (other.key, other.number) == (body.key, body.number)]
        # A run of a schedule that somebody has replaced looks like the one before it.
        if same and body.key not in self.by_hand:
            self._complain(f"{body} runs beside itself: {same}")

    def _takes_turns(self, body: Body) -> bool:
        """Whether it is a run that its schedule has made by itself, and lets run alone."""
        return body.key.startswith(("skips@2", "queues@2")) and body.key not in self.by_hand

    def _call_started(self, body: Body, call: Call) -> None:
        if call.fate != "accepted":
            self._complain(f"{body} was {call.fate}, and starts")
        if call.end is not None:
            self._complain(f"{body} starts after it has ended as {call.end}")
        actions = self._actions(call)
        if actions:
            self._complain(f"{body} starts although a strike says {actions}")
        mine = self.world.starts(call.number)[body.attempt]
        if call.task != "keeps" and mine > 1 + call.kills + call.hand_backs:
            self._complain(f"{body} is started {mine} times for nothing")
        if "rate" in call.task:
            self._look_at_rate(body)
        if "cool" in call.task and body.attempt == 1:
            self._look_at_cooldown(body)

    def _look_at_rate(self, body: Body) -> None:
        # One that is delivered again has counted already.
        first = {
            (b.number, b.attempt): b.at for b in reversed(self.world.bodies) if b.task == body.task
        }
        window = PER.total_seconds() - 0.0005  # times are whole milliseconds, as floats
        recent = [at for at in first.values() if body.at - window < at]
        if len(recent) > RATE:
            self._complain(f"{body} is start number {len(recent)} of {RATE} within {PER}")

    def _look_at_cooldown(self, body: Body) -> None:
        others = [
            other
            for other in self.world.bodies
            if other.task == body.task and other.number != body.number and other.attempt == 1
        ]
        for other in others:
            # The docket's time stands still between steps. The mark expires by the clock of the
            # server, which goes on.
            passed = body.at - other.at + body.wall - other.wall
            if passed < WINDOW.total_seconds() - 1:
                self._complain(f"{body} starts while {other} cools down")

    def _complain(self, sentence: str) -> None:
        self.complaints.append(sentence)

    def _actions(self, call: Call) -> set[str]:
        return {self.strikes[target] for target in (call.task, call.lane) if target in self.strikes}

    # Which of two workers is the faster one differs from run to run. So no precondition may look at what has
    # happened, only at what was done: the same steps must be possible whenever a story is told again.

    # Callers

    @initialize(first=tasks, second=tasks, is_scheduled=st.sampled_from([False, False, True]))
    def begin(self, first: str, second: str, is_scheduled: bool) -> None:
        self.tasks = (first, first, second)
        if is_scheduled:
            self.world.do(self.world.declare(SCHEDULES))
            self.has_schedules = True

    @rule(plan=st.lists(st.tuples(keys, which, lanes), min_size=1, max_size=4))
    def add_several(self, plan: list[tuple[str, int, str]]) -> None:
        for key, task, lane in plan:
            self._add("add", key, self.tasks[task], lane, 0, 0, 0)
            self.world.do(self.world.quiet())

    @rule(
        mode=st.sampled_from(["add", "replace"]),
        key=keys,
        task=which,
        lane=lanes,
        failures=st.sampled_from([0, 0, 1, ATTEMPTS]),
        delay=st.sampled_from([0, 0, 0, 5, 30]),
        lost=st.sampled_from([0, 0, 0, 1]),
    )
    def add(
        self, mode: str, key: str, task: int, lane: str, failures: int, delay: float, lost: int
    ) -> None:
        self._add(mode, key, self.tasks[task], lane, failures, delay, lost)

    def _add(
        self, mode: str, key: str, task: str, lane: str, failures: int, delay: float, lost: int
    ) -> None:
        call = Call(len(self.calls), key, task, lane, 0 if task == "keeps" else failures)
        actions = self._actions(call)
        if {"drop", "park"} <= actions:
            return  # which of two rules is found first is nobody's promise
        self.calls.append(call)
        before = self.world.do(self.world.records(key)).get(key)
        expected = self._expected(mode, before, actions)
        former = self.current.get(key)
        if "drop" in actions or expected is Disposition.ALREADY_SCHEDULED:
            call.fate = "refused"
        else:
            if former and former.fate == "accepted":
                former.fate = "superseded"
            self.current[key] = call
        self.world.lose(lost)
        when = self.world.moment(delay) if delay else None
        docket = self.world.docket
        make = (
            docket.replace(task, when or self.world.moment(0), key)
            if mode == "replace"
            else docket.add(task, when, key)
        )
        arguments = (call.number, lane) if task == "keeps" else (call.number, lane, failures)
        execution = self.world.do(make(*arguments))
        assert execution.disposition is expected, (execution.disposition, expected, before)

    def _expected(self, mode: str, before: Record | None, actions: set[str]) -> Disposition:
        if "drop" in actions:
            return Disposition.STRUCK
        if mode == "add" and before and before.state.is_live:
            return Disposition.ALREADY_SCHEDULED
        return Disposition.STRUCK if "park" in actions else Disposition.SCHEDULED

    @precondition(lambda self: self.calls)
    @rule(key=keys, lost=st.sampled_from([0, 0, 1]))
    def cancel(self, key: str, lost: int) -> None:
        before = self.world.do(self.world.records(key)).get(key)
        self.world.lose(lost)
        self.world.do(self.world.docket.cancel(key))
        call = self.current.get(key)
        if before and before.state.is_live and call and call.fate == "accepted":
            call.fate = "cancelled"

    @precondition(lambda self: self.calls)
    @rule()
    def clear(self) -> None:
        before = self.world.do(self.world.records(*self.current))
        gone = [key for key, one in before.items() if one.state in (S.SCHEDULED, S.QUEUED)]
        self.world.do(self.world.docket.clear())
        for key in gone:
            if self.current[key].fate == "accepted":
                self.current[key].fate = "cancelled"

    # Tasks

    @precondition(lambda self: self.calls)
    @rule(which=st.lists(picks, min_size=1, max_size=3), lost=st.sampled_from([0, 0, 1]))
    def let_go(self, which: list[int], lost: int) -> None:
        held = self.world.held()
        self.world.lose(lost)
        for pick in which if held else ():
            held[pick % len(held)].end.set()

    # Operators

    @rule(
        struck=st.sampled_from(["0", "2", *LANES]),
        action=st.sampled_from(["drop", "park", "delay"]),
        expires=st.sampled_from([None, 15]),
    )
    def strike(
        self, struck: str, action: Literal["drop", "park", "delay"], expires: int | None
    ) -> None:
        struck = struck if struck in LANES else self.tasks[int(struck)]
        if struck in self.strikes:
            return
        which = (None, "lane") if struck in LANES else (struck, None)
        self.world.do(
            self.world.docket.strike(
                *which,
                "==",
                struck if struck in LANES else None,
                action=action,
                delay=timedelta(seconds=5) if action == "delay" else None,
                expires=self.world.moment(expires) if expires else None,
            )
        )
        self.strikes[struck] = action
        self._drops()
        if expires:
            self.expiring[struck] = self.world.now + expires

    def _drops(self) -> None:
        for call in self.current.values():
            call.may_be_struck |= "drop" in self._actions(call)

    @precondition(lambda self: self.strikes)
    @rule(pick=picks)
    def restore(self, pick: int) -> None:
        self._restore(list(self.strikes)[pick % len(self.strikes)])

    def _restore(self, target: str) -> None:
        del self.strikes[target]
        self.expiring.pop(target, None)
        lane = target in LANES
        self.world.do(
            self.world.docket.restore(
                None if lane else target, "lane" if lane else None, "==", target if lane else None
            )
        )

    @rule(task=which, queue=st.sampled_from(["default", "fast"]))
    def route(self, task: int, queue: str) -> None:
        routes = {self.tasks[task]: queue} if queue != "default" else {}
        self.world.do(route(self.world.docket.storage, routes))

    # Schedules

    @precondition(lambda self: self.has_schedules)
    @rule(
        name=st.sampled_from(["skips", "queues", "cancels"]),
        verb=st.sampled_from(["pause", "resume", "skip", "trigger", "backfill"]),
    )
    def steer(self, name: str, verb: str) -> None:
        self.world.do(self._steer(name, verb))

    async def _steer(self, name: str, verb: str) -> None:
        timetable = self.world.timetable
        entry = await timetable.find(name)
        match verb:
            case "pause":
                await timetable.pause(entry, by="test")
            case "resume":
                await timetable.resume(entry)
            case "skip":
                await timetable.skip_next(entry)
            case "trigger":
                await timetable.trigger(entry)
            case _:
                now = self.world.moment(0)
                runs = await timetable.backfill(entry, now - timedelta(minutes=1), now)
                self.by_hand.update(run.key for run in runs if run.word != "ALREADY")

    @precondition(lambda self: self.has_schedules)
    @rule(pick=picks, verb=st.sampled_from(["cancel", "replace"]))
    def a_run_of_a_schedule_is_taken_away(self, pick: int, verb: str) -> None:
        self.world.do(self._take_away(pick, verb))

    async def _take_away(self, pick: int, verb: str) -> None:
        snapshot = await self.world.snapshot()
        runs = [name for name in snapshot.named("runs:") if "@" in name]
        if not runs:
            return
        key = sorted(runs)[pick % len(runs)]
        if verb == "cancel":
            await self.world.docket.cancel(key)
        else:
            self.by_hand.add(key)
            await self.world.docket.replace("tick", self.world.moment(0), key)()

    # Faults

    @rule(seconds=st.sampled_from([1, 3, 10, 30]))
    def time_passes(self, seconds: int) -> None:
        # Rules that have come to their end no longer count from here on.
        over = self.expiring
        for target, at in list(over.items()):
            if at <= self.world.now + seconds:
                over.pop(target)
                self.strikes.pop(target, None)
        self.world.do(self.world.wait(seconds))

    @precondition(lambda self: self.calls)
    @rule(pick=picks)
    def a_worker_dies(self, pick: int) -> None:
        self.world.do(self.world.kill(pick))

    def _died(self, body: Body) -> None:
        if body.number >= 0:
            self.calls[body.number].kills += 1

    @precondition(lambda self: self.calls)
    @rule(pick=picks)
    def a_worker_drains(self, pick: int) -> None:
        for body in self.world.held():
            if body.number >= 0:
                self.calls[body.number].hand_backs += 1
        self.world.do(self.world.drain(pick))

    @precondition(lambda self: self.calls)
    @rule()
    def a_zombie_ends(self) -> None:
        for body in self.world.bodies:
            if body.is_zombie:
                body.end.set()

    @precondition(lambda self: self.calls)
    @rule()
    def records_expire(self) -> None:
        """What has ended is forgotten; its keys may be used again."""
        for key in [key for key, call in self.current.items() if call.end is not None]:
            del self.current[key]
            keys = self.world.docket.storage.keys
            names = [keys.run(key), keys.result(key), keys.progress(key)]
            self.world.do(self.world.send("DEL", *names))
            # The index forgets dead letters by their age, as their records do.
            self.world.do(self.world.send("ZREM", keys.dead, key))

    @precondition(lambda self: not self.has_wreck)
    @rule(task=which, delay=st.sampled_from([0, 30]))
    def a_record_is_of_a_wrong_type(self, task: int, delay: int) -> None:
        """Its own execution is lost by that; nothing else may suffer."""
        self._add("replace", "wreck", self.tasks[task], "x", 0, delay, 0)
        self.world.do(self.world.quiet())
        call = self.current.pop("wreck", None)
        if call is None:
            return
        call.fate, self.has_wreck = "destroyed", True
        name = self.world.docket.storage.keys.run("wreck")
        self.world.do(self.world.send("SET", name, "somebody else's"))
        for body in self.world.held():
            if body.number == call.number:
                body.end.set()

    @precondition(lambda self: not self.is_taught)
    @rule(teach=st.booleans())
    def a_task_is_unknown(self, teach: bool) -> None:
        if teach:
            self.is_taught = True
            self.world.teach()
        else:
            self.world.do(self.world.stranger.add("later")())

    # What must hold

    @invariant()
    def what_was_told_is_true(self) -> None:
        self.world.do(self.world.quiet())
        self._drops()
        assert not self.complaints, self.complaints
        records = self.world.do(self.world.records(*self.current))
        for key, call in self.current.items():
            assert key in records, f"{call} is absent"
            self._is_as_told(call, records[key])

    def _is_as_told(self, call: Call, record: Record) -> None:
        held = [body for body in self.world.held() if body.number == call.number]
        assert record.task == call.task, (call, record)
        if call.fate == "cancelled":
            assert record.state is S.CANCELLED, (call, record)
        if call.end is not None:
            assert record.state is call.end, f"{call} has ended, and is {record.state}"
        if record.state.is_terminal:
            assert not held, f"{call} has ended, and runs: {held}"
            self._ended_rightly(call, record)
            call.end = record.state
        elif record.state is S.RUNNING:
            assert len(held) <= 1, held
        else:
            assert not held, f"{call} is {record.state}, and runs: {held}"

    def _ended_rightly(self, call: Call, record: Record) -> None:
        bodies = [body for body in self.world.bodies if body.number == call.number]
        match record.state:
            case S.COMPLETED:
                assert any(body.has_succeeded for body in bodies), (call, record)
                assert record.fence in [body.fence for body in bodies if body.has_succeeded]
                if call.task != "keeps":
                    assert self.world.do(self.world.result(call.key)) == call.number
            case S.FAILED if record.reason == "crashed":
                assert call.kills >= 3, (call, record)
            case S.FAILED:
                assert call.failures >= ATTEMPTS, (call, record)
                assert max(body.attempt for body in bodies) == ATTEMPTS
            case _:
                is_dropped = call.has("cool", "bounce") or call.may_be_struck
                assert call.fate == "cancelled" or is_dropped, (call, record)

    # The end

    def teardown(self) -> None:
        try:
            # A step that has failed says more than what comes of it.
            if sys.exc_info()[0] is None:
                self._everything_ends()
        finally:
            self.world.__exit__()

    def _everything_ends(self) -> None:
        for target in list(self.strikes):
            self._restore(target)
        self.world.is_free = True
        if not self.is_taught:
            self.world.teach()
        if self.has_wreck:
            name = self.world.docket.storage.keys.run("wreck")
            self.world.do(self.world.send("DEL", name))
        for body in self.world.bodies:
            body.end.set()
        self.world.do(self.world.declare('[tasks.tick]\nfunction = "m:f"\n'))
        self._until(lambda: self.world.do(self._live()))
        self._gates_have_let_one_in()
        self._until(lambda: self.world.do(self.world.leftovers()))

    def _until(self, rest: Callable[[], Sequence[object]]) -> None:
        """Let time pass until nothing of this is left; what the dead held is found within a second."""
        deadline = time.monotonic() + 60
        while left := rest():
            assert time.monotonic() < deadline, f"does not come to an end: {left}"
            self.world.do(self.world.wait(10))
            self.what_was_told_is_true()
            time.sleep(0.01)

    async def _live(self) -> list[Record]:
        snapshot = await self.world.snapshot()
        records = await self.world.records(*snapshot.named("runs:"))
        return [record for record in records.values() if not record.state.is_terminal]

    def _gates_have_let_one_in(self) -> None:
        """A gate drops calls in favour of one that runs; without that one it has lost them all."""
        left_alone: defaultdict[str, list[Call]] = defaultdict(list)
        touched = {
            call.task
            for call in self.calls
            if call.fate in ("superseded", "cancelled", "destroyed") or call.may_be_struck
        }
        for call in self.calls:
            if call.fate == "accepted" and call.has("cool", "bounce") and call.task not in touched:
                left_alone[call.task].append(call)
        for task, calls in left_alone.items():
            assert any(call.end is not S.CANCELLED for call in calls), f"nobody won {task}"


def test_every_verb_gate_and_fault_in_any_order() -> None:
    run_state_machine_as_test(
        cast(Any, lambda: WorldMachine("memory://properties")),
        # Which of two workers is the faster one differs from run to run: no story can be made smaller.
        settings=settings(budget(examples=10, steps=25, thorough=180), phases=[Phase.generate]),
    )
