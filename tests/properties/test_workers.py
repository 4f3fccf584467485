"""Whatever tasks do, and whoever dies: every execution ends once, as the last of its runs did.

Random programs run on real workers on a real server, several in one process. Tasks succeed, fail, are tried
again, are cancelled and replaced while they run, and workers are killed without a word. Events are
triggered by starts, never by a clock; every start is written down outside of Redis.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docket import CurrentExecution, Docket, Execution, ExecutionState, Retry
from docket.storage.executions import Record
from tests.conformance.conftest import until

from .budget import budget
from .crew import Crew, nothing_is_left

pytestmark = pytest.mark.thorough

S = ExecutionState

ATTEMPTS = 3
KEYS = ("k0", "k1", "k2", "k3", "k4")


@dataclass(frozen=True)
class Behaviour:
    """What a call does: fails so often first, and waits in the middle or does not."""

    failures: int
    is_held: bool

    @property
    def end(self) -> ExecutionState:
        """How it ends if it is left alone."""
        return S.COMPLETED if self.failures < ATTEMPTS else S.FAILED

    @property
    def starts(self) -> int:
        """How often it starts if it is left alone."""
        return min(self.failures + 1, ATTEMPTS)


@dataclass(frozen=True)
class Event:
    """What happens, after so many starts altogether."""

    after: int
    verb: str
    what: int
    behaviour: Behaviour


@dataclass(frozen=True)
class Program:
    """Calls by key, how many workers there are and how wide they are, and what happens meanwhile."""

    calls: list[Behaviour]
    workers: int
    concurrency: int
    events: list[Event]


behaviours = st.builds(Behaviour, st.integers(0, ATTEMPTS), st.booleans())
programs = st.builds(
    Program,
    st.lists(behaviours, min_size=1, max_size=len(KEYS)),
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(
        st.builds(
            Event,
            st.integers(0, 8),
            st.sampled_from(["kill", "cancel", "replace", "drain"]),
            st.integers(0, 9),
            behaviours,
        ),
        max_size=4,
    ),
)


class Performance:
    """One program while it runs."""

    def __init__(self, docket: Docket, program: Program) -> None:
        self.docket = docket
        self.program = program
        self.crew = Crew(docket, program.workers, program.concurrency)
        self.released = asyncio.Event()
        self.calls: dict[str, list[Behaviour]] = {}
        """By key; the last one is the one that counts."""
        self.cancelled: set[str] = set()
        docket.register(self.task, ["task"])

    async def task(
        self,
        number: int,
        failures: int,
        is_held: bool,
        execution: Execution = CurrentExecution(),
        retry: Retry = Retry(attempts=ATTEMPTS),
    ) -> int:
        """Do as the behaviour says, and return the fence of this run."""
        with self.crew.ledger.run(execution, number) as start:
            if is_held:
                await self.released.wait()
            if execution.attempt <= failures:
                raise ArithmeticError(execution.attempt)
            return start.fence

    async def run(self) -> None:
        """From the first add to the last outcome, and what must be true then."""
        for key, behaviour in zip(KEYS, self.program.calls, strict=False):
            await self._add(key, behaviour)
        async with self.crew:
            for event in self.program.events:
                await self.crew.ledger.until_started(event.after)
                await self._happen(event)
            self.released.set()
            await until(self._all_have_ended, 20)
        await self._audit()

    async def _add(self, key: str, behaviour: Behaviour) -> None:
        number = len(self.calls.setdefault(key, []))
        self.calls[key].append(behaviour)
        now = datetime.now(timezone.utc)
        add = self.docket.replace("task", now, key) if number else self.docket.add("task", key=key)
        await add(number, behaviour.failures, behaviour.is_held)

    async def _happen(self, event: Event) -> None:
        key = KEYS[event.what % len(self.program.calls)]
        match event.verb:
            case "kill":
                await self.crew.kill(event.what)
            case "drain":
                await self.crew.drain(event.what)
            case "cancel":
                self.cancelled.add(key)
                await self.docket.cancel(key)
            case _:
                self.cancelled.discard(key)
                await self._add(key, event.behaviour)

    async def _records(self) -> dict[str, Record]:
        records = await self.docket.storage.executions.read(*self.calls)
        return {record.key: record for record in records if record is not None}

    async def _all_have_ended(self) -> bool:
        return all(record.state.is_terminal for record in (await self._records()).values())

    async def _audit(self) -> None:
        records = await self._records()
        assert set(records) == set(self.calls), "no acknowledged key is absent"
        for key, record in records.items():
            await self._ended_as_its_last_run(key, record)
        await nothing_is_left(self.docket)

    async def _ended_as_its_last_run(self, key: str, record: Record) -> None:
        behaviour, number = self.calls[key][-1], len(self.calls[key]) - 1
        starts = [start for start in self.crew.ledger.starts if start.key == key]
        if record.state is S.CANCELLED:
            assert key in self.cancelled
            return
        if record.reason == "crashed":
            assert record.crashes == 3
            assert len([event for event in self.program.events if event.verb == "kill"]) >= 3
            return
        assert record.state is behaviour.end
        assert record.fence == max(start.fence for start in starts), "the last run is what counts"
        mine = [start for start in starts if start.number == number]
        assert record.fence == max(start.fence for start in mine)
        assert record.attempt == behaviour.starts
        if record.state is S.COMPLETED:
            execution = await self.docket.get_execution(key)
            assert execution is not None
            assert await execution.get_result() == record.fence
        if key not in self.crew.disturbed:
            assert len(mine) == behaviour.starts, "nothing is started without need"


@budget(examples=26, steps=1, thorough=60)
@given(programs)
def test_every_execution_ends_once_as_the_last_of_its_runs_did(program: Program) -> None:
    async def perform() -> None:
        async with Docket(f"program-{uuid.uuid4().hex[:12]}", "memory://properties") as docket:
            await Performance(docket, program).run()

    asyncio.run(perform())
