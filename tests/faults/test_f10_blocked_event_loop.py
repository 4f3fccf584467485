"""F10: a task keeps the event loop from turning for three leases: no duplicate, and a warning with the stack.

About 5 s.
"""

from __future__ import annotations

import signal

import pytest

from docket import Docket

from .conftest import Start
from .ledger import Audit, Ledger, States, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault

LEASE = 2.0


async def test_a_blocked_event_loop_loses_no_lease_and_is_reported_with_its_stack(
    docket: Docket, url: str, ledger: Ledger, states: States, start: Start
) -> None:
    other = await start(concurrency=2).until_up()
    # It is not to take anything yet, and on a busy machine it would be long in starting.
    other.signal(signal.SIGSTOP)
    blocked = await start(concurrency=2, lease=LEASE).until_up()
    keys = await produce(docket, ledger, [3 * LEASE], task="hog")
    await until(lambda: bool(blocked.events("start")), "the run")
    other.signal(signal.SIGCONT)

    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.states_are_legal(states.heard())
    assert audit.extra_starts() == 0
    assert not other.events("start")
    # A machine that keeps it waiting blocks it, too.
    (_,) = [report for report in blocked.events("blocked") if "in hog" in report.detail]
    nothing_is_left_behind(url, docket.name)
