"""What becomes of the queued executions of a task that leaves the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime, timedelta, timezone

import pytest

from docket import Docket, Execution, ExecutionState
from docket.config.load import parse
from docket.connection.base import Command, Reply
from docket.supervisor.processes.pool import Pool
from docket.supervisor.reload.removed_tasks import RemovedTasks

from ..inside import TEXT, Home, Log, until, up

pytestmark = pytest.mark.fleet

AN_HOUR = timedelta(hours=1)
LEAVES = '[tasks.leaves]\nfunction = "work:wait"\non_removed = "{}"\nqueue = "{}"\n'
WORK = """
import asyncio, pathlib

async def note(number): ...

async def wait(number):
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
    return number
"""


async def until_state(execution: Execution, state: ExecutionState) -> None:
    """Wait until it is in a state."""

    async def waiting() -> None:
        while execution.state is not state:
            await asyncio.sleep(0.01)
            await execution.sync()

    await asyncio.wait_for(waiting(), 60)


@pytest.fixture
async def docket(home: Home) -> AsyncIterator[Docket]:
    (home.file.parent / "work.py").write_text(WORK)
    async with Docket("inside", home.url) as docket:
        docket.register(_declared_elsewhere, names=["leaves", "note"])
        yield docket


async def _declared_elsewhere(number: int) -> int: ...


async def test_where_it_is_cancelled_what_waits_is_and_what_runs_goes_on(
    home: Home, log: Log, docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.supervisor.reload.removed_tasks.LOOK_EVERY", 0.1)
    text = TEXT.replace('drain = "1s"', 'drain = "2m"\nconcurrency = 1')
    home.save(text + LEAVES.format("cancel", "default"))
    async with up(home):
        first, second = [await docket.add("leaves", key=f"{n}")(n) for n in range(2)]
        later = await docket.add("leaves", datetime.now(timezone.utc) + AN_HOUR, key="later")(2)
        other = await docket.add("note", datetime.now(timezone.utc) + AN_HOUR, key="note")(3)
        await until_state(first, ExecutionState.RUNNING)
        home.save(text)
        await log.until("tasks.leaves: removed (pools roll; queued work is cancelled)")
        await log.until("executions of leaves, which has left the file")
        await until_state(second, ExecutionState.CANCELLED)
        await until_state(later, ExecutionState.CANCELLED)
        (home.file.parent / "go").touch()
        assert await first.get_result(timeout=timedelta(seconds=60)) == 0

    await other.sync()
    assert other.state is ExecutionState.SCHEDULED


@pytest.fixture
async def draining(
    home: Home, log: Log, docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Pool, Execution]]:
    """A pool whose task has left the file, and one execution of it that runs still."""
    monkeypatch.setattr("docket.supervisor.reload.removed_tasks.LOOK_EVERY", 0.1)
    home.save(TEXT + LEAVES.format("drain", "default"))
    async with up(home) as supervisor:
        execution = await docket.add("leaves")(5)
        home.save(TEXT)
        await log.until("tasks.leaves: removed (pools roll; queued work is run before it goes)")
        yield supervisor._fleet.pools["default"], execution


async def test_where_it_drains_what_waits_is_run_before_it_goes(
    home: Home, log: Log, docket: Docket, draining: tuple[Pool, Execution]
) -> None:
    pool, execution = draining
    know_it = list(pool.processes)
    (home.file.parent / "go").touch()
    assert await execution.get_result(timeout=timedelta(seconds=60)) == 5
    await log.until("Nothing is left of leaves: it goes")
    await until(lambda: not set(know_it) & set(pool.processes), "the end of who knows it")
    late = await docket.add("leaves")(6)
    await until_state(late, ExecutionState.PARKED)


async def test_pools_that_can_not_roll_without_it_go_on_as_they_are(
    home: Home, log: Log, docket: Docket, draining: tuple[Pool, Execution]
) -> None:
    pool, execution = draining
    (home.file.parent / "work.py").write_text("raise RuntimeError('broken meanwhile')")
    (home.file.parent / "go").touch()
    assert await execution.get_result(timeout=timedelta(seconds=60)) == 5
    await log.until("they cannot roll: RuntimeError: broken meanwhile")

    assert pool.ready == 1
    assert await (await docket.add("leaves")(6)).get_result(timeout=timedelta(seconds=60)) == 6


async def test_one_that_comes_back_does_not_leave(home: Home, docket: Docket) -> None:
    with_it = parse(TEXT + LEAVES.format("drain", "default")).configuration
    without = parse(TEXT).configuration
    removed_tasks = RemovedTasks(docket.storage)

    removed_tasks.follow(with_it, without)
    assert set(removed_tasks.known_with(without).tasks) == {"note", "leaves"}
    removed_tasks.follow(without, with_it)
    assert removed_tasks.tasks == {}
    assert not await removed_tasks.look(with_it)


async def test_of_what_is_worked_off_no_more_is_read_than_says_that_there_is_some(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_it = parse(TEXT + LEAVES.format("drain", "default")).configuration
    without = parse(TEXT).configuration
    await docket.add_many(docket.call("leaves")(number) for number in range(3_000))
    removed_tasks = RemovedTasks(docket.storage)
    removed_tasks.follow(with_it, without)
    sent: list[Command] = []
    send = docket.storage.connection.send

    def noted(*commands: Command) -> Awaitable[list[Reply]]:
        sent.extend(commands)
        return send(*commands)

    monkeypatch.setattr(docket.storage.connection, "send", noted)

    assert not await removed_tasks.look(without)
    assert 1_000 < len(sent) < 1_100
    sent.clear()
    assert not await removed_tasks.look(without)
    assert sent == []
