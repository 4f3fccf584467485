"""F17: a primary hangs, its sockets open: Sentinel names another one, and work goes on there.

Nobody can tell a server that hangs from one that is slow before a command has had its time to be answered
(5 s, or ``socket_timeout`` of the address). About 20 s.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket import Docket
from docket.connection.standalone import COMMAND_TIMEOUT
from tests.fleet.binaries import valkey_9
from tests.fleet.sentinel import SentinelGroup
from tests.promises import promised

from .conftest import Start
from .ledger import Audit, Ledger
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault

MARGIN = 2.5
"""Seconds for the failover beside the command that waits, a pause between two tries, and a busy machine."""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    with SentinelGroup(valkey_9(), tmp_path / "group") as group:
        yield group


@pytest.fixture(params=["as a rule", "told"])
def timeout(request: pytest.FixtureRequest) -> float:
    return {"as a rule": COMMAND_TIMEOUT, "told": 1.5}[request.param]


@pytest.fixture
def url(group: SentinelGroup, timeout: float) -> str:
    return f"{group.url}?socket_timeout={timeout}"


async def test_a_primary_that_hangs_stops_work_for_the_time_of_one_command(
    docket: Docket, ledger: Ledger, group: SentinelGroup, start: Start, timeout: float
) -> None:
    worker = await start(concurrency=5, lease=30.0).until_up()
    keys = await produce(docket, ledger, [0.1] * 100)
    await until(lambda: len(_starts(ledger)) > 5, "first runs")
    # However long it takes until the primary hangs, work is left by then.
    worker.signal(signal.SIGSTOP)
    while await docket.storage.connection.send(("WAIT", 1, 1000)) != [1]:
        pass
    group.primary.pause()
    worker.signal(signal.SIGCONT)
    hung = time.monotonic()
    try:
        await until(lambda: bool(_starts(ledger, after=hung + 1)), "work after the failover")
        back = _starts(ledger, after=hung + 1)[0]
        await until_ended(docket, keys)
    finally:
        group.primary.resume()

    assert back - hung <= promised(timeout + MARGIN)
    audit = await Audit.of(docket, ledger)
    audit.everything_ended()


def _starts(ledger: Ledger, after: float = 0.0) -> list[float]:
    return [
        event.monotonic
        for event in ledger.read()
        if event.event == "start" and event.monotonic > after
    ]
