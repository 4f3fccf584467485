"""Limits hold whoever dies: never too many at a time, one winner of each race, nothing left behind.

Random calls on several workers of which some are killed or drained. What the server counts is checked by
what the server has written down, what runs at a time by a ledger outside of it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docket import (
    ConcurrencyLimit,
    Cooldown,
    CurrentExecution,
    Debounce,
    Docket,
    Execution,
    ExecutionState,
    Perpetual,
    RateLimit,
    Retry,
)
from docket.storage.executions import Record
from docket.storage.limits import Entrant, GateAnswer, Question, Word
from tests.conformance.conftest import until

from .budget import budget
from .crew import Crew, nothing_is_left

pytestmark = pytest.mark.thorough

S = ExecutionState
T = TypeVar("T")

ATTEMPTS = 3


@dataclass(frozen=True)
class Call:
    """One call: in which lane, and how often it fails first."""

    lane: int
    failures: int


@dataclass(frozen=True)
class Blow:
    """After so many starts a worker is killed or drained."""

    after: int
    verb: str
    pick: int


@dataclass(frozen=True)
class Program:
    """Calls, the size of the limit, workers, and what they suffer."""

    calls: list[Call]
    size: int
    workers: int
    concurrency: int
    blows: list[Blow]


programs = st.builds(
    Program,
    st.lists(
        st.builds(Call, st.integers(0, 1), st.integers(0, ATTEMPTS - 1)), min_size=2, max_size=9
    ),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 4),
    st.lists(
        st.builds(Blow, st.integers(0, 8), st.sampled_from(["kill", "drain"]), st.integers(0, 2)),
        max_size=2,
    ),
)
SETTLE = timedelta(milliseconds=500)
"""Within this all submissions come to the gate, also where the machine has much else to do."""

small = budget(examples=8, steps=1, thorough=60)


class Stage:
    """One docket with a crew, for one program."""

    def __init__(self, docket: Docket, program: Program) -> None:
        self.docket = docket
        self.program = program
        self.crew = Crew(docket, program.workers, program.concurrency)
        self.keys = [f"k{number}" for number in range(len(program.calls))]

    async def add(self, task: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        """All calls at once."""
        self.docket.register(task, ["task"])
        calls = zip(self.keys, self.program.calls, strict=True)
        await self.docket.add_many(
            [self.docket.call("task", key=key)(call.lane, call.failures) for key, call in calls]
        )

    async def play(self) -> list[Record]:
        """Have the crew work and suffer until all has ended; tells how."""
        async with self.crew:
            for blow in self.program.blows:
                await self.crew.ledger.until_started(blow.after)
                await (self.crew.kill if blow.verb == "kill" else self.crew.drain)(blow.pick)
            await until(self._all_have_ended, 20)
        await nothing_is_left(self.docket)
        return await self.records()

    async def records(self) -> list[Record]:
        """All executions as they stand."""
        records = await self.docket.storage.executions.read(*self.keys)
        assert None not in records, "no acknowledged key is absent"
        return [record for record in records if record is not None]

    async def _all_have_ended(self) -> bool:
        return all(record.state.is_terminal for record in await self.records())

    @property
    def kills(self) -> int:
        """How many workers are killed."""
        return sum(blow.verb == "kill" for blow in self.program.blows)


@asynccontextmanager
async def stage(program: Program) -> AsyncGenerator[Stage]:
    """A stage of its own."""
    async with Docket(f"gates-{uuid.uuid4().hex[:12]}", "memory://properties") as docket:
        yield Stage(docket, program)


def fail(execution: Execution, failures: int) -> None:
    """Fail that often before it goes well."""
    if execution.attempt <= failures:
        raise ArithmeticError(execution.attempt)


@small
@given(programs)
def test_no_more_run_at_a_time_than_their_lane_allows(program: Program) -> None:
    async def perform() -> None:
        async with stage(program) as on:

            async def task(
                lane: Annotated[int, ConcurrencyLimit(program.size)],
                failures: int,
                execution: Execution = CurrentExecution(),
                retry: Retry = Retry(attempts=ATTEMPTS),
            ) -> None:
                with on.crew.ledger.run(execution, lane):
                    running = Counter(start.number for start in on.crew.ledger.running())
                    assert running[lane] <= program.size
                    await asyncio.sleep(0.01)
                    fail(execution, failures)

            await on.add(task)
            for record, call in zip(await on.play(), program.calls, strict=True):
                assert (record.state, record.attempt) == (S.COMPLETED, call.failures + 1), (
                    record,
                    [x for x in on.crew.ledger.starts if x.key == record.key],
                )

    asyncio.run(perform())


@small
@given(programs)
def test_one_start_wins_a_cooldown(program: Program) -> None:
    async def perform() -> None:
        async with stage(program) as on:

            async def task(
                lane: Annotated[int, Cooldown(timedelta(minutes=1))],
                failures: int,
                execution: Execution = CurrentExecution(),
                retry: Retry = Retry(attempts=ATTEMPTS),
            ) -> None:
                with on.crew.ledger.run(execution, lane):
                    await asyncio.sleep(0.01)
                    fail(execution, failures)

            await on.add(task)
            ends = Counter[tuple[int, str]]()
            for record, call in zip(await on.play(), program.calls, strict=True):
                ends[call.lane, record.state.value] += 1
            for lane in {call.lane for call in program.calls}:
                assert ends[lane, "completed"] == 1
            assert ends.total() == ends[0, "completed"] + ends[1, "completed"] + (
                ends[0, "cancelled"] + ends[1, "cancelled"]
            )

    asyncio.run(perform())


@small
@given(programs)
def test_one_submission_wins_a_debounce(program: Program) -> None:
    async def perform() -> None:
        async with stage(program) as on:

            async def task(
                lane: Annotated[int, Debounce(SETTLE)],
                failures: int,
                execution: Execution = CurrentExecution(),
                retry: Retry = Retry(attempts=ATTEMPTS),
            ) -> None:
                with on.crew.ledger.run(execution, lane):
                    await asyncio.sleep(0.01)
                    fail(execution, failures)

            await on.add(task)
            won = Counter[int]()
            for record, call in zip(await on.play(), program.calls, strict=True):
                assert record.state in (S.COMPLETED, S.CANCELLED)
                won[call.lane] += record.state is S.COMPLETED
            for lane in {call.lane for call in program.calls}:
                # What a worker had just claimed when it was killed comes late, and is a submission anew.
                assert 1 <= won[lane] <= 1 + on.kills

    asyncio.run(perform())


def note_admissions(docket: Docket) -> dict[str, int]:
    """When each run was let in first, as the server says; one that is delivered again has started before."""
    limits, admitted = docket.storage.limits, dict[str, int]()
    admit = limits.admit

    async def note(run: Entrant, questions: Sequence[Question]) -> GateAnswer:
        answer = await admit(run, questions)
        if answer.word is Word.ADMITTED:
            admitted.setdefault(run.identity, answer.milliseconds)
        return answer

    async def noting(run: Entrant, questions: Sequence[Question]) -> GateAnswer:
        # A worker that is killed meanwhile does not hear the answer, but the run was let in.
        return await asyncio.shield(asyncio.create_task(note(run, questions)))

    limits.admit = noting  # type: ignore[method-assign]
    return admitted


@small
@given(programs)
def test_no_window_has_more_starts_than_its_rate(program: Program) -> None:
    per = timedelta(milliseconds=60)

    async def perform() -> None:
        async with stage(program) as on:
            admitted = note_admissions(on.docket)

            async def task(
                lane: int,
                failures: int,
                execution: Execution = CurrentExecution(),
                rate: RateLimit = RateLimit(program.size, per=per),
            ) -> None:
                with on.crew.ledger.run(execution, lane):
                    pass

            await on.add(task)
            for record in await on.play():
                assert record.state is S.COMPLETED
            moments = sorted(admitted.values())
            assert len(moments) == len(program.calls)
            for first, next_one in zip(moments, moments[program.size :], strict=False):
                assert next_one - first >= per / timedelta(milliseconds=1)

    asyncio.run(perform())


@small
@given(programs)
def test_a_perpetual_task_has_one_next_run_after_each(program: Program) -> None:
    runs = 5

    async def perform() -> None:
        async with stage(program) as on:

            async def task(
                lane: int,
                failures: int,
                execution: Execution = CurrentExecution(),
                perpetual: Perpetual = Perpetual(),
            ) -> None:
                with on.crew.ledger.run(execution, lane):
                    await asyncio.sleep(0.005)
                    if lane == runs:
                        perpetual.cancel()
                    else:
                        perpetual.perpetuate(lane + 1, failures)

            await on.add(task)
            for record, call in zip(await on.play(), program.calls, strict=True):
                assert (record.state, record.generation) == (S.COMPLETED, runs + 1 - call.lane)
                starts = Counter(
                    start.number for start in on.crew.ledger.starts if start.key == record.key
                )
                assert set(starts) == set(range(call.lane, runs + 1))
                if record.key not in on.crew.disturbed:
                    assert set(starts.values()) == {1}

    asyncio.run(perform())
