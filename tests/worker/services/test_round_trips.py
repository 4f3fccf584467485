"""When a worker looks for what others have left: by their leases, and by the turns of suspects."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from docket import Docket, Worker
from docket.errors import ServerUnavailable
from docket.storage.claims import Consumer
from tests.conformance.conftest import working

LEASE = timedelta(milliseconds=400)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://trading") as docket:
        yield docket


@pytest.fixture(autouse=True)
def no_look_without_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker that looks for nothing, now and then, does so after these tests."""
    monkeypatch.setattr("docket.worker.services.round_trips.FALLBACK", 600.0)


async def work() -> str:
    return "done"


async def hold(docket: Docket, name: str, lease: int) -> None:
    """Have something run by a worker that is silent from then on."""
    silent = Consumer(name, name, ("default",), lease, 60_000, 60_000)
    _, catch = await docket.storage.exchange(silent).trade([], 1)
    assert catch is not None
    assert len(catch.claimed) == 1


async def test_an_idle_worker_looks_when_the_lease_of_another_one_ends(docket: Docket) -> None:
    execution = await docket.add(work)()
    await hold(docket, "silent", 700)
    async with Worker(docket, redelivery_timeout=LEASE) as worker, working(worker):
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "done"


async def test_a_lease_that_was_renewed_is_looked_at_again_when_it_ends(docket: Docket) -> None:
    execution = await docket.add(work)()
    await hold(docket, "silent", 700)
    leases = docket.storage.keys.leases
    async with Worker(docket, redelivery_timeout=LEASE) as worker:
        looked = asyncio.Event()
        next_expiry = worker._exchange.next_expiry

        async def renewed_at_first() -> int | None:
            if not looked.is_set():
                async with docket.redis() as client:
                    await client.zincrby(leases, 500, "silent")
                looked.set()
            return await next_expiry()

        worker._exchange.next_expiry = renewed_at_first  # type: ignore[method-assign]
        async with working(worker):
            await asyncio.wait_for(looked.wait(), 60)
            assert await execution.get_result(timeout=timedelta(seconds=60)) == "done"


async def test_a_look_at_leases_that_fails_becomes_a_claim(docket: Docket) -> None:
    execution = await docket.add(work)()
    await hold(docket, "silent", 700)
    async with Worker(docket, redelivery_timeout=LEASE) as worker:

        async def away() -> int | None:
            raise ServerUnavailable("away")

        worker._exchange.next_expiry = away  # type: ignore[method-assign]
        async with working(worker):
            assert await execution.get_result(timeout=timedelta(seconds=60)) == "done"
