"""Dead letters are run once more, or taken away, and say what they were before."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket, ExecutionState, Retry, Worker
from docket.operations import Deed, Done
from docket.storage.dead import read_lineage
from docket.storage.scripting.script import Script, run
from tests.conformance.conftest import working

healed: set[str] = set()
seen: list[tuple[Any, ...]] = []


class Broken(Exception):
    """What the tasks here fail with."""


async def charge(customer: str, amount: int = 1, *, retry: Retry = Retry(attempts=2)) -> int:
    seen.append((customer, amount))
    if customer not in healed:
        raise Broken(f"no account of {customer}")
    return amount


@pytest.fixture(autouse=True)
def _forget() -> None:
    healed.clear()
    seen.clear()


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://retries") as docket:
        docket.register(charge)
        yield docket


@pytest.fixture
async def anywhere(server_url: str) -> AsyncIterator[Docket]:
    """A docket on every kind of server."""
    async with Docket(uuid.uuid4().hex, server_url) as docket:
        docket.register(charge)
        yield docket
        await docket.storage.erase()


async def work_off(docket: Docket) -> None:
    async with Worker(docket) as worker:
        await worker.run_until_finished()


async def test_a_dead_letter_runs_once_more_from_its_first_attempt(anywhere: Docket) -> None:
    execution = await anywhere.add(charge, key="k")("acme", amount=5)
    await work_off(anywhere)
    await execution.sync()
    assert (execution.state, execution.attempt) == (ExecutionState.FAILED, 2)

    healed.add("acme")
    done = await anywhere.operations.retry("k", author="ann", reason="INC-12")
    async with Worker(anywhere) as worker, working(worker):
        result = await execution.get_result(timeout=timedelta(seconds=60))
    again = await anywhere.get_execution("k")

    assert done == [Done("k", Deed.RETRIED, "queued")]
    assert result == 5
    assert again is not None
    assert (again.state, again.attempt, again.error) == (ExecutionState.COMPLETED, 1, None)
    (before,) = again.retries
    assert (before.author, before.why, before.attempts) == ("ann", "INC-12", 2)
    assert "no account of acme" in before.error
    assert await anywhere.storage.executions.count_dead() == 0


async def test_a_dead_letter_runs_with_other_arguments_and_tells_which(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme", 7)
    await work_off(docket)
    healed.add("robert")

    (done,) = await docket.operations.retry("k", changes={"customer": "robert"})
    await work_off(docket)
    again = await docket.get_execution("k")

    assert done.deed is Deed.RETRIED
    assert seen[-1] == ("robert", 7)
    assert again is not None
    assert (again.args, again.kwargs) == (("robert", 7), {})
    assert again.retries[0].changes == {"customer": "'robert'"}


async def test_what_was_retried_before_tells_of_each_time(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    for author in ("ann", "bob"):
        await work_off(docket)
        await docket.operations.retry("k", author=author)
    again = await docket.get_execution("k")

    assert again is not None
    assert [one.author for one in again.retries] == ["ann", "bob"]


async def test_what_is_no_dead_letter_is_left_alone(docket: Docket) -> None:
    healed.add("well")
    await docket.add(charge, key="done")("well")
    await work_off(docket)
    await docket.add(charge, key="waits")("acme")

    for deed in (docket.operations.retry, docket.operations.discard):
        done = {one.key: one.deed for one in await deed("done", "waits", "nothing")}
        assert done == {"done": Deed.NOT_DEAD, "waits": Deed.NOT_DEAD, "nothing": Deed.UNKNOWN}
    assert len((await docket.snapshot()).future) == 1


async def test_arguments_that_do_not_fit_leave_it_a_dead_letter(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    await work_off(docket)

    known, gone = await docket.operations.retry("k", "gone", changes={"colour": "red"})

    assert (known.deed, gone.deed) == (Deed.FAILED, Deed.UNKNOWN)
    assert "unexpected keyword argument 'colour'" in known.detail
    assert await docket.storage.executions.count_dead() == 1


async def test_a_strike_keeps_a_dead_letter_from_being_retried(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    await work_off(docket)
    await docket.strike("charge")

    (done,) = await docket.operations.retry("k")

    assert (done.deed, done.detail) == (Deed.STRUCK, "failed")
    assert await docket.storage.executions.count_dead() == 1


async def test_a_parking_strike_parks_what_is_retried(docket: Docket) -> None:
    healed.add("acme")
    await docket.add(charge, key="k")("other")
    await work_off(docket)
    await docket.strike("charge", action="park")

    (done,) = await docket.operations.retry("k", changes={"customer": "acme"})
    await docket.restore("charge")
    async with Worker(docket) as worker, working(worker):
        execution = await docket.get_execution("k")
        assert execution is not None
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 1

    assert (done.deed, done.detail) == (Deed.STRUCK, "parked")


async def test_arguments_are_changed_where_only_workers_know_the_task(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme", 7)
    await work_off(docket)
    healed.add("robert")
    async with (
        Docket(docket.name, "memory://retries") as elsewhere,
        Worker(docket) as worker,
        working(worker),
    ):
        (done,) = await elsewhere.operations.retry("k", changes={"customer": "robert", "amount": 8})
        execution = await docket.get_execution("k")
        assert execution is not None
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 8

    assert done.deed is Deed.RETRIED


async def test_a_retry_whose_answer_was_lost_is_not_a_second_one(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    await work_off(docket)
    call = Script("retry", ("author", "why", "deed")).call(
        docket.storage.keys, "ann", "", "", "k", "nonce", "", ""
    )
    first, second = await run(docket.storage.connection, call, call)
    again = await docket.get_execution("k")

    assert first == second
    assert again is not None
    assert len(again.retries) == 1


async def test_a_discarded_dead_letter_leaves_nothing(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    await work_off(docket)

    assert await docket.operations.discard("k") == [Done("k", Deed.DISCARDED)]
    assert await docket.get_execution("k") is None
    assert await docket.storage.executions.count_dead() == 0


@pytest.mark.thorough
async def test_many_are_retried_at_once(docket: Docket) -> None:
    keys = [f"k{number}" for number in range(250)]
    await docket.add_many(docket.call(charge, key=key)("acme") for key in keys)
    await work_off(docket)
    healed.add("acme")

    done = await docket.operations.retry(*keys)
    await work_off(docket)

    assert {one.deed for one in done} == {Deed.RETRIED}
    assert [one.key for one in done] == keys
    assert await docket.storage.executions.count_dead() == 0


async def test_arguments_of_types_that_only_the_code_knows_are_not_changed_elsewhere(
    docket: Docket,
) -> None:
    async def mark(when: datetime, note: str = "") -> None:
        raise Broken

    docket.register(mark)
    for key in ("k1", "k2"):
        await docket.add(mark, key=key)(datetime(2026, 1, 1, tzinfo=timezone.utc))
    await work_off(docket)
    async with (
        Docket(docket.name, "memory://retries") as elsewhere,
        Worker(docket) as worker,
        working(worker),
    ):
        done = await elsewhere.operations.retry("k1", "k2", changes={"note": "late"})

    assert [one.deed for one in done] == [Deed.FAILED] * 2
    assert "have types that only the code of mark knows" in done[0].detail


@pytest.mark.parametrize(
    "text", ["", "nonsense", "{}", "[1]", '[{"error": "e"}]', '[{"ended": []}]']
)
def test_what_is_damaged_of_earlier_retries_is_left_out(text: str) -> None:
    assert read_lineage(text) == []
