"""Adds of many tasks in one moment share round trips, and each hears its own answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from docket import Docket
from docket.errors import ServerUnavailable
from docket.foundation.lifecycle import Disposition, ExecutionState
from docket.storage.coalescing import TOGETHER, Coalescing, Mode
from docket.storage.executions import NewExecution, Scheduled
from docket.storage.scripting.nonces import FRESH


def new(key: str, size: int = 1) -> NewExecution:
    return NewExecution(key, FRESH, 0, "work", b"x" * size)


def accepted() -> Scheduled:
    return Scheduled(Disposition.SCHEDULED, ExecutionState.QUEUED, 1)


class Server:
    """Writes down what comes, and answers when the test says so."""

    def __init__(self) -> None:
        self.batches: list[tuple[Mode, list[str]]] = []
        self.answers = asyncio.Event()
        self.trouble: Exception | None = None

    async def send(self, mode: Mode, executions: Sequence[NewExecution]) -> list[Scheduled]:
        self.batches.append((mode, [one.key for one in executions]))
        await self.answers.wait()
        if self.trouble is not None:
            raise self.trouble
        return [accepted()._replace(error=one.key) for one in executions]


async def test_one_after_the_other_goes_at_once_and_alone() -> None:
    server = Server()
    server.answers.set()
    coalescing = Coalescing(server.send)

    for key in "abc":
        answer = await coalescing.schedule("add", new(key))
        assert answer.error == key

    assert server.batches == [("add", ["a"]), ("add", ["b"]), ("add", ["c"])]


async def test_many_of_one_moment_go_together_in_their_order_and_each_hears_its_own_answer() -> (
    None
):
    server = Server()
    coalescing = Coalescing(server.send)
    adding = [asyncio.create_task(coalescing.schedule("add", new(key))) for key in "abcdef"]
    while len(server.batches) < 2:
        await asyncio.sleep(0)
    # A batch that is under way keeps nobody waiting who comes later.
    later = asyncio.create_task(coalescing.schedule("add", new("g")))
    while len(server.batches) < 3:
        await asyncio.sleep(0)
    server.answers.set()

    assert [(await one).error for one in (*adding, later)] == list("abcdefg")
    assert server.batches == [("add", ["a"]), ("add", list("bcdef")), ("add", ["g"])]


async def test_those_who_mean_something_else_by_it_and_what_is_large_go_apart() -> None:
    server = Server()
    coalescing = Coalescing(server.send)
    large = TOGETHER // 2 + 1
    calls: list[tuple[Mode, NewExecution]] = [
        ("add", new("first")),
        ("add", new("a")),
        ("replace", new("b")),
        ("replace", new("c")),
        ("add", new("d", large)),
        ("add", new("e", large)),
        ("add", new("f", 2 * TOGETHER)),
    ]

    adding = [asyncio.create_task(coalescing.schedule(*call)) for call in calls]
    while len(server.batches) < 6:
        await asyncio.sleep(0)
    server.answers.set()
    await asyncio.gather(*adding)

    assert server.batches == [
        ("add", ["first"]),
        ("add", ["a"]),
        ("replace", ["b", "c"]),
        ("add", ["d"]),
        ("add", ["e"]),
        ("add", ["f"]),
    ]


async def test_all_of_a_batch_hear_that_the_server_is_away_and_the_next_one_is_sent_again() -> None:
    server = Server()
    coalescing = Coalescing(server.send)
    adding = [asyncio.create_task(coalescing.schedule("add", new(key))) for key in "abc"]
    while len(server.batches) < 2:
        await asyncio.sleep(0)
    server.trouble = ServerUnavailable("away")
    server.answers.set()

    for one in adding:
        with pytest.raises(ServerUnavailable, match="away"):
            await one
    server.trouble = None
    assert (await coalescing.schedule("add", new("d"))).error == "d"
    assert server.batches[-1] == ("add", ["d"])


async def test_one_that_is_cancelled_before_it_went_out_is_not_scheduled() -> None:
    server = Server()
    coalescing = Coalescing(server.send)
    adding = [asyncio.create_task(coalescing.schedule("add", new(key))) for key in "abc"]
    await asyncio.sleep(0)
    adding[1].cancel()
    server.answers.set()
    await asyncio.wait(adding)

    assert server.batches == [("add", ["a"]), ("add", ["c"])]
    assert adding[1].cancelled()


@pytest.mark.parametrize("failing", [False, True])
async def test_one_that_is_cancelled_while_its_batch_is_under_way_is_answered_by_nobody(
    failing: bool,
) -> None:
    server = Server()
    coalescing = Coalescing(server.send)
    adding = [asyncio.create_task(coalescing.schedule("add", new(key))) for key in "abc"]
    while len(server.batches) < 2:
        await asyncio.sleep(0)
    server.trouble = ServerUnavailable("away") if failing else None
    adding[1].cancel()
    server.answers.set()

    ended = await asyncio.gather(*adding, return_exceptions=True)
    assert isinstance(ended[1], asyncio.CancelledError)
    assert isinstance(ended[2], ServerUnavailable if failing else Scheduled)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://coalescing") as docket:
        yield docket


async def work(number: int) -> None: ...


async def test_a_hundred_adds_of_one_moment_take_two_round_trips(docket: Docket) -> None:
    connection = docket.storage.connection
    docket.register(work)
    await docket.add(work)(0)
    sent: list[int] = []
    send = connection.send

    async def counted(*commands: tuple[bytes | str | int | float, ...]) -> list[object]:
        sent.append(len(commands))
        return await send(*commands)

    connection.send = counted  # type: ignore[method-assign]
    executions = await asyncio.gather(*(docket.add(work)(number) for number in range(100)))

    assert {one.disposition for one in executions} == {Disposition.SCHEDULED}
    assert (await docket.snapshot()).total_tasks == 101
    assert sent[:2] == [1, 1]
    assert len({one.key for one in executions}) == 100
