"""F16: the network is cut, slow, or loses answers, in thirteen ways, under load.

Two workers and a producer reach the server by a proxy that does one of these for a moment, again and again.
Whatever was acknowledged is there and ends once. About 40 s.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket import Docket
from docket.errors import ServerUnavailable
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess
from tests.fleet.proxy import FAULTS, Proxy

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(valkey_9(), tmp_path / "server") as server:
        yield server


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def url(proxy: Proxy) -> str:
    return proxy.url


async def test_whatever_the_network_does_nothing_is_lost_and_nothing_is_started_twice(
    docket: Docket, ledger: Ledger, server: ServerProcess, proxy: Proxy, start: Start
) -> None:
    dice = random.Random(16)
    for worker in [start(concurrency=10, lease=30.0) for _ in range(2)]:
        await worker.until_up()
    keys: list[str] = []
    enough = asyncio.Event()

    async def keep_adding() -> None:
        while not enough.is_set():
            # One whose answer is lost for good is not acknowledged: it may be there or not.
            try:
                keys.extend(await produce(docket, ledger, [0.0, 0.02, 0.05]))
            except ServerUnavailable:
                continue
            await asyncio.sleep(0.02)

    adding = asyncio.create_task(keep_adding())
    for fault in dice.sample(FAULTS, len(FAULTS)):
        before = proxy.struck
        proxy.have(fault)
        await until(lambda: proxy.struck > before, fault)  # noqa: B023
        await asyncio.sleep(dice.uniform(0.2, 1.2))
        proxy.have("")
        acknowledged = len(keys)
        await until(lambda: len(keys) > acknowledged, f"an add after: {fault}")  # noqa: B023
    enough.set()
    await adding

    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert audit.extra_starts() == 0
    nothing_is_left_behind(server.url, docket.name)
