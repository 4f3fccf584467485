"""Options of a call do what they say, whatever becomes of it on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest

from docket import (
    Disposition,
    Docket,
    Execution,
    ExecutionCancelled,
    ExecutionState,
    Perpetual,
    Retry,
    Timeout,
    Worker,
)
from docket.errors import InvalidOption
from tests.conformance.conftest import until, working
from tests.routing import route

SHORT = timedelta(milliseconds=20)
HOUR = timedelta(hours=1)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket("options", "memory://options") as docket:
        yield docket
        await docket.clear()


def now() -> datetime:
    return datetime.now(timezone.utc)


async def work(docket: Docket, *queues: str) -> Worker:
    async with Worker(docket, queues=queues or ("default",)) as worker:
        await worker.run_until_finished()
    return worker


async def again(execution: Execution) -> Execution:
    found = await execution.docket.storage.executions.read(execution.key)
    assert found[0] is not None
    return Execution.of(execution.docket, found[0])


async def nothing() -> str:
    return "done"


async def test_a_queue_goes_before_the_route_of_the_task(docket: Docket) -> None:
    docket.register(nothing)
    await route(docket.storage, {"nothing": "mail"})
    routed = await docket.add(nothing)()
    bulk = await docket.add(nothing, queue="bulk", tags=["a"])()
    plain = await docket.replace(nothing, now(), "k", queue="default")()
    many = await docket.add_many([docket.call(nothing, queue="bulk", tags=["b"])()])

    found = [await again(one) for one in (routed, bulk, plain, *many)]

    assert [one.queue for one in found] == ["mail", "bulk", "default", "bulk"]
    assert [one.tags for one in found] == [(), ("a",), (), ("b",)]
    await work(docket, "mail", "bulk", "default")
    assert await bulk.get_result() == "done"


@pytest.mark.parametrize("base", ["default", "mail", "mail/high", "mail/low"])
async def test_a_priority_is_a_part_of_the_queue_that_workers_of_the_queue_serve(
    docket: Docket, base: str
) -> None:
    order: list[str] = []

    async def note(name: str) -> None:
        order.append(name)

    queue = base.partition("/")[0]
    await route(docket.storage, {"note": base} if base != "default" else {})
    for priority in ("low", "normal", "high"):
        await docket.add(note, key=priority, priority=priority)(priority)

    async with Worker(docket, concurrency=1, queues=[queue]) as worker:
        await worker.run_until_finished()

    assert order == ["high", "normal", "low"]
    assert worker.queues == (f"{queue}/high", queue, f"{queue}/low")


async def test_a_priority_that_is_used_first_while_workers_run_is_seen_by_them() -> None:
    async with Docket("seen", "memory://seen", heartbeat_interval=SHORT) as docket:
        async with Worker(docket) as worker, working(worker):
            execution = await docket.add(nothing, priority="high")()
            assert await execution.get_result(timeout=timedelta(seconds=60)) == "done"
        assert worker.queues == ("default/high", "default")


async def test_a_timeout_holds_for_each_attempt_and_is_what_the_task_asks(docket: Docket) -> None:
    left: list[timedelta] = []

    async def waits(timeout: Timeout = Timeout(HOUR), retry: Retry = Retry(attempts=2)) -> None:
        left.append(timeout.remaining())
        await asyncio.sleep(60)

    async def sleeps() -> None:
        await asyncio.sleep(60)

    executions = [await docket.add(task, timeout=SHORT)() for task in (waits, sleeps)]
    await work(docket)

    for execution in executions:
        with pytest.raises(asyncio.TimeoutError, match=r"exceeded timeout of 0\.02s"):
            await execution.get_result()
    assert len(left) == 2
    assert max(left) <= SHORT


async def test_what_has_not_begun_in_time_ends_wherever_it_waits(docket: Docket) -> None:
    docket.register(nothing)
    await docket.operations.pause_queues("bulk")
    await docket.strike(nothing, action="park")
    parked = await docket.add(nothing, expires=SHORT)()
    assert parked.disposition is Disposition.STRUCK
    await docket.restore(nothing)
    begins = now() + SHORT
    late = [
        await docket.add(nothing, expires=begins)(),
        await docket.add(nothing, queue="bulk", expires=begins)(),
        await docket.add(nothing, queue="elsewhere", expires=SHORT)(),
    ]
    live = await docket.add(nothing, when=now() + SHORT, expires=HOUR)()
    await asyncio.sleep(SHORT.total_seconds() * 2)

    async with Worker(docket) as worker, working(worker):
        assert await live.get_result() == "done"
        for execution in late:
            with pytest.raises(ExecutionCancelled):
                await execution.get_result(timeout=timedelta(seconds=60))
            assert (await again(execution)).reason == "expired"
    assert worker.tally.counts["docket_tasks_expired", "nothing"] >= 3
    assert await docket.storage.connection.send(("EXISTS", docket.key("expiring"))) == [0]
    await docket.operations.resume_queues("bulk")


async def test_what_has_begun_does_not_expire_before_its_next_attempt(docket: Docket) -> None:
    attempts: list[int] = []

    async def flaky(retry: Retry = Retry(attempts=2)) -> None:
        attempts.append(retry.attempt)
        run, index = docket.runs_key("k"), docket.key("expiring")
        await docket.storage.connection.send(("HSET", run, "expires", 1), ("ZADD", index, 1, "k"))
        raise ValueError("closed")

    execution = await docket.add(flaky, key="k", expires=HOUR, tags=["a"], queue="bulk")()
    await work(docket, "bulk")
    assert attempts == [1, 2]

    await docket.operations.retry("k")
    retried = await again(execution)
    assert (retried.queue, retried.tags, retried.state) == ("bulk", ("a",), ExecutionState.QUEUED)
    await work(docket, "bulk")
    assert attempts == [1, 2, 1, 2]


async def test_a_dead_letter_of_the_default_queue_goes_back_there_if_its_call_has_named_it(
    docket: Docket,
) -> None:
    async def fails() -> None:
        raise ValueError("closed")

    await route(docket.storage, {"fails": "bulk"})
    await docket.add(fails, key="named", queue="default")()
    await docket.add(fails, key="ranked", priority="normal")()
    await docket.add(fails, key="tagged", tags=["a"])()
    await work(docket, "default", "bulk")

    await docket.operations.retry("named", "ranked", "tagged")

    found = await docket.storage.executions.read("named", "ranked", "tagged")
    assert [one and one.queue for one in found] == ["default", "bulk", "bulk"]


async def test_each_run_of_a_perpetual_task_has_the_options_of_its_call(docket: Docket) -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    async def chain(
        perpetual: Perpetual = Perpetual(every=timedelta(seconds=30)),
    ) -> None:
        seen.append(("", ()))

    execution = await docket.add(chain, key="c", expires=HOUR, tags=["a"], queue="bulk")()
    async with Worker(docket, queues=["bulk"]) as worker, working(worker):
        await until(lambda: _is(len(seen) == 1))
        await until(lambda: _is_scheduled(execution))
    found = await again(execution)

    assert (found.queue, found.tags) == ("bulk", ("a",))
    (expires,) = await docket.storage.connection.send(("HGET", docket.runs_key("c"), "expires"))
    assert int(expires) == int((found.when + HOUR).timestamp() * 1000)


async def _is(value: bool) -> bool:
    return value


async def _is_scheduled(execution: Execution) -> bool:
    return (await again(execution)).state is ExecutionState.SCHEDULED


async def test_a_key_that_is_to_run_once_stays_taken(docket: Docket) -> None:
    first = await docket.add(nothing, key="order-7", once=True)()
    short = await docket.add(nothing, key="order-8", once=SHORT)()
    await work(docket)

    same = await docket.add(nothing, key="order-7")()
    (batch,) = await docket.add_many([docket.call(nothing, key="order-7", once=True)()])

    assert first.disposition is Disposition.SCHEDULED
    for one in (same, batch):
        assert one.disposition is Disposition.ALREADY_DONE
        assert one.state is ExecutionState.COMPLETED
        assert await one.get_result() == "done"
    await asyncio.sleep(SHORT.total_seconds() * 2)
    anew = await docket.add(nothing, key="order-8")()
    assert (short.generation, anew.disposition) == (1, Disposition.SCHEDULED)
    assert (await docket.replace(nothing, now(), "order-7")()).disposition is Disposition.SCHEDULED


async def test_its_record_and_its_result_are_kept_as_long_as_its_key_is_taken() -> None:
    async with Docket("kept", "memory://kept", execution_ttl=timedelta(minutes=1)) as docket:
        for key in ("done", "cancelled"):
            await docket.add(nothing, key=key, once=HOUR)()
        await docket.cancel("cancelled")
        await work(docket)
        keys = [docket.runs_key("done"), docket.key("results:done"), docket.runs_key("cancelled")]
        for key in keys:
            (left,) = await docket.storage.connection.send(("PTTL", key))
            assert left > 3_500_000
        assert (await docket.add(nothing, key="cancelled")()).state is ExecutionState.CANCELLED


def test_options_that_cannot_go_together_are_refused(docket: Docket) -> None:
    with pytest.raises(InvalidOption, match="expected a key with once"):
        docket.call(nothing, once=True)()
    with pytest.raises(
        InvalidOption, match=r"expected expires after when .*: it could never begin"
    ):
        docket.call(nothing, when=now() + HOUR, expires=now())()
