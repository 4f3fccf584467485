"""``docket.insights.stack``: where a running execution stands, as its worker says."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone

import pytest

from docket import Docket, Worker
from docket.errors import NotRunning, WorkerSilent
from docket.insights import Stack
from tests.conformance.conftest import working

HERE = __file__


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://stacks") as docket:
        yield docket


async def stack_of(docket: Docket, key: str) -> Stack:
    found = await docket.insights.stack(key)
    assert found is not None
    assert (found.key, found.frames != ()) == (key, True)
    return found


def functions(stack: Stack) -> list[str]:
    return [frame.function for frame in stack.frames if frame.is_users]


async def test_a_coroutine_stands_where_it_awaits_with_the_users_frames_first(
    docket: Docket,
) -> None:
    begun, gone_on = asyncio.Event(), asyncio.Event()

    async def inner() -> None:
        begun.set()
        await gone_on.wait()

    async def outer() -> None:
        await asyncio.gather(inner(), asyncio.create_task(asyncio.sleep(0)))

    docket.register(outer)
    async with Worker(docket, "lone") as worker, working(worker):
        await docket.add(outer, key="order-7")()
        await asyncio.wait_for(begun.wait(), 60)
        stack = await stack_of(docket, "order-7")
        gone_on.set()

    assert functions(stack) == ["inner", "outer"]
    first = stack.frames[0]
    assert (first.file, first.text) == (HERE, "await gone_on.wait()")
    assert stack.frames[-1].function == "wait"
    assert not stack.is_thread
    text = str(stack)
    assert text.startswith("order-7 (outer) stands in the event loop of worker lone:\n")
    assert "/docket/worker/" not in text


async def test_a_plain_function_stands_in_its_thread(docket: Docket) -> None:
    begun, gone_on = threading.Event(), threading.Event()

    def plain_one() -> None:
        begun.set()
        gone_on.wait(20)

    docket.register(plain_one)
    async with Worker(docket) as worker, working(worker):
        await docket.add(plain_one, key="order-7")()
        await asyncio.to_thread(begun.wait, 20)
        stack = await stack_of(docket, "order-7")
        gone_on.set()

    assert stack.is_thread
    assert functions(stack) == ["plain_one"]
    assert "in a thread of" in str(stack)


async def test_what_keeps_the_event_loop_is_seen_as_well() -> None:
    """The worker lives in another event loop, which a task blocks until it was seen."""
    seen, name = threading.Event(), uuid.uuid4().hex
    begun: Future[None] = Future()

    async def keep() -> None:
        begun.set_result(None)
        while not seen.is_set():
            time.sleep(0.01)

    async def work() -> None:
        async with Docket(name, "memory://stacks") as docket:
            docket.register(keep)
            await docket.add(keep, key="order-7")()
            async with Worker(docket) as worker:
                await worker.run_until_finished()

    program = asyncio.to_thread(asyncio.run, work())
    async with Docket(name, "memory://stacks") as docket:
        working = asyncio.create_task(program)
        await asyncio.wrap_future(begun)
        try:
            stack = await stack_of(docket, "order-7")
            while stack.loop_stands < timedelta(seconds=1):
                stack = await stack_of(docket, "order-7")
        finally:
            seen.set()
        await working

    assert functions(stack) == ["keep"]
    assert stack.loop_stands >= timedelta(seconds=1)
    assert str(stack).splitlines()[-1].startswith("the event loop of the worker has not turned for")


async def test_what_does_not_run_and_who_does_not_answer_are_told_apart(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.insights.insights.PATIENCE", timedelta(milliseconds=200))

    async def job() -> None: ...

    docket.register(job)
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    execution = await docket.add(job, later, key="order-7")()
    assert await docket.insights.stack("nobody") is None
    with pytest.raises(NotRunning, match="found that order-7 is scheduled; `docket task explain"):
        await docket.insights.stack("order-7")

    assert await execution.claim("somebody")
    with pytest.raises(WorkerSilent, match="worker somebody has not answered within"):
        await docket.insights.stack("order-7")

    asking = asyncio.create_task(docket.insights.stack("order-7"))
    await execution.mark_as_completed()
    with pytest.raises(NotRunning, match="order-7 is completed"):
        await asking
