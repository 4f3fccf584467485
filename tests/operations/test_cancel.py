"""Work is cancelled by what it is, and run before its time; what another call has put there stays."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest

from docket import ConcurrencyLimit, Docket, ExecutionState, Retry, Worker
from docket.errors import ServerUnavailable
from docket.foundation.lifecycle import LIVE
from docket.operations import Deed, Done, Selection, new_deed
from docket.strikelist import Condition, Operator
from tests.conformance.conftest import until, working

HOUR = timedelta(hours=1)


async def charge(customer: str, amount: int = 1) -> str:
    return customer


async def fails(retry: Retry = Retry(attempts=2, delay=HOUR)) -> None:
    raise ValueError("closed")


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://cancels") as docket:
        docket.register(charge)
        yield docket


@pytest.fixture
async def anywhere(server_url: str) -> AsyncIterator[Docket]:
    """A docket on every kind of server."""
    async with Docket(uuid.uuid4().hex, server_url) as docket:
        docket.register(charge)
        yield docket
        await docket.storage.erase()


def later() -> datetime:
    return datetime.now(timezone.utc) + HOUR


async def keys_of(docket: Docket, selection: Selection) -> list[str]:
    return sorted(one.key for one in (await docket.operations.find(selection)).matches)


def where(name: str, value: object) -> tuple[Condition, ...]:
    return (Condition(name, Operator("=="), value),)  # type: ignore[arg-type]


async def state_of(docket: Docket, key: str) -> ExecutionState | None:
    execution = await docket.get_execution(key)
    return execution and execution.state


async def test_work_is_found_by_what_it_is_and_cancelled_with_a_reason(anywhere: Docket) -> None:
    docket = anywhere
    await docket.add(charge, key="acme", tags=["invoice"])("acme", amount=5)
    await docket.add(charge, key="later", when=later(), queue="bulk", priority="low")("acme")
    await docket.add(charge, key="other", queue="bulk")("other")
    await docket.strike("charge", "customer", "==", "parked", action="park")
    await docket.add(charge, key="parked")("parked")
    await docket.add("trace", key="trace")("hi")

    assert await keys_of(docket, Selection(task="charge", where=where("customer", "acme"))) == [
        "acme",
        "later",
    ]
    assert await keys_of(docket, Selection(queue="bulk")) == ["later", "other"]
    assert await keys_of(docket, Selection(tag="invoice")) == ["acme"]
    assert await keys_of(docket, Selection(older=HOUR)) == []
    assert await keys_of(docket, Selection(states=frozenset({ExecutionState.PARKED}))) == ["parked"]
    found = await docket.operations.find(Selection(task="charge", older=timedelta()))

    done = await docket.operations.cancel(*found.matches, author="ann", reason="INC-7")

    assert {(one.key, one.deed) for one in done} == {
        (key, Deed.CANCELLED) for key in ("acme", "other", "parked")
    }
    explanation = await docket.insights.explain("acme")
    assert explanation is not None
    assert explanation.sentence.endswith(", by ann (INC-7).")
    assert await state_of(docket, "later") is ExecutionState.SCHEDULED


async def test_a_key_that_stands_for_another_call_by_then_is_left_alone(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    found = await docket.operations.find(Selection(task="charge"))
    await docket.replace(charge, later(), "k")("acme")

    assert await docket.operations.cancel(*found.matches, "none") == [
        Done("k", Deed.MOVED),
        Done("none", Deed.UNKNOWN),
    ]
    assert await state_of(docket, "k") is ExecutionState.SCHEDULED


async def test_a_cancellation_that_is_sent_again_says_the_same(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    await docket.add(charge, key="k")("acme")
    send, lost = docket.storage.connection.send, [True]

    async def lose_the_reply(*commands: object) -> list[object]:
        replies = await send(*commands)  # type: ignore[arg-type]
        if lost:
            lost.pop()
            raise ServerUnavailable("the reply is lost")
        return replies

    monkeypatch.setattr(docket.storage.connection, "send", lose_the_reply)

    assert await docket.operations.cancel("k") == [Done("k", Deed.CANCELLED)]
    assert await docket.operations.cancel("k") == [Done("k", Deed.FINISHED)]


async def test_what_cannot_be_read_here_is_counted_and_left_alone(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    await docket.add(charge, key="named")(customer="acme")
    run = docket.runs_key("k")
    del docket.tasks["charge"]

    found = await docket.operations.find(Selection(where=where("customer", "acme")))
    assert ([one.key for one in found.matches], found.unreadable) == (["named"], ("k",))

    await docket.storage.connection.send(("HSET", run, "call", b"\x00torn"))
    docket.register(charge)
    found = await docket.operations.find(Selection(where=where("customer", "acme")))
    assert ([one.key for one in found.matches], found.unreadable) == (["named"], ("k",))


async def test_a_running_one_is_asked_to_end(docket: Docket) -> None:
    begun = asyncio.Event()

    async def forever() -> None:
        begun.set()
        await asyncio.Event().wait()

    execution = await docket.add(forever, key="k")()
    async with Worker(docket) as worker, working(worker):
        await asyncio.wait_for(begun.wait(), 60)
        assert await docket.operations.cancel("k") == [Done("k", Deed.REQUESTED)]
        await until(lambda: _is_over(docket, "k"))
    await execution.sync()
    assert execution.state is ExecutionState.CANCELLED


async def _is_over(docket: Docket, key: str) -> bool:
    state = await state_of(docket, key)
    return state is not None and state not in LIVE


async def test_what_is_scheduled_runs_now_and_a_pause_between_attempts_ends(docket: Docket) -> None:
    async def slow(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        begun.set()
        await release.wait()

    begun, release = asyncio.Event(), asyncio.Event()
    await docket.add(fails, key="retried")()
    await docket.add(charge, key="later", when=later())("acme")
    await docket.add(charge, key="live", queue="elsewhere")("acme")
    async with Worker(docket) as worker, working(worker):
        await until(lambda: _is_scheduled(docket, "retried"))
        done = await docket.operations.run_now("retried", "later", "live", "none")
        assert [one.deed for one in done] == [
            *(Deed.DUE, Deed.DUE, Deed.NOT_SCHEDULED, Deed.UNKNOWN),
        ]
        await until(lambda: _is_over(docket, "later"))
        await until(lambda: _is_over(docket, "retried"))
        await docket.add(slow, key="holds")()
        await asyncio.wait_for(begun.wait(), 60)
        await docket.add(slow, key="waits")()
        await until(lambda: _is_scheduled(docket, "waits"))
        (waits,) = await docket.operations.run_now("waits")
        assert waits == Done("waits", Deed.NOT_SCHEDULED, "waits for a slot or its turn")
        release.set()
    assert await state_of(docket, "retried") is ExecutionState.FAILED


async def _is_scheduled(docket: Docket, key: str) -> bool:
    return await state_of(docket, key) is ExecutionState.SCHEDULED


async def test_a_deed_is_taken_back_as_far_as_nothing_of_it_has_begun(docket: Docket) -> None:
    async def breaks() -> None:
        raise ValueError("closed")

    for key in ("one", "two"):
        await docket.add(breaks, key=key)()
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    deed = new_deed()
    await docket.operations.retry("one", deed=deed)
    await docket.operations.retry("two", deed=new_deed())

    found = await docket.operations.find(Selection(deed=deed))

    assert [one.key for one in found.matches] == ["one"]


async def test_a_pause_of_a_queue_is_one_of_its_priorities(docket: Docket) -> None:
    execution = await docket.add(charge, key="k", queue="bulk", priority="high")("acme")
    await docket.operations.pause_queues("bulk", author="ann")
    async with Worker(docket, queues=["bulk"]) as worker, working(worker):
        explanation = await docket.insights.explain("k")
        assert explanation is not None
        assert explanation.sentence.startswith("Its queue bulk/high is paused by ann")
        await docket.operations.resume_queues("bulk")
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "acme"


async def test_notes_of_a_cancellation_that_cannot_be_read_are_left_out(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    await docket.operations.cancel("k", author="ann")
    for note in (b"{", b"[]"):
        await docket.storage.connection.send(("HSET", docket.runs_key("k"), "ended_by", note))
        explanation = await docket.insights.explain("k")
        assert explanation is not None
        assert "ann" not in explanation.sentence
