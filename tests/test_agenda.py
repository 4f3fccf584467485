"""How calls are spread over a time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from docket import Agenda, Docket


async def work(number: int = 0) -> None: ...


START = datetime(2030, 1, 1, tzinfo=timezone.utc)


async def test_one_call_goes_to_the_middle() -> None:
    agenda = Agenda()
    agenda.add(work)(1)
    async with Docket("agenda-one", "memory://agenda") as docket:
        (execution,) = await agenda.scatter(docket, timedelta(hours=1), START)

    assert execution.when == START + timedelta(minutes=30)


async def test_jitter_never_comes_before_the_start() -> None:
    agenda = Agenda()
    for _ in range(50):
        agenda.add(work)()
    async with Docket("agenda-jitter", "memory://agenda") as docket:
        moments = [
            execution.when
            for execution in await agenda.scatter(
                docket, timedelta(minutes=1), START, jitter=timedelta(minutes=5)
            )
        ]

    assert min(moments) >= START
    assert moments != sorted(moments)


async def test_an_empty_agenda_schedules_nothing_and_without_a_start_it_is_now() -> None:
    agenda = Agenda()
    async with Docket("agenda-empty", "memory://agenda") as docket:
        assert await agenda.scatter(docket, timedelta(minutes=1)) == []


async def test_nothing_is_scheduled_when_something_is_wrong() -> None:
    agenda = Agenda()
    agenda.add(work)()
    agenda.add("nobody")()
    async with Docket("agenda-wrong", "memory://agenda") as docket:
        with pytest.raises(KeyError, match="Task 'nobody' is not registered"):
            await agenda.scatter(docket, timedelta(minutes=1))
        with pytest.raises(ValueError, match="'over' parameter must be a positive duration"):
            await agenda.scatter(docket, timedelta())
        assert (await docket.snapshot()).total_tasks == 0
