"""What is counted together."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    Depends,
    Docket,
    RateLimit,
    TaskArgument,
    Worker,
)
from docket.dependencies.admission import LONGEST_VALUE, limit_name

A_MINUTE = timedelta(minutes=1)
LONG = "x" * 5000


@pytest.mark.parametrize(
    ("scope", "argument", "value", "name"),
    [
        (None, None, None, "work"),
        ("shop", None, None, "shop:work"),
        (None, "customer", 7, "customer:7"),
        ("shop", "customer", 7, "shop:customer:7"),
    ],
)
def test_a_limit_is_named_after_its_task_or_its_argument_within_its_scope(
    scope: str | None, argument: str | None, value: Any, name: str
) -> None:
    assert limit_name(scope, "work", argument, value) == name


def test_long_arguments_are_told_apart_by_a_digest() -> None:
    one, two = (limit_name(None, "work", "text", LONG + end) for end in "ab")

    assert one != two
    assert len(one) == len("text:") + 64
    assert limit_name(None, "work", "text", "x" * LONGEST_VALUE) == "text:" + "x" * LONGEST_VALUE
    # Half a character is no reason to fail.
    assert limit_name(None, "work", "text", "\udc80" * 201).startswith("text:")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_lets_nothing_through_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"max_concurrent must be at least 1, got {limit}"):
        ConcurrencyLimit(max_concurrent=limit)
    with pytest.raises(ValueError, match=f"limit must be at least 1, got {limit}"):
        RateLimit(limit, per=A_MINUTE)


async def test_hostile_arguments_only_name_a_limit(docket: Docket, worker: Worker) -> None:
    seen: list[str] = []

    async def work(text: Annotated[str, Cooldown(A_MINUTE)], number: int) -> None:
        seen.append(text)

    docket.register(work)
    hostile = ["", ":", "a\nb", "a\0b", "{x}", "*", LONG, "ä€😀", "'; redis.call('FLUSHALL') --"]
    for number in range(2):
        for text in hostile:
            await docket.add(work)(text, number)
    await worker.run_until_finished()

    assert sorted(seen) == sorted(hostile)


async def test_two_gates_of_one_task_count_apart(docket: Docket, worker: Worker) -> None:
    seen: list[tuple[int, int]] = []

    async def work(
        a: Annotated[int, Cooldown(A_MINUTE)], b: Annotated[int, Cooldown(A_MINUTE)]
    ) -> None:
        seen.append((a, b))

    docket.register(work)
    async with Worker(docket, concurrency=1) as one_by_one:
        for call in ((1, 1), (1, 2), (2, 1), (2, 2)):
            await docket.add(work)(*call)
        await one_by_one.run_until_finished()

    # What the second gate blocks has not started the window of the first.
    assert seen == [(1, 1), (2, 2)]


async def test_a_gate_on_what_a_dependency_gives_is_asked_when_that_is_there(
    docket: Docket, worker: Worker
) -> None:
    seen: list[tuple[str, int]] = []

    async def tenant(number: int = TaskArgument()) -> str:
        return "odd" if number % 2 else "even"

    async def work(number: int, of: Annotated[str, Cooldown(A_MINUTE)] = Depends(tenant)) -> None:
        seen.append((of, number))

    docket.register(work)
    async with Worker(docket, concurrency=1) as one_by_one:
        for number in range(4):
            await docket.add(work)(number)
        await one_by_one.run_until_finished()

    assert seen == [("even", 0), ("odd", 1)]


async def test_a_gate_in_a_factory_is_asked_where_it_stands(docket: Docket, worker: Worker) -> None:
    seen: list[int] = []

    async def once(cooldown: Cooldown = Cooldown(A_MINUTE)) -> None: ...

    async def work(number: int, may_start: None = Depends(once)) -> None:
        seen.append(number)

    docket.register(work)
    async with Worker(docket, concurrency=1) as one_by_one:
        for number in range(3):
            await docket.add(work)(number)
        await one_by_one.run_until_finished()

    assert seen == [0]
