"""Draining: what is due runs here and now, and the test is told what came of it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    CurrentDocket,
    CurrentExecution,
    Depends,
    Docket,
    Execution,
    ExecutionState,
    Perpetual,
    Retry,
    TaskKey,
    Worker,
    testing,
)
from docket.errors import EndlessWork, ImmovableTime, Undecodable
from docket.testing import drain

HOUR = timedelta(hours=1)


async def greet(name: str) -> str:
    return f"Hello, {name}"


async def fail(message: str) -> None:
    raise ValueError(message)


async def test_what_is_due_runs_and_what_came_of_it_is_told(immovable: Docket) -> None:
    await immovable.add(greet, key="a")("Jane")
    await immovable.add(fail, key="b")("no")

    first, second = sorted(await drain(immovable), key=lambda ran: ran.key)

    assert (first.task, first.key, first.outcome) == ("greet", "a", "completed")
    assert (first.result, first.error) == ("Hello, Jane", None)
    assert (first.execution.args, first.execution.state) == (("Jane",), ExecutionState.COMPLETED)
    assert (second.outcome, str(second.error)) == ("failed", "no")
    assert second.execution.error == "ValueError: no"


async def test_the_future_stays_where_it_is(immovable: Docket) -> None:
    await immovable.add(greet, when=datetime.now(timezone.utc) + HOUR)("Jane")

    assert await drain(immovable) == []

    await testing.assert_task_scheduled(immovable, greet)


async def test_what_a_task_adds_for_now_runs_as_well(immovable: Docket) -> None:
    async def begin(docket: Docket = CurrentDocket()) -> None:
        for name in ("Jane", "John"):
            await docket.add(greet)(name)

    await immovable.add(begin)()

    ran = await drain(immovable)

    assert sorted(str(one.result) for one in ran) == ["Hello, Jane", "Hello, John", "None"]


async def test_many_more_than_there_are_slots_run(immovable: Docket) -> None:
    await immovable.add_many([immovable.call(greet)(str(number)) for number in range(250)])

    ran = await drain(immovable, concurrency=3)

    assert sorted(one.execution.args for one in ran) == sorted((str(n),) for n in range(250))


async def test_the_future_of_a_shared_server_is_not_drained(shared: Docket) -> None:
    with pytest.raises(ImmovableTime, match="expected a docket at memory://"):
        await drain(shared, future=True)


async def test_the_tasks_that_are_given_are_registered(docket: Docket) -> None:
    docket.register(greet, ["welcome"])
    await docket.add("welcome")("Jane")
    del docket.tasks["welcome"]
    assert await drain(docket) == []

    async def welcome(name: str) -> str:
        return f"Welcome, {name}"

    (ran,) = await drain(docket, welcome)

    assert ran.result == "Welcome, Jane"


async def test_a_drained_perpetual_task_runs_once(docket: Docket) -> None:
    async def tick(every: Perpetual = Perpetual(every=timedelta(milliseconds=1))) -> None: ...

    await docket.add(tick)()

    assert [ran.outcome for ran in await drain(docket)] == ["perpetuated"]


async def test_an_attempt_that_follows_at_once_is_drained_too(docket: Docket) -> None:
    async def fetch(retry: Retry = Retry(attempts=2)) -> None:
        raise ConnectionError

    await docket.add(fetch)()

    assert [ran.outcome for ran in await drain(docket)] == ["retried", "failed"]


async def test_the_future_is_drained_in_its_order_when_it_is_asked_for(docket: Docket) -> None:
    starts: list[datetime | None] = []

    async def note(execution: Execution = CurrentExecution()) -> None:
        starts.append(execution.started_at)

    start = await testing.now(docket)
    days = [start + timedelta(days=number) for number in (300, 100, 200)]
    for day in days:
        await docket.add(note, when=day)()
    await docket.add(note)()

    ran = await drain(docket, future=True)

    assert len(ran) == 4
    assert starts[1:] == sorted(days)
    assert await testing.now(docket) >= start + timedelta(days=300)


async def test_a_future_that_never_ends_is_told_of(docket: Docket) -> None:
    async def tick(every: Perpetual = Perpetual(every=HOUR)) -> None: ...

    await docket.add(tick)()

    with pytest.raises(EndlessWork, match="12 runs at most, found 13; tick ran 13 times"):
        await drain(docket, future=True, most=12)


async def test_just_as_many_runs_as_are_allowed_are_not_too_many(docket: Docket) -> None:
    for number in range(5):
        await docket.add(greet)(str(number))

    assert len(await drain(docket, most=5)) == 5


async def test_a_dropped_call_is_told_of(docket: Docket) -> None:
    async def sync(cooldown: Cooldown = Cooldown(HOUR)) -> None: ...

    await docket.add(sync)()
    await docket.add(sync)()

    ran = await drain(docket)

    assert sorted(one.outcome for one in ran) == ["completed", "dropped"]


async def test_a_run_that_had_to_wait_is_told_of_once(docket: Docket) -> None:
    async def build(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> None:
        await asyncio.sleep(0.001)

    for number in range(4):
        await docket.add(build)(number)

    ran = await drain(docket)

    assert [one.outcome for one in ran] == ["completed"] * 4


async def test_a_cancelled_run_is_told_of(docket: Docket) -> None:
    async def give_up(key: str = TaskKey()) -> None:
        await docket.cancel(key)
        await asyncio.Event().wait()

    await docket.add(give_up)()

    (ran,) = await drain(docket)

    assert (ran.outcome, ran.execution.state) == ("cancelled", ExecutionState.CANCELLED)


async def test_a_call_that_can_not_be_read_is_told_of(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane")
    async with docket.redis() as redis:
        await redis.hset(docket.runs_key(execution.key), "call", b"\xffgarbage")

    (ran,) = await drain(docket)

    assert (ran.outcome, ran.execution.args) == ("failed", ())
    assert isinstance(ran.error, Undecodable)


async def test_a_struck_call_does_not_run(docket: Docket) -> None:
    await docket.add(greet)("Jane")
    await docket.strike(greet)

    assert await drain(docket) == []


async def test_the_worker_is_made_as_the_test_wants_it(docket: Docket) -> None:
    wrapped: list[str] = []

    async def wrap() -> None:
        wrapped.append("wrapped")

    async def instead(*args: object) -> str:
        return "instead"

    docket.register(greet, ["unknown"])
    await docket.add("unknown")("Jane")
    del docket.tasks["unknown"]

    (ran,) = await drain(docket, fallback_task=instead, dependencies=[Depends(wrap)])

    assert ran.result == "instead"
    assert wrapped == ["wrapped"]


async def test_a_drain_leaves_no_worker_behind(docket: Docket) -> None:
    await docket.add(greet)("Jane")
    await drain(docket)

    assert await docket.workers() == []


async def test_a_drain_waits_for_what_another_worker_holds(immovable: Docket) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await release.wait()

    await immovable.add(hold, key="held")()
    async with Worker(immovable) as worker:
        working = asyncio.create_task(worker.run_until_finished())
        await begun.wait()
        draining = asyncio.create_task(drain(immovable))
        while len(await immovable.workers()) < 2:
            await asyncio.sleep(0.001)
        release.set()

        assert await draining == []
        await working
    held = await immovable.get_execution("held")
    assert held is not None
    assert held.state is ExecutionState.COMPLETED


async def test_two_drains_of_one_docket_do_not_mix(docket: Docket) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await release.wait()

    await docket.add(hold)()
    draining = asyncio.create_task(drain(docket))
    await begun.wait()

    with pytest.raises(ImmovableTime, match="one after the other"):
        await drain(docket)

    release.set()
    assert len(await draining) == 1
