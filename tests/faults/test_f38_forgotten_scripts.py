"""F38: the server forgets its scripts, again and again, under load. Nobody notices."""

from __future__ import annotations

import asyncio

import pytest

from docket import Docket
from tests.fleet.process import ServerProcess

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import produce, until_ended

pytestmark = pytest.mark.fault


async def test_a_server_that_forgets_its_scripts_under_load_loses_and_repeats_nothing(
    docket: Docket, url: str, ledger: Ledger, steady_server: ServerProcess, start: Start
) -> None:
    workers = [await start(concurrency=5, lease=30.0).until_up() for _ in range(2)]
    keys: list[str] = []
    for _ in range(25):
        steady_server.call("SCRIPT", "FLUSH")
        keys += await produce(docket, ledger, [0.01] * 10)
        await asyncio.sleep(0.01)
    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert audit.extra_starts() == 0
    assert audit.of_kind("trouble") == []
    assert all(worker.is_alive for worker in workers)
    nothing_is_left_behind(url, docket.name)
