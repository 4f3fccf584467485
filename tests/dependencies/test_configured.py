"""What the configuration declares about a task means what the code would, and goes before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated
from uuid import uuid4

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    Cron,
    Docket,
    ExecutionState,
    Perpetual,
    RateLimit,
    Worker,
)
from docket.foundation.policy import (
    ConcurrencyPolicy,
    CooldownPolicy,
    DebouncePolicy,
    PerpetualPolicy,
    RatePolicy,
    TaskPolicy,
)

SOON = timedelta(milliseconds=50)
SETTLE = timedelta(milliseconds=600)
"""Longer than a busy machine takes to bring all calls to the gate."""


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"configured-{uuid4()}", "memory://configured") as docket:
        yield docket


class Meter:
    """Notes how many of a task run at a time.

    Arguments:
        expected: for how many each of them waits before it ends; more than those are noted, too.
    """

    def __init__(self, expected: int = 1) -> None:
        self.running = self.peak = self.count = 0
        self._expected = expected
        self._are_there = asyncio.Event()
        self.starts: list[float] = []

    async def __call__(self) -> None:
        self.starts.append(time.monotonic())
        self.count += 1
        self.running += 1
        self.peak = max(self.peak, self.running)
        if self.running >= self._expected:
            self._are_there.set()
        await asyncio.wait_for(self._are_there.wait(), 60)
        await asyncio.sleep(0.01)
        self.running -= 1


async def _drain(docket: Docket, policy: TaskPolicy) -> None:
    docket.registry.apply_policies({"work": policy})
    async with Worker(docket) as worker:
        await worker.run_until_finished()


async def test_a_concurrency_limit_holds_for_a_task_that_declares_none(docket: Docket) -> None:
    meter = Meter(2)

    async def work() -> None:
        await meter()

    for _ in range(6):
        await docket.add(work)()
    await _drain(docket, TaskPolicy(concurrency=ConcurrencyPolicy(2)))

    assert (meter.count, meter.peak) == (6, 2)


async def test_a_concurrency_limit_goes_before_the_one_in_the_code(docket: Docket) -> None:
    meter = Meter(4)

    async def work(customer: Annotated[int, ConcurrencyLimit(1)]) -> None:
        await meter()

    for number in range(8):
        await docket.add(work)(number % 2)
    await _drain(docket, TaskPolicy(concurrency=ConcurrencyPolicy(2, key="customer")))

    assert (meter.count, meter.peak) == (8, 4)


async def test_a_parameter_gets_what_the_configuration_says(docket: Docket) -> None:
    seen: list[int] = []

    async def work(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        seen.append(limit.max_concurrent)

    await docket.add(work)()
    await _drain(docket, TaskPolicy(concurrency=ConcurrencyPolicy(7)))

    assert seen == [7]


async def test_a_limit_that_drops_drops_what_is_too_many(docket: Docket) -> None:
    meter = Meter()

    async def work() -> None:
        await meter()
        while (await docket.snapshot()).total_tasks > 1:  # until the others are dropped
            await asyncio.sleep(0.01)

    executions = [await docket.add(work)() for _ in range(4)]
    await _drain(docket, TaskPolicy(concurrency=ConcurrencyPolicy(1, on_conflict="drop")))
    for execution in executions:
        await execution.sync()
    states = [execution.state for execution in executions]

    assert meter.count == states.count(ExecutionState.COMPLETED) == 1
    assert states.count(ExecutionState.CANCELLED) == 3


async def test_a_rate_goes_before_the_one_in_the_code(docket: Docket) -> None:
    meter = Meter()

    async def work(rate: RateLimit = RateLimit(1, per=timedelta(hours=1))) -> None:
        await meter()

    for _ in range(4):
        await docket.add(work)()
    # Bodies begin some time after they were let in: what is sure is that nobody was before this.
    begun = time.monotonic()
    await _drain(docket, TaskPolicy(rate_limit=RatePolicy(2, timedelta(milliseconds=200))))

    assert meter.count == 4
    assert meter.starts[2] - begun >= 0.2


async def test_a_cooldown_looks_at_the_argument_that_it_is_for(docket: Docket) -> None:
    greeted: list[int] = []

    async def work(customer: int, text: str = "") -> None:
        greeted.append(customer)

    for number in (1, 2, 1, 2):
        await docket.add(work)(number, text=str(number))
    await _drain(docket, TaskPolicy(cooldown=CooldownPolicy(timedelta(minutes=1), key="customer")))

    assert sorted(greeted) == [1, 2]


async def test_a_debounce_goes_before_other_gates_in_the_code(docket: Docket) -> None:
    indexed: list[int] = []

    async def work(
        shop: int, cooldown: Cooldown = Cooldown(timedelta(milliseconds=1), scope="own")
    ) -> None:
        indexed.append(shop)

    for _ in range(3):
        await docket.add(work)(7)
    await _drain(
        docket,
        TaskPolicy(debounce=DebouncePolicy(SETTLE, max_wait=timedelta(minutes=1), key="shop")),
    )

    assert indexed == [7]


async def test_a_limit_for_an_argument_that_was_not_given_fails_the_task(docket: Docket) -> None:
    async def work() -> None:
        raise AssertionError("must not run")

    execution = await docket.add(work)()
    await _drain(docket, TaskPolicy(cooldown=CooldownPolicy(SOON, key="customer")))
    await execution.sync()

    assert execution.state is ExecutionState.FAILED
    assert "Failed to resolve dependencies" in (execution.error or "")


async def test_a_task_becomes_perpetual(docket: Docket) -> None:
    runs: list[int] = []

    async def work(cron: Perpetual = Cron("0 0 1 1 *", automatic=False)) -> None:
        runs.append(1)
        if len(runs) == 3:
            cron.cancel()

    docket.register(work)
    every = PerpetualPolicy(timedelta(milliseconds=20), "finish", automatic=True)
    await asyncio.wait_for(_drain(docket, TaskPolicy(perpetual=every)), 60)

    assert len(runs) == 3


@pytest.mark.parametrize(("ttl", "result"), [(timedelta(minutes=2), 1), (timedelta(), None)])
async def test_a_task_keeps_its_results_as_long_as_it_says(
    docket: Docket, ttl: timedelta, result: int | None
) -> None:
    async def work() -> int:
        return 1

    execution = await docket.add(work)()
    await _drain(docket, TaskPolicy(result_ttl=ttl))

    assert await execution.get_result() == result
    async with docket.redis() as redis:
        assert 0 < await redis.ttl(docket.runs_key(execution.key)) <= 120
