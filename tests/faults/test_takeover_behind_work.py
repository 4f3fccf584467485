"""What dead workers held is found behind any amount of work that is held by living ones. About 5 s."""

from __future__ import annotations

import asyncio
import time

import pytest

from docket import Docket
from docket.storage.claims import ClaimReply, Claims, Consumer, Hold, renew

pytestmark = pytest.mark.fault

LEASE = 0.4


def exchange_of(docket: Docket, name: str, *queues: str) -> Claims:
    # Who lives keeps its leases, however slowly this process is scheduled.
    lease = int(LEASE * 1000) if name == "dead" else 60_000
    claimant = Consumer(name, name, queues or ("default",), lease, 60_000, 60_000)
    return docket.storage.exchange(claimant)


async def claim(exchange: Claims, slots: int) -> ClaimReply:
    _, catch = await exchange.trade([], slots)
    assert catch is not None
    return catch


@pytest.mark.parametrize("queues", [("default",), ("default", "other"), ("other", "default")])
async def test_what_a_dead_worker_held_behind_many_living_leases_is_taken_over(
    docket: Docket, queues: tuple[str, ...]
) -> None:
    async def work() -> None: ...

    docket.register(work)
    await docket.add_many([docket.call(work)() for _ in range(41)])
    living = (await claim(exchange_of(docket, "living"), 40)).claimed
    (lost,) = (await claim(exchange_of(docket, "dead"), 1)).claimed
    heir = exchange_of(docket, "heir", *queues)

    connection = docket.storage.connection.threaded()
    deadline = time.monotonic() + 60
    taken: list[str] = []
    try:
        while not taken:
            assert time.monotonic() < deadline, "it is never found"
            await asyncio.sleep(LEASE / 8)
            answers = await asyncio.to_thread(
                renew, connection, docket.storage.keys, "living", living
            )
            assert set(answers) == {Hold.HELD}
            taken = [claimed.key for claimed in (await claim(heir, 1)).claimed]
    finally:
        connection.close()

    assert taken == [lost.key]
