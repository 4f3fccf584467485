"""Calls that did not come along with a claim are read afterwards, a slice at a time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from docket import Docket
from docket.errors import ServerUnavailable
from docket.storage.claims import SLICE_BYTES, Claimed, Claims, Consumer
from docket.worker.runs.slots import Run
from docket.worker.services.large_calls import Loading


class Reads(Claims):
    """A real one that notes what is read, and breaks when it is told to."""

    failures = 0

    def __init__(self, docket: Docket) -> None:
        claimant = Consumer("reader", "reader", ("default",), 60_000, 60_000, 60_000)
        super().__init__(docket.storage.connection, docket.storage.keys, claimant)
        self.read: list[list[str]] = []

    async def read_calls(self, claimed: Sequence[Claimed]) -> list[bytes | None]:
        self.read.append([one.key for one in claimed])
        if self.failures:
            self.failures -= 1
            raise ServerUnavailable("away")
        return await super().read_calls(claimed)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://loading") as docket:
        yield docket


async def work(_: str) -> None: ...


async def claimed(docket: Docket, exchange: Claims, count: int) -> list[Claimed]:
    """So many executions, as they come."""
    await docket.add_many([docket.call(work, key=f"{n}")("argument") for n in range(count)])
    _, catch = await exchange.trade([], count)
    assert catch is not None
    return catch.claimed


def without_call(one: Claimed, size: int | None = None) -> Run:
    return Run(one._replace(call=b"", size=one.size if size is None else size))


async def test_calls_are_read_in_slices_in_the_order_of_the_claim(docket: Docket) -> None:
    exchange = Reads(docket)
    given = await claimed(docket, exchange, 5)
    sizes = [SLICE_BYTES + 1, SLICE_BYTES // 2, SLICE_BYTES // 2, 10, 10]
    runs = [without_call(one, size) for one, size in zip(given, sizes, strict=True)]
    loading = Loading(exchange)

    assert all(await asyncio.gather(*map(loading.complete, runs)))

    assert exchange.read == [["0"], ["1", "2"], ["3", "4"]]
    assert [run.claimed.call for run in runs] == [one.call for one in given]
    assert all(run.claimed.is_complete for run in runs)


async def test_a_server_that_is_away_is_asked_again(docket: Docket) -> None:
    exchange = Reads(docket)
    exchange.failures = 2
    runs = [without_call(one) for one in await claimed(docket, exchange, 2)]
    loading = Loading(exchange)

    assert all(await asyncio.gather(*map(loading.complete, runs)))
    assert exchange.read == [["0", "1"]] * 3
    # Who was there first is done; the next one begins anew.
    assert await loading.complete(runs[0])


async def test_what_another_worker_has_now_is_not_run(docket: Docket) -> None:
    exchange = Reads(docket)
    (one,) = await claimed(docket, exchange, 1)

    assert not await Loading(exchange).complete(without_call(one._replace(fence=one.fence - 1)))


async def test_who_was_stopped_meanwhile_is_not_read_for(docket: Docket) -> None:
    exchange = Reads(docket)
    first, second, third = (without_call(one) for one in await claimed(docket, exchange, 3))
    loading = Loading(exchange)
    stopped = asyncio.create_task(loading.complete(first))
    others = asyncio.gather(loading.complete(second), loading.complete(third))
    await asyncio.sleep(0)
    stopped.cancel()

    assert await others == [True, True]
    assert exchange.read == [["1", "2"]]


async def test_who_is_stopped_while_it_is_read_for_keeps_nobody_else_waiting(
    docket: Docket,
) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Reads):
        async def read_calls(self, claimed: Sequence[Claimed]) -> list[bytes | None]:
            reading.set()
            await go_on.wait()
            return await super().read_calls(claimed)

    exchange = Slow(docket)
    first, second = (without_call(one) for one in await claimed(docket, exchange, 2))
    loading = Loading(exchange)
    stopped = asyncio.create_task(loading.complete(first))
    other = asyncio.create_task(loading.complete(second))
    await reading.wait()
    stopped.cancel()
    go_on.set()

    assert await other
