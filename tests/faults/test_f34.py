"""F34: all pairs of gates, in both orders of declaration, contended, while a worker is killed.

Every run that is let in starts within its bound, no limit is exceeded, and a cooldown or a debounce has
exactly one winner.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    CurrentExecution,
    Debounce,
    Docket,
    Execution,
    ExecutionState,
    RateLimit,
)
from docket.storage.limits import Answer, Entrant, Question, Word
from tests.compat.conftest import until
from tests.properties.crew import Crew, nothing_is_left

RUNS, SLOTS, STARTS = 8, 2, 3
RUN, PER, SETTLE = 0.05, 0.2, 0.15

GATES: dict[str, Any] = {
    "cooldown": Cooldown(timedelta(hours=1)),
    "debounce": Debounce(timedelta(seconds=SETTLE)),
    "slot": ConcurrencyLimit(max_concurrent=SLOTS),
    "rate": RateLimit(STARTS, per=timedelta(seconds=PER)),
}


def gated(names: Sequence[str], body: Any) -> Any:
    """A task with gates in this order."""

    async def task(execution: Execution = CurrentExecution(), **gates: Any) -> None:
        await body(execution)

    own = inspect.signature(task).parameters["execution"]
    declared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=GATES[name])
        for name in names
    ]
    signature: Any = inspect.Signature([*declared, own.replace(kind=own.KEYWORD_ONLY)])
    task.__signature__ = signature  # type: ignore[attr-defined]
    return task


@pytest.mark.alone
@pytest.mark.parametrize("names", list(itertools.permutations(GATES, 2)), ids="-".join)
@pytest.mark.parametrize("is_killed", [False, True], ids=["calm", "killed"])
async def test_every_pair_of_gates_lets_all_in_that_it_should(
    names: tuple[str, str], is_killed: bool
) -> None:
    async with Docket(f"f34-{uuid.uuid4().hex[:12]}", "memory://faults") as docket:
        crew = Crew(docket, 2, RUNS)
        starts: list[float] = []
        admitted: dict[str, int] = {}
        limits = docket.storage.limits
        admit = limits.admit

        async def noting(run: Entrant, questions: Sequence[Question]) -> Answer:
            answer = await admit(run, questions)
            if answer.word is Word.ADMITTED:
                admitted.setdefault(run.identity, answer.milliseconds)
            return answer

        limits.admit = noting  # type: ignore[method-assign]

        async def body(execution: Execution) -> None:
            with crew.ledger.run(execution):
                starts.append(time.monotonic())
                if "slot" in names:
                    assert len(crew.ledger.running()) <= SLOTS
                await asyncio.sleep(RUN)

        docket.register(gated(names, body), ["task"])
        keys = [f"k{number}" for number in range(RUNS)]
        async with crew:
            began = time.monotonic()
            await docket.add_many([docket.call("task", key=key)() for key in keys])
            if is_killed:
                await crew.ledger.until_started(1)
                await crew.kill(0)
                began = max(began, time.monotonic())

            async def all_ended() -> bool:
                records = await docket.storage.executions.read(*keys)
                return all(record is not None and record.state.is_terminal for record in records)

            await until(all_ended, 20)
        records = await docket.storage.executions.read(*keys)
        won = [record for record in records if record and record.state is ExecutionState.COMPLETED]
        drops = "cooldown" in names or "debounce" in names
        # What a worker had just claimed when it was killed comes late, and may be a submission anew.
        most = 1 + is_killed if "debounce" in names and "cooldown" not in names else 1
        assert 1 <= len(won) <= most if drops else len(won) == RUNS
        if "rate" in names:
            moments = sorted(admitted.values())
            spans = [later - at for at, later in zip(moments, moments[STARTS:], strict=False)]
            assert all(span >= PER * 1000 for span in spans)
        if not drops and not is_killed:
            by_slots = math.ceil(RUNS / SLOTS) * RUN if "slot" in names else 0
            by_rate = math.ceil(RUNS / STARTS) * PER if "rate" in names else 0
            assert max(starts) - began <= 1.25 * max(by_slots, by_rate) + SETTLE + 1
        await nothing_is_left(docket)
