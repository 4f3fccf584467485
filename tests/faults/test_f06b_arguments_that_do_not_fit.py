"""F06b: arguments that do not fit, a model with validators, arguments that another release has stored.

They are refused where the call is made, or arrive equal; what can be neither is parked, and runs as soon as
a worker of another release comes. So is a call that only another release takes, if one is at work. About 3 s.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pydantic
import pytest

from docket import Docket, Execution, ExecutionState, Worker
from docket.calls.binding import ANYTHING, announced
from docket.errors import SignatureMismatch, WrongArguments
from docket.storage.workers import ANY_TASK
from tests.compat.conftest import working

PATIENCE = timedelta(seconds=60)


class Charge(pydantic.BaseModel):
    cents: int
    _trace: str = pydantic.PrivateAttr(default="none")

    @pydantic.field_validator("cents")
    @classmethod
    def in_cents(cls, value: int) -> int:
        return value * 100


class Newer(pydantic.BaseModel):
    cents: int
    currency: str = "EUR"
    _trace: str = "none"


class Strict(pydantic.BaseModel):
    cents: int
    customer: str


async def charge(order: Charge) -> Charge:
    return order


async def charge_newer(order: Newer) -> str:
    return f"{order.cents} {order.currency}"


async def charge_strict(order: Strict) -> str:
    return order.customer


async def charge_for(order: Charge, customer: str) -> str:
    return customer


# Releases of one class have one name.
for _kind in (Newer, Strict):
    _kind.__qualname__ = Charge.__qualname__


@pytest.fixture
async def name() -> str:
    return f"f06b-{uuid.uuid4().hex[:12]}"


def release(name: str, task: Any) -> Docket:
    """A docket of a process that has one release of the task."""
    docket = Docket(name, "memory://f06b", config=False, codecs=("safe",))
    docket.register(task, ["charge"])
    return docket


@pytest.fixture
async def docket(name: str) -> AsyncIterator[Docket]:
    async with release(name, charge) as docket:
        yield docket


async def test_what_does_not_fit_is_refused_where_it_is_called(docket: Docket) -> None:
    with pytest.raises(WrongArguments, match=r"charge\(order\): missing 'order'"):
        await docket.add("charge")()

    assert (await docket.snapshot()).total_tasks == 0


async def test_a_model_with_validators_arrives_and_comes_back_equal(docket: Docket) -> None:
    sent = Charge(cents=1)
    sent._trace = "abc"
    async with Worker(docket) as worker:
        execution = await docket.add("charge")(sent)
        await worker.run_until_finished()

    came_back = await execution.get_result()
    assert came_back == sent
    assert (came_back.cents, came_back._trace) == (100, "abc")


async def test_what_the_release_before_has_stored_is_given_the_defaults_of_this_one(
    docket: Docket, name: str
) -> None:
    execution = await docket.add("charge")(Charge(cents=1))
    async with release(name, charge_newer) as newer, Worker(newer) as worker:
        await worker.run_until_finished()
        found = await newer.get_execution(execution.key)
        assert found is not None
        assert await found.get_result() == "100 EUR"


async def test_what_another_release_can_not_take_waits_for_one_that_can(
    docket: Docket, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    execution = await docket.add("charge")(Charge(cents=1))
    async with release(name, charge_strict) as other:
        async with Worker(other) as worker:
            await worker.run_until_finished()
        seen = await other.get_execution(execution.key)
        assert seen is not None
        assert seen.args == ()

    await execution.sync()
    assert execution.state is ExecutionState.PARKED
    assert str(execution.reason).startswith("signature ")
    assert "Charge needs the field customer, which is not stored" in caplog.text

    async with Worker(docket) as worker, working(worker):
        assert (await execution.get_result(timeout=PATIENCE)).cents == 100


async def _met_by_an_older_worker(docket: Docket, name: str, shapes: dict[str, str]) -> Execution:
    """A call of a newer release that a worker of this one has taken, while another one is at work."""
    # However slow the machine is, the other one is alive.
    docket.missed_heartbeats = 1000
    await docket.storage.workers.register("newer", ["charge"], docket.silence, shapes)
    async with release(name, charge_for) as newer:
        added = await newer.add("charge")(Charge(cents=1), customer="Jane")
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    execution = await docket.get_execution(added.key)
    assert execution is not None
    return execution


async def test_a_call_that_only_a_newer_release_takes_waits_for_it_while_that_is_at_work(
    docket: Docket, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = {"charge": announced(charge_for)}
    execution = await _met_by_an_older_worker(docket, name, shapes)

    assert execution.state is ExecutionState.PARKED
    assert str(execution.reason).startswith("signature ")
    assert "got an unexpected keyword argument 'customer'" in caplog.text
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    async with release(name, charge_for) as newer, Worker(newer) as worker, working(worker):
        assert await execution.get_result(timeout=PATIENCE) == "Jane"


@pytest.mark.parametrize("shapes", [{"charge": announced(charge)}, {ANY_TASK: ANYTHING}])
async def test_a_call_that_no_release_at_work_takes_is_a_dead_letter(
    docket: Docket, name: str, shapes: dict[str, str]
) -> None:
    execution = await _met_by_an_older_worker(docket, name, shapes)

    assert (execution.state, execution.reason) == (ExecutionState.FAILED, "signature")
    with pytest.raises(SignatureMismatch, match="do not fit charge"):
        await execution.get_result()


async def charge_less_than_it_says(order: Charge) -> None: ...


charge_less_than_it_says.__signature__ = inspect.signature(charge_for, eval_str=True)  # type: ignore[attr-defined]


async def test_a_task_that_takes_less_than_it_says_keeps_nobody_waiting(name: str) -> None:
    async with release(name, charge_less_than_it_says) as docket, Worker(docket) as worker:
        execution = await docket.add("charge")(Charge(cents=1), customer="Jane")
        await worker.run_until_finished()
        await execution.sync()

    assert (execution.state, execution.reason) == (ExecutionState.FAILED, "signature")
