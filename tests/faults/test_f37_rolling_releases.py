"""F37: hosts roll from one release to another of the same format, and back, under load.

Two hosts each run a worker program of one of two checkouts; one after the other is drained and comes back
with the other release, so that both are at work together most of the time. Nothing is lost, started twice, or
told to stand although it was refused; limits hold across both. About 20 s.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import uuid
from pathlib import Path

import pytest

from docket import Disposition, Docket

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import until_ended
from .releases import release_before
from .workers import NARROW, PER, RATED, ROOT, WorkerProgram, tasks, until

pytestmark = pytest.mark.fault

ROLLS = 4
LEASE = 30.0
"""Longer than the test: what is taken over was handed back."""

TASKS = ("work", "work", "narrow", "flaky", "rated", "block")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A checkout of another release of this format."""
    return release_before(tmp_path)


async def keep_adding(docket: Docket, ledger: Ledger, enough: asyncio.Event) -> None:
    """Add one after the other; what is acknowledged is in the ledger."""
    dice = random.Random(37)
    while not enough.is_set():
        task, key = dice.choice(TASKS), uuid.uuid4().hex
        arguments = () if task == "rated" else (dice.uniform(0, 0.1),)
        execution = await docket.add(task, key=key)(*arguments)
        assert execution.disposition is Disposition.SCHEDULED
        ledger.note("acked", key)
        await asyncio.sleep(dice.uniform(0, 0.03))


async def all_work(hosts: list[WorkerProgram]) -> None:
    """Wait until each of them has ended a run."""
    await until(lambda: all(host.events("verdict") for host in hosts), "the first run of each")


@pytest.mark.timeout(240)
async def test_hosts_that_roll_back_and_forth_between_two_releases_lose_and_repeat_nothing(
    docket: Docket, url: str, ledger: Ledger, start: Start, before: Path
) -> None:
    for task in tasks(ledger):
        docket.register(task)
    releases = itertools.cycle([before, ROOT])

    async def hire() -> WorkerProgram:
        return await start(concurrency=8, lease=LEASE, home=next(releases)).until_up()

    hosts = [await hire(), await hire()]
    enough = asyncio.Event()
    adding = asyncio.create_task(keep_adding(docket, ledger, enough))
    for number in range(ROLLS):
        await asyncio.sleep(0.5)
        await all_work(hosts)
        old = hosts.pop(0)
        # Every second one comes back with its own release: then both run the same one for a while.
        if number % 2:
            next(releases)
        hosts.append(await hire())
        old.signal(signal.SIGTERM)
        assert await old.until_gone() == 0
    await all_work(hosts)
    enough.set()
    await adding
    keys = [event.key for event in ledger.read() if event.event == "acked"]
    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.fences_are_single()
    assert audit.extra_starts() == 0
    audit.at_most_at_a_time("narrow", NARROW, {})
    audit.at_most_within(RATED, PER.total_seconds())
    workers = {event.pid for event in audit.of_kind("verdict")}
    assert len(workers) == len(hosts) + ROLLS, "not every one has worked"
    nothing_is_left_behind(url, docket.name)
