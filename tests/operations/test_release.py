"""Parked work is released by its keys; what a strike keeps is left alone and told."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timezone

import pytest

from docket import Docket, ExecutionState, Worker
from docket.operations import Deed, Done, Selection

PARKED = frozenset({ExecutionState.PARKED})


async def paint() -> None: ...


async def plant() -> None: ...


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    """One in which "unknown" and "other" are parked, as nobody knows their task, and "struck" by a strike."""
    async with Docket(uuid.uuid4().hex, "memory://releases") as docket:
        docket.register(paint)
        docket.register(plant)
        await docket.strike(plant, action="park")
        for key in ("unknown", "other"):
            await docket.add(paint, key=key)()
        await docket.add(plant, key="struck")()
        del docket.tasks["paint"]
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        docket.register(paint)
        yield docket


async def state_of(docket: Docket, key: str) -> str:
    execution = await docket.get_execution(key)
    assert execution is not None
    return execution.state.value


async def test_each_key_has_its_answer_and_a_dry_run_changes_nothing(docket: Docket) -> None:
    await docket.add("trace", key="live")("hi")
    (reply,) = await docket.storage.connection.send(
        ("HSET", docket.runs_key("odd"), "state", "parked")
    )
    assert reply == 1
    keys = ("unknown", "struck", "live", "nobody", "odd")
    expected = [
        Done("unknown", Deed.RELEASED),
        Done("struck", Deed.STRUCK, "task:plant"),
        Done("live", Deed.NOT_PARKED, "queued"),
        Done("nobody", Deed.UNKNOWN),
        Done("odd", Deed.FAILED),
    ]

    assert await docket.operations.release(*keys, dry_run=True) == expected
    assert await state_of(docket, "unknown") == "parked"
    assert await docket.operations.release(*keys, author="ann", reason="INC-7") == expected
    assert [await state_of(docket, key) for key in keys[:3]] == ["queued", "parked", "queued"]
    told = await docket.insights.explain("unknown")
    assert told is not None
    says = [fact.says for fact in told.facts]
    assert "It was parked, and was released by hand, by ann (INC-7)." in says


async def test_a_rule_for_its_task_keeps_also_what_was_parked_for_another_reason(
    docket: Docket,
) -> None:
    await docket.strike(paint)

    (done,) = await docket.operations.release("unknown")

    assert done == Done("unknown", Deed.STRUCK, "task:paint")


async def test_what_is_sent_again_is_answered_as_the_first_time(docket: Docket) -> None:
    deeds = docket.storage.deeds
    first = await deeds.release([("unknown", "")], "a note", dry_run=False)
    async with Worker(docket) as worker:
        await worker.run_until_finished()

    assert await deeds.release([("unknown", "")], "a note", dry_run=False) == first
    assert await state_of(docket, "unknown") == "completed"
    assert (await docket.operations.check()).is_well


async def test_what_was_found_is_released_unless_its_key_stands_for_another_call(
    docket: Docket,
) -> None:
    found = await docket.operations.find(Selection(task="paint", states=PARKED))
    await docket.replace("trace", datetime.now(timezone.utc), "other")("hi")

    done = await docket.operations.release(*found.matches)

    assert {one.key: one.deed for one in done} == {
        "unknown": Deed.RELEASED,
        "other": Deed.MOVED,
    }
