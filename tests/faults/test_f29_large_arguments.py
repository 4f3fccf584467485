"""F29: arguments that are too large are refused where they are added, and leave nothing behind."""

from __future__ import annotations

import pytest

from docket import Disposition, Docket, Worker
from docket.errors import PayloadTooLarge
from tests.leftovers import leftovers

pytestmark = pytest.mark.fault

LIMIT = 10_000


async def work(text: str) -> int:
    return len(text)


async def test_arguments_that_are_too_large_are_refused_and_their_neighbours_are_not(
    url: str, name: str
) -> None:
    async with Docket(name, url, max_payload=LIMIT) as docket:
        docket.register(work)
        with pytest.raises(PayloadTooLarge, match="at most 10000 bytes"):
            await docket.add(work, key="large")("x" * (LIMIT + 1))
        with pytest.raises(PayloadTooLarge):
            await docket.add_many(
                [docket.call(work, key="a")("x"), docket.call(work, key="b")("x" * (LIMIT + 1))]
            )

        assert await docket.get_execution("large") is None
        assert await docket.get_execution("a") is None, "a batch is refused as a whole"
        assert await leftovers(docket) == []

        fits = await docket.add(work, key="large")("x" * (LIMIT - 100))
        assert fits.disposition is Disposition.SCHEDULED
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        assert await fits.get_result() == LIMIT - 100
