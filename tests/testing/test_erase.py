"""A docket of a test is erased, whatever its name, and nothing beside it."""

from __future__ import annotations

import uuid

from docket import Docket


async def count(number: int) -> None: ...


async def test_an_erased_docket_leaves_nothing_and_its_neighbours_everything(
    server_url: str,
) -> None:
    name = f"{uuid.uuid4().hex}-[o]*?^\\"
    async with Docket(name, server_url) as docket, Docket(f"{name}r", server_url) as neighbour:
        await docket.add_many([docket.call(count)(number) for number in range(2500)])
        await neighbour.add(count, key="stays")(1)

        await docket.storage.erase()

        assert (await docket.snapshot()).total_tasks == 0
        async with docket.redis() as redis:
            assert not await redis.exists(docket.stream_key, docket.storage.keys.bell())
        assert (await neighbour.snapshot()).total_tasks == 1
        await neighbour.storage.erase()


async def test_an_empty_docket_can_be_erased(docket: Docket) -> None:
    await docket.storage.erase()

    assert (await docket.snapshot()).total_tasks == 0
