"""F05: a deploy removes a task of which 1,000 executions wait, while old and new workers are mixed.

Nothing is lost: what the new workers find is parked, and told; it is run as soon as a worker knows it.
About 8 s.
"""

from __future__ import annotations

import asyncio
import signal

import pytest

from docket import Docket, ExecutionState

from .conftest import Start
from .ledger import Audit, Ledger, States, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault

COUNT = 1_000


async def until_put_away(docket: Docket, keys: list[str]) -> None:
    """Wait until each of these has ended or is parked."""
    while True:
        records = await docket.storage.executions.read(*keys)
        states = {record and record.state for record in records}
        if states <= {ExecutionState.COMPLETED, ExecutionState.PARKED}:
            return
        await asyncio.sleep(0.02)


async def test_what_a_deploy_has_removed_is_parked_and_run_when_it_is_back(
    docket: Docket, url: str, ledger: Ledger, states: States, start: Start
) -> None:
    old = await start(concurrency=5).until_up()
    # It is there before there is work: it may take long to start, and work is soon done.
    new = await start(concurrency=20, knows="block").until_up()
    keys = await produce(docket, ledger, [0.02] * COUNT)
    await until(lambda: len(new.events("parked")) > COUNT // 4, "parked work")
    old.signal(signal.SIGTERM)
    await old.until_gone()

    await until_put_away(docket, keys)
    (await Audit.of(docket, ledger)).nothing_is_lost()
    assert {event.detail for event in new.events("parked")} == {"unknown_task"}
    assert not new.events("start")

    start(concurrency=50)
    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.states_are_legal(states.heard())
    assert audit.extra_starts() == 0
    nothing_is_left_behind(url, docket.name)
