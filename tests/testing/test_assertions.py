"""Assertions on what waits: they look at the future, and say what they have found."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from docket import Docket, Worker, testing

SOON = datetime.now(timezone.utc) + timedelta(hours=1)


async def greet(name: str, greeting: str = "Hello", *, punctuation: str = "!") -> None: ...


async def wave() -> None: ...


async def test_a_call_that_waits_is_found_by_its_task_or_by_its_name(docket: Docket) -> None:
    await docket.add(greet, when=SOON)("Jane")

    await testing.assert_task_scheduled(docket, greet)
    await testing.assert_task_scheduled(docket, "greet")


async def test_what_is_due_already_counts_as_well(docket: Docket) -> None:
    await docket.add(wave)()

    await testing.assert_task_scheduled(docket, wave)
    await testing.assert_task_count(docket, count=1)


async def test_what_runs_does_not_wait(docket: Docket, worker: Worker) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await release.wait()

    await docket.add(hold)()
    working = asyncio.create_task(worker.run_until_finished())
    await begun.wait()

    await testing.assert_no_tasks(docket)
    await testing.assert_task_not_scheduled(docket, hold)
    release.set()
    await working


async def test_a_task_is_known_under_all_of_its_names(docket: Docket) -> None:
    docket.register(wave, ["wave at the crowd"])
    await docket.add("wave at the crowd", when=SOON)()

    await testing.assert_task_scheduled(docket, wave)
    await testing.assert_task_scheduled(docket, "wave at the crowd")


async def test_positional_arguments_are_compared_as_a_whole(docket: Docket) -> None:
    await docket.add(greet, when=SOON)("Jane", "Howdy")

    await testing.assert_task_scheduled(docket, greet, args=("Jane", "Howdy"))
    await testing.assert_task_not_scheduled(docket, greet, args=("Jane",))
    await testing.assert_task_not_scheduled(docket, greet, args=())


async def test_keyword_arguments_may_be_some_of_them(docket: Docket) -> None:
    await docket.add(greet, when=SOON)("Jane", greeting="Howdy", punctuation="?")

    await testing.assert_task_scheduled(docket, greet, kwargs={"punctuation": "?"})
    await testing.assert_task_scheduled(docket, greet, kwargs={})
    await testing.assert_task_not_scheduled(docket, greet, kwargs={"punctuation": "."})
    await testing.assert_task_not_scheduled(docket, greet, kwargs={"name": None})


async def test_one_call_must_fit_in_everything(docket: Docket) -> None:
    await docket.add(greet, when=SOON, key="a")("Jane")
    await docket.add(greet, when=SOON, key="b")("John")

    await testing.assert_task_scheduled(docket, greet, args=("John",), key="b")
    await testing.assert_task_not_scheduled(docket, greet, args=("John",), key="a")


async def test_a_call_that_is_missing_is_described_beside_those_that_are_there(
    docket: Docket,
) -> None:
    await docket.add(greet, when=datetime(2199, 1, 1, tzinfo=timezone.utc), key="a")(
        "Jane", greeting="Howdy"
    )

    with pytest.raises(AssertionError) as caught:
        await testing.assert_task_scheduled(
            docket, greet, args=("John",), kwargs={"punctuation": "?"}, key="b"
        )

    assert str(caught.value) == (
        "expected greet with args=('John',), kwargs={'punctuation': '?'}, key='b' to be scheduled, "
        "found 1 call:\n"
        "    greet('Jane', greeting='Howdy'), key 'a', due 2199-01-01T00:00:00.000+00:00"
    )


async def test_where_nothing_waits_the_message_says_so(docket: Docket) -> None:
    with pytest.raises(AssertionError, match="expected wave to be scheduled, found nothing"):
        await testing.assert_task_scheduled(docket, "wave")


async def test_a_call_that_should_not_be_there_is_shown_alone(docket: Docket) -> None:
    await docket.add(greet, when=SOON)("Jane")
    await docket.add(wave, when=SOON)()

    with pytest.raises(AssertionError, match=r"expected wave not to .* found 1 call:\n +wave\(\)"):
        await testing.assert_task_not_scheduled(docket, wave)


async def test_a_count_may_be_of_one_task_or_of_all(docket: Docket) -> None:
    await docket.add(greet, when=SOON)("Jane")
    await docket.add(wave, when=SOON)()
    await docket.add(wave, when=SOON)()

    await testing.assert_task_count(docket, count=3)
    await testing.assert_task_count(docket, wave, count=2)
    await testing.assert_task_count(docket, "greet", count=1)
    await testing.assert_task_count(docket, "nobody", count=0)


async def test_a_wrong_count_shows_what_there_is(docket: Docket) -> None:
    await docket.add(wave, when=SOON)()

    with pytest.raises(AssertionError, match=r"2 calls of wave .* found 1; there is 1 call:\n"):
        await testing.assert_task_count(docket, wave, count=2)
    with pytest.raises(AssertionError, match=r"expected 0 calls to be scheduled, found 1;"):
        await testing.assert_task_count(docket, count=0)


async def test_nothing_waits_when_all_has_run(docket: Docket) -> None:
    await testing.assert_no_tasks(docket)
    await docket.add(wave, when=SOON)()

    with pytest.raises(AssertionError, match=r"expected nothing to be scheduled, found 1 call"):
        await testing.assert_no_tasks(docket)


async def test_a_long_list_is_cut(docket: Docket) -> None:
    await docket.add_many([docket.call(wave, SOON)() for _ in range(25)])

    with pytest.raises(AssertionError) as caught:
        await testing.assert_no_tasks(docket)

    assert str(caught.value).endswith("\n    and 5 more")
    assert str(caught.value).count("wave()") == 20
