"""Limits are announced by the workers that know them; one that has grown is heard of at once."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Annotated, Any

import pytest

from docket import ConcurrencyLimit, Docket, ExecutionState, Worker
from docket.dependencies.admission import ASK_AGAIN
from docket.errors import ServerUnavailable
from docket.storage.limits import Announcement, Limits
from tests.compat.conftest import (
    docket,
    least_privileged,
    name,
    pytest_generate_tests,
    until,
    url,
    working,
)

__all__ = ["docket", "least_privileged", "name", "pytest_generate_tests", "url"]


async def beat(docket: Docket, *workers: str) -> None:
    """Have these workers live."""
    for worker in workers:
        await docket.storage.workers.register(worker, [], timedelta(minutes=1))


async def say(limits: Limits, worker: str, task: str, size: int) -> int:
    """Announce one limit; tells the size in force."""
    (limit,) = await limits.announce(worker, [Announcement("limit", task, size)])
    return limit.size


async def test_the_size_that_was_announced_last_counts_while_a_worker_has_it(
    docket: Docket,
) -> None:
    limits = docket.storage.limits
    await beat(docket, "old", "new")
    assert await say(limits, "old", "task", 2) == 2
    await asyncio.sleep(0.005)
    assert await say(limits, "new", "task", 250) == 250
    await asyncio.sleep(0.005)
    # An old release that starts again announces nothing new.
    await beat(docket, "old again")
    assert await say(limits, "old again", "task", 2) == 250
    # The new one is gone: what is left counts.
    await docket.storage.workers.retire("new", "new:1", ["default"])
    assert await say(limits, "old", "task", 2) == 2


async def test_the_smallest_size_of_tasks_that_share_a_limit_counts(docket: Docket) -> None:
    limits = docket.storage.limits
    await beat(docket, "one", "two")
    assert await say(limits, "one", "a", 5) == 5
    assert await say(limits, "two", "b", 3) == 3
    assert await say(limits, "two", "b", 0) == 5
    assert await say(limits, "one", "a", 0) == 0
    assert await docket.storage.connection.send(("EXISTS", docket.key("limits"))) == [0]


async def test_tasks_that_disagree_about_a_limit_are_told_so_once(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    async def one(customer: Annotated[int, ConcurrencyLimit(2)]) -> None: ...

    async def other(customer: Annotated[int, ConcurrencyLimit(5)]) -> None: ...

    docket.register(one)
    docket.register(other)
    with caplog.at_level(logging.WARNING, "docket.worker"):
        async with working(Worker(docket)):
            pass

    told = [record.getMessage() for record in caplog.records if "different sizes" in record.msg]
    (sentence,) = told
    assert "'customer:*' give it different sizes (one 2, other 5): 2 is active" in sentence


@pytest.mark.parametrize("argument", [None, "lane"])
async def test_a_limit_that_is_raised_lets_in_all_that_fit(
    docket: Docket, argument: str | None
) -> None:
    docket.heartbeat_interval = timedelta(milliseconds=100)
    running = 0

    def sized(size: int) -> Any:
        limit = (
            ConcurrencyLimit(max_concurrent=size)
            if argument is None
            else ConcurrencyLimit(argument, max_concurrent=size)
        )

        async def long(lane: int, slot: ConcurrencyLimit = limit) -> None:
            nonlocal running
            running += 1
            try:
                await asyncio.sleep(60)
            finally:
                running -= 1

        return long

    async def are_running(count: int) -> bool:
        return running == count

    docket.register(sized(1), ["long"])
    executions = await docket.add_many([docket.call("long")(7) for _ in range(20)])
    async with working(Worker(docket, concurrency=50)):
        await until(lambda: are_running(1))
        docket.register(sized(15), ["long"])
        await until(lambda: are_running(15))
        docket.register(sized(2), ["long"])
        await asyncio.sleep(0.3)
        for execution in executions:
            await docket.cancel(execution.key)
        await until(lambda: are_running(0))


async def test_a_run_whose_gates_cannot_be_asked_comes_again(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    async def work(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        ran.append(1)

    docket.register(work)
    admit, asked = docket.storage.limits.admit, list[int]()

    async def away(*arguments: Any) -> Any:
        asked.append(1)
        answer = await admit(*arguments)
        if len(asked) == 1:
            raise ServerUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(docket.storage.limits, "admit", away)
    monkeypatch.setattr("docket.dependencies.admission.ASK_AGAIN", ASK_AGAIN / 20)
    execution = await docket.add(work)()
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await execution.sync()

    assert (execution.state, execution.attempt, ran) == (ExecutionState.COMPLETED, 1, [1])
    assert await docket.storage.connection.send(("EXISTS", docket.key("holding"))) == [0]
