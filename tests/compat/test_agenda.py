"""An agenda, as programs written for pydocket use it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from docket import Agenda, Docket
from tests.compat.conftest import soon


async def greet(name: str, greeting: str = "Hello") -> None: ...


def test_it_collects_functions_and_names_with_their_arguments_and_keys() -> None:
    agenda = Agenda()
    agenda.add(greet)("Jane", greeting="Hi")
    agenda.add("greet", key="key")("John")

    assert len(agenda) == 2
    assert list(agenda) == [
        (greet, ("Jane",), {"greeting": "Hi"}, None),
        ("greet", ("John",), {}, "key"),
    ]
    agenda.clear()
    assert list(agenda) == []


@pytest.mark.parametrize("over", [timedelta(), timedelta(seconds=-1)])
async def test_it_is_scattered_over_a_positive_time_only(docket: Docket, over: timedelta) -> None:
    with pytest.raises(ValueError, match="'over' parameter must be a positive duration"):
        await Agenda().scatter(docket, over)


async def test_an_unknown_name_is_refused_before_anything_is_scheduled(docket: Docket) -> None:
    agenda = Agenda()
    agenda.add(greet)("Jane")
    agenda.add("nobody")()

    with pytest.raises(KeyError, match="Task 'nobody' is not registered"):
        await agenda.scatter(docket, timedelta(minutes=1))
    assert (await docket.snapshot()).total_tasks == 0


async def test_one_task_goes_in_the_middle(docket: Docket) -> None:
    agenda, start = Agenda(), soon()
    agenda.add(greet)("Jane")

    (execution,) = await agenda.scatter(docket, timedelta(minutes=10), start)

    assert execution.when == start + timedelta(minutes=5)


async def test_several_tasks_take_both_ends(docket: Docket) -> None:
    agenda, start = Agenda(), soon()
    for number in range(4):
        agenda.add(greet, key=f"key-{number}")("Jane")

    executions = await agenda.scatter(docket, timedelta(minutes=3), start)

    assert [one.when - start for one in executions] == [timedelta(minutes=n) for n in range(4)]
    assert [one.key for one in executions] == [f"key-{n}" for n in range(4)]


async def test_chance_never_moves_a_task_before_the_start(docket: Docket) -> None:
    agenda, start = Agenda(), soon()
    for _ in range(50):
        agenda.add(greet)("Jane")

    executions = await agenda.scatter(
        docket, timedelta(minutes=1), start, jitter=timedelta(minutes=5)
    )

    moments = [one.when for one in executions]
    assert min(moments) >= start
    assert moments != sorted(moments)


async def test_it_can_be_scattered_again(docket: Docket) -> None:
    agenda = Agenda()
    agenda.add(greet)("Jane")

    await agenda.scatter(docket, timedelta(minutes=1))
    await agenda.scatter(docket, timedelta(minutes=1))

    assert (await docket.snapshot()).total_tasks == 2
