"""What a task may ask about its run, at the edges."""

from __future__ import annotations

from typing import Any

import pytest

from docket import Docket, TaskArgument, Worker
from docket.dependencies import Progress


async def test_a_task_argument_of_a_worker_has_no_parameter_to_be_named_after(
    docket: Docket,
) -> None:
    async def work(number: int) -> None: ...

    execution = await docket.add(work)(3)
    async with Worker(docket, dependencies={"number": TaskArgument()}) as worker:
        await worker.run_until_finished()

    with pytest.raises(Exception, match="parameter\\(s\\): number") as caught:
        await execution.get_result()
    group: Any = caught.value
    assert [str(error) for error in group.exceptions] == ["No parameter name specified"]


async def test_a_task_argument_of_a_worker_is_that_of_each_task(docket: Docket) -> None:
    async def work(number: int) -> None: ...

    async def other() -> None: ...

    executions = [await docket.add(work)(3), await docket.add(other)()]
    async with Worker(docket, dependencies=[TaskArgument("number")]) as worker:
        await worker.run_until_finished()

    assert await executions[0].get_result() is None
    with pytest.raises(Exception, match="Failed to resolve"):
        await executions[1].get_result()


def test_progress_is_known_while_a_task_runs() -> None:
    with pytest.raises(AssertionError, match="while a task runs"):
        _ = Progress().current
