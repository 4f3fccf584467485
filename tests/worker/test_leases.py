"""Leases are renewed from a thread of their own."""

from __future__ import annotations

import asyncio
import uuid

from docket import Docket, Worker
from docket.errors import ServerUnavailable
from docket.storage.exchange import Claimant, Hold
from docket.worker.running import Run


async def nothing() -> None: ...


async def test_a_server_that_is_away_is_asked_again_soon() -> None:
    def away(_: list[Run]) -> list[Hold]:
        raise ServerUnavailable("nothing answers")

    async with Docket(uuid.uuid4().hex, "memory://leases") as docket, Worker(docket) as worker:
        docket.register(nothing)
        await docket.add(nothing)()
        claimant = Claimant("one", "one", ("default",), 60_000, 60_000, 60_000)
        _, catch = await docket.storage.exchange(claimant).trade([], 1)
        assert catch is not None
        run = worker._running.add(catch.claimed[0])
        loop = asyncio.get_running_loop()

        assert worker._leases._renew(loop, away) == 0.25
        worker._running.remove(run)
        assert worker._leases._renew(loop, away) == worker._leases._interval > 0.25
