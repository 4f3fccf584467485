"""F09: a worker stands still (SIGSTOP) for three leases, and goes on.

Another one takes its work over. The outcome that the one from the dead brings is refused, and a task that
still runs there hears LeaseLost within a second. About 8 s.
"""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from docket import Docket
from tests.promises import promised

from .conftest import Start
from .ledger import Audit, Ledger, States, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import WorkerProgram, until

pytestmark = pytest.mark.fault

LEASE = 1.0


def told_of(worker: WorkerProgram) -> dict[str, float]:
    """When it told which of its runs that their lease was lost."""
    return {event.key: event.monotonic for event in worker.events("lost")}


async def test_what_a_worker_from_the_dead_brings_is_refused_and_its_tasks_are_told(
    docket: Docket, url: str, ledger: Ledger, states: States, start: Start
) -> None:
    heir = await start(concurrency=2).until_up()
    # It is not to take anything yet, and on a busy machine it would be long in starting.
    heir.signal(signal.SIGSTOP)
    zombie = await start(concurrency=2, lease=LEASE).until_up()
    short, long = await produce(docket, ledger, [LEASE, 8 * LEASE])
    await until(lambda: len(zombie.events("start")) == 2, "both runs")
    zombie.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    heir.signal(signal.SIGCONT)
    await until(lambda: len(heir.events("start")) == 2, "the second runs")
    await asyncio.sleep(max(0.0, stopped + 3 * LEASE - time.monotonic()))

    woken = time.monotonic()
    zombie.signal(signal.SIGCONT)
    await until(lambda: long in told_of(zombie), "the news of the lost lease")

    assert told_of(zombie)[long] - woken <= promised(1.0)
    await until_ended(docket, [short, long])
    # It ends when it wakes: its outcome is refused, unless the news is there before.
    await until(
        lambda: bool(zombie.events("verdict")) or short in told_of(zombie), "the end of the other"
    )
    audit = await Audit.of(docket, ledger)
    refused = {(one.key, one.detail) for one in zombie.events("verdict")}
    assert refused <= {(short, "STALE"), (short, "SUPERSEDED")}
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.states_are_legal(states.heard())
    assert audit.extra_starts() == 2
    assert zombie.is_alive
    nothing_is_left_behind(url, docket.name)
