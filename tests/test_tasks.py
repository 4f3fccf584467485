"""The tasks that every docket knows."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from datetime import timedelta

import pytest

from docket import Docket, ExecutionState, Retry, Worker
from docket.dependencies import get_single_dependency_parameter_of_type
from docket.tasks import fail, sleep, standard_tasks, trace
from tests.compat.conftest import docket, least_privileged, name, pytest_generate_tests, url, worker

__all__ = ["docket", "least_privileged", "name", "pytest_generate_tests", "url", "worker"]


def test_every_docket_knows_trace_fail_and_sleep() -> None:
    assert standard_tasks == [trace, fail, sleep]
    assert Docket("tasks", "memory://tasks").tasks == {"trace": trace, "fail": fail, "sleep": sleep}


def test_their_arguments_have_the_names_and_the_order_of_pydocket() -> None:
    names = {task.__name__: list(inspect.signature(task).parameters) for task in standard_tasks}

    assert names == {
        "trace": ["message", "logger", "docket", "worker", "execution"],
        "fail": ["message", "docket", "worker", "execution", "retry"],
        "sleep": ["seconds", "logger"],
    }
    retry = get_single_dependency_parameter_of_type(fail, Retry)
    assert retry is not None
    assert retry.attempts == 2


async def test_trace_logs_its_message_and_where_it_runs(
    docket: Docket, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "docket.task.trace"):
        await docket.add(trace, key="mine")("Howdy!")
        await worker.run_until_finished()

    (record,) = [record for record in caplog.records if record.name == "docket.task.trace"]
    assert all(word in record.message for word in ("Howdy!", "mine", docket.name, worker.name))


async def test_fail_fails_twice(docket: Docket, worker: Worker) -> None:
    execution = await docket.add(fail, key="mine")("Woops!")
    await worker.run_until_finished()
    await execution.sync()

    assert (execution.state, execution.attempt) == (ExecutionState.FAILED, 2)
    with pytest.raises(Exception, match=r"Woops!.*'mine'.*attempt 2 of 2"):
        await execution.get_result()


async def test_sleep_holds_its_slot_for_some_seconds(docket: Docket, worker: Worker) -> None:
    start = time.monotonic()
    execution = await docket.add(sleep)(0.2)
    await worker.run_until_finished()
    await execution.sync()

    assert execution.state is ExecutionState.COMPLETED
    assert time.monotonic() - start >= 0.2


async def test_standard_tasks_can_be_registered_as_a_collection(url: str, name: str) -> None:
    docket = Docket(name, url)
    docket.tasks.clear()
    docket.register_collection("docket.tasks:standard_tasks")

    async with docket, Worker(docket) as worker:
        execution = await docket.add("sleep")(0)
        await asyncio.wait_for(worker.run_until_finished(), 60)
        await execution.get_result(timeout=timedelta(seconds=60))
