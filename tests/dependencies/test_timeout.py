"""A timeout ends an attempt, and nothing but that."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from docket import Docket, ExecutionCancelled, ExecutionState, Timeout, Worker
from tests.compat.conftest import working

A_MOMENT = timedelta(milliseconds=30)


async def test_a_task_that_is_cancelled_has_not_timed_out(docket: Docket, worker: Worker) -> None:
    began = asyncio.Event()

    async def work(timeout: Timeout = Timeout(timedelta(minutes=1))) -> None:
        began.set()
        await asyncio.Event().wait()

    async with working(worker):
        execution = await docket.add(work)()
        await began.wait()
        await docket.cancel(execution.key)
        with pytest.raises(ExecutionCancelled):
            await execution.get_result(timeout=timedelta(seconds=60))


async def test_a_task_may_clean_up_after_its_timeout(docket: Docket, worker: Worker) -> None:
    steps: list[str] = []

    async def work(timeout: Timeout = Timeout(A_MOMENT)) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    execution = await docket.add(work)()
    await worker.run_until_finished()

    with pytest.raises(asyncio.TimeoutError, match=r"exceeded timeout of 0\.03s"):
        await execution.get_result()
    assert steps == ["cleaned up"]


async def test_a_task_that_survives_its_timeout_has_completed(
    docket: Docket, worker: Worker
) -> None:
    async def work(timeout: Timeout = Timeout(A_MOMENT)) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert timeout.expired()
        await asyncio.sleep(0.01)
        return "in the end"

    execution = await docket.add(work)()
    await worker.run_until_finished()

    assert await execution.get_result() == "in the end"


async def test_a_timeout_error_of_the_task_is_its_own(docket: Docket, worker: Worker) -> None:
    async def work(timeout: Timeout = Timeout(timedelta(minutes=1))) -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    execution = await docket.add(work)()
    await worker.run_until_finished()
    await execution.sync()

    assert execution.state is ExecutionState.FAILED
    assert execution.error is not None
    assert "exceeded timeout" not in execution.error


async def test_a_timeout_does_not_outlive_its_attempt(docket: Docket, worker: Worker) -> None:
    async def work(timeout: Timeout = Timeout(timedelta(milliseconds=400))) -> str:
        return "quick"

    executions = [await docket.add(work)() for _ in range(5)]
    async with working(worker):
        for execution in executions:
            assert await execution.get_result(timeout=timedelta(seconds=60)) == "quick"
        # Longer than the timers would have run.
        await asyncio.sleep(0.5)
        last = await docket.add(work)()
        assert await last.get_result(timeout=timedelta(seconds=60)) == "quick"


async def test_a_plain_function_has_timed_out_when_its_thread_has_ended(
    docket: Docket, worker: Worker
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def work(timeout: Timeout = Timeout(A_MOMENT)) -> None:
        started.set()
        go_on.wait(100)

    execution = await docket.add(work)()
    async with working(worker):
        await asyncio.to_thread(started.wait, 60)
        await asyncio.sleep(2 * A_MOMENT.total_seconds())
        await execution.sync()
        assert execution.state is not ExecutionState.FAILED
        go_on.set()
        with pytest.raises(asyncio.TimeoutError, match=f"work {execution.key} exceeded timeout"):
            await execution.get_result(timeout=timedelta(seconds=60))
