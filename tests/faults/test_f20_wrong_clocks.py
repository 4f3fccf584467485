"""F20: clocks of workers that are an hour wrong, or drift: Redis time rules, and somebody is told.

About 6 s.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone

import pytest

from docket import Docket

from .conftest import Start
from .ledger import Audit, Ledger, States, nothing_is_left_behind
from .producing import until_ended
from .workers import tasks, until

pytestmark = pytest.mark.fault

HOUR = 3600.0
WRONG = {"ahead": {"clock": HOUR}, "behind": {"clock": -HOUR}, "fast": {"drift": 20.0}}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_worker_whose_clock_is_wrong_runs_what_is_due_by_redis_and_says_so(
    docket: Docket, url: str, ledger: Ledger, states: States, start: Start, wrong: str
) -> None:
    worker = await start(concurrency=10, lease=1.0, **WRONG[wrong]).until_up()
    (work, *_) = tasks(ledger)
    soon = datetime.now(timezone.utc) + timedelta(seconds=1.5)
    begun = time.time()
    later = await docket.add(work, soon, key="later")(2.0)
    now = await docket.add(work, key="now")(2.0)
    far = await docket.add(work, soon + timedelta(minutes=30), key="far")()
    for execution in (later, now):
        ledger.note("acked", execution.key)

    await until_ended(docket, ["now", "later"])
    await until(lambda: bool(worker.events("skewed")), "the alarm")

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.states_are_legal(states.heard())
    assert audit.extra_starts() == 0
    starts = {
        event.key: event.monotonic - time.monotonic() + time.time()
        for event in worker.events("start")
    }
    assert set(starts) == {"now", "later"}
    assert starts["now"] - begun < HOUR / 10
    assert starts["later"] >= soon.timestamp() - 0.005
    (alarm, *_) = worker.events("skewed")
    assert (float(alarm.detail) > 0) == (wrong != "behind")
    await docket.cancel(far.key)
    await asyncio.sleep(0)
    nothing_is_left_behind(url, docket.name)
