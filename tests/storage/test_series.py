"""The series count each batch once, in three resolutions, within bounds."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket
from docket.storage.series import LETTERS, MOST, OTHER, RESOLUTIONS, Cell, Row, read_cell
from tests.compat.conftest import docket, least_privileged, name, pytest_generate_tests, url

__all__ = ["docket", "least_privileged", "name", "pytest_generate_tests", "url"]

HOUR = timedelta(hours=1)
LARGEST = 100_000
"""Bytes of all series of a task."""


async def minute_of(docket: Docket) -> int:
    return await docket.storage.executions.now() // 60_000


async def sums(docket: Docket, task: str, back: timedelta) -> dict[str, tuple[int, dict[int, int]]]:
    """How many have ended how, and how long they took, in the resolution that reaches so far back."""
    found = await docket.storage.series.read(datetime.now(timezone.utc) - back, task)
    total: dict[str, Cell] = {}
    for cells in found.tasks.get(task, {}).values():
        for ending, cell in cells.items():
            total.setdefault(ending, Cell()).add(cell.count, cell.seconds, cell.lengths)
    return {ending: (cell.count, cell.lengths) for ending, cell in total.items()}


async def test_a_batch_that_is_sent_again_counts_once_in_each_resolution(docket: Docket) -> None:
    add, minute = docket.storage.series.add, await minute_of(docket)
    batch = [
        Row(minute, "charge", "completed", Cell(3, 0.75, {5: 2, 17: 1})),
        Row(minute - 1, "charge", "completed", Cell(1, 0.25, {5: 1})),
        Row(minute, "charge", "expired", Cell(2)),
        Row(minute + 99, "charge", "failed", Cell(1, 9.5, {11: 1})),  # by a clock that is ahead
    ]

    assert [await add("w:1", 1, batch) for _ in range(3)] == [True, False, False]
    assert await add("w:1", 2, batch[:1])
    assert not await add("w:1", 1, batch)
    assert await add("w:2", 1, batch[:1])

    for back in (HOUR, 5 * HOUR, 72 * HOUR):
        assert await sums(docket, "charge", back) == {
            "completed": (10, {5: 7, 17: 3}),
            "expired": (2, {}),
            "failed": (1, {11: 1}),
        }
    assert await sums(docket, "unknown", HOUR) == {}
    async with docket.redis() as client:
        any_client: Any = client
        for kind in ("tasks", "seen:w:1", *(f"{one.name}:charge" for one in RESOLUTIONS)):
            assert await any_client.ttl(docket.key(f"series:{kind}")) > 0, kind
        # What is damaged is written anew.
        await any_client.hset(docket.key("series:1m:charge"), str(minute), "nonsense")
    assert await sums(docket, "charge", timedelta()) in ({}, {"failed": (1, {11: 1})})
    assert await add("w:1", 3, batch[2:3])
    assert "expired" in await sums(docket, "charge", HOUR)


@pytest.fixture
async def here() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://series") as docket:
        yield docket


async def test_tasks_beyond_the_first_500_are_counted_together(here: Docket) -> None:
    add, minute = here.storage.series.add, await minute_of(here)
    for batch in range(600 // MOST):
        tasks = range(batch * MOST, (batch + 1) * MOST)
        assert await add(
            "w:1", batch, [Row(minute, f"t{at}", "completed", Cell(1)) for at in tasks]
        )

    found = (await here.storage.series.read(datetime.now(timezone.utc) - HOUR)).tasks
    assert len(found) == 501
    assert sum(cell["completed"].count for cell in found[OTHER].values()) == 100

    async with here.redis() as client:
        any_client: Any = client
        await any_client.zadd(here.key("series:tasks"), {"t0": minute - 8 * 24 * 60})
    assert await add("w:1", 99, [Row(minute, "late", "completed", Cell(1))])
    assert (await sums(here, "late", HOUR))["completed"][0] == 1


async def test_a_task_takes_so_many_bytes_at_most_and_old_cells_go(here: Docket) -> None:
    await here.storage.clock.stop()
    minute = await minute_of(here)
    lengths = dict.fromkeys(range(18), 12345)
    minutes = {minute - at * one.minutes for one in RESOLUTIONS for at in range(one.kept)}
    rows = [
        Row(
            at,
            "busy",
            ending,
            Cell(222_210, 55_555.5, lengths if ending in "completed failed" else {}),
        )
        for at in sorted(minutes)
        for ending in LETTERS
    ]
    for number, at in enumerate(range(0, len(rows), MOST)):
        await here.storage.series.add("w:1", number, rows[at : at + MOST])

    async with here.redis() as client:
        any_client: Any = client

        async def all_of(command: str, *more: str) -> list[int]:
            keys = [here.key(f"series:{one.name}:busy") for one in RESOLUTIONS]
            return [await any_client.execute_command(*command.split(), key, *more) for key in keys]

        assert await all_of("HLEN") == [180, 144, 168]
        assert sum(await all_of("MEMORY USAGE", "SAMPLES", "0")) <= LARGEST
        await here.storage.clock.move((minute + 4 * 60) * 60_000)
        late = [
            Row(minute + 4 * 60, "busy", "failed", Cell(1)),
            Row(minute, "busy", "failed", Cell(1)),
        ]
        await here.storage.series.add("w:1", 1000, late)
        assert await all_of("HLEN") == [1, 144 - 24 + 1, 168 - 4 + 1]
    total = await sums(here, "busy", timedelta(hours=23))
    assert sum(total["completed"][1].values()) > 0


def test_what_is_damaged_in_a_cell_is_left_out() -> None:
    found = read_cell(b"garbage;c2 x 3:1,4:1;q1 1 ;f1 2.5 ;")

    assert found == {"completed": Cell(2, 0.0, {3: 1, 4: 1}), "failed": Cell(1, 2.5, {})}
