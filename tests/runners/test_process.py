"""Plain functions in processes of their own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from docket import Docket, ExecutionState, Worker
from docket.policy import TaskPolicy
from tests.pids import is_alive


def compute(number: int) -> tuple[int, int]:
    return os.getpid(), number * 2


def forever(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


def fail() -> None:
    raise ValueError("no such number")


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"process-{uuid4()}", "memory://process") as docket:
        for task in (compute, forever, fail):
            docket.register(task)
        yield docket


async def _drain(docket: Docket, timeout: timedelta | None = None) -> None:
    policy = TaskPolicy(in_process=True, timeout=timeout)
    docket.registry.apply_policies(dict.fromkeys(("compute", "forever", "fail"), policy))
    async with Worker(docket) as worker:
        await worker.run_until_finished()


async def test_a_function_runs_in_another_process(docket: Docket) -> None:
    execution = await docket.add(compute)(21)
    await _drain(docket)

    process, result = await execution.get_result()
    assert (process != os.getpid(), result) == (True, 42)


async def test_what_it_raises_is_the_failure_of_the_task(docket: Docket) -> None:
    execution = await docket.add(fail)()
    await _drain(docket)

    with pytest.raises(ValueError, match="no such number"):
        await execution.get_result()


async def test_its_process_is_killed_at_a_timeout(docket: Docket, tmp_path: Path) -> None:
    execution = await docket.add(forever)(str(tmp_path / "pid"))
    # Long enough for an interpreter to start on a busy machine; the pid proves that it has.
    await _drain(docket, timeout=timedelta(seconds=8))
    await execution.sync()

    assert execution.state is ExecutionState.FAILED
    await _until_gone(int((tmp_path / "pid").read_text()))


async def _until_gone(process: int) -> None:
    while is_alive(process):
        await asyncio.sleep(0.01)
