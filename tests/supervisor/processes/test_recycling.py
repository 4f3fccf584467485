"""A process that has done enough is replaced, one that hangs is killed, one that is busy goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from docket import Docket
from docket.supervisor.processes import pool as pools_module
from docket.supervisor.processes import usage
from docket.supervisor.processes.pool import Desired, Pool
from docket.supervisor.processes.recycling import NEVER, Recycling
from tests.pids import is_alive
from tests.supervisor.processes.pooled import EAGER, Buried, Pools, pids, running, until

pytestmark = pytest.mark.fleet


async def fine() -> None: ...


@pytest.mark.parametrize(
    ("recycling", "reason"),
    [
        (NEVER, ""),
        (Recycling(after_tasks=10, jitter=0), ""),
        (Recycling(after_tasks=9, jitter=0), "it has run 9 executions"),
        (Recycling(after_tasks=10, jitter=0.2), "it has run 9 executions"),
        (Recycling(after=70), ""),
        (Recycling(after=60, jitter=0), "it is 60 s old"),
        (Recycling(after=66, jitter=0.2), "it is 60 s old"),
        (Recycling(max_rss=32 << 20), ""),
        (Recycling(max_rss=31 << 20), "it holds 32 MiB"),
    ],
)
def test_a_process_has_done_enough_when_it_comes_to_one_of_its_limits(
    recycling: Recycling, reason: str
) -> None:
    assert recycling.reason(0.5, runs=9, age=60, rss=32 << 20) == reason


def test_limits_with_jitter_differ_from_process_to_process_and_are_never_more() -> None:
    recycling = Recycling(after_tasks=100, jitter=0.2)
    first = [
        next(runs for runs in range(200) if recycling.reason(lot, runs=runs, age=0, rss=0))
        for lot in (0.0, 0.5, 1.0)
    ]
    assert first == [100, 90, 80]


def test_the_system_tells_how_much_a_process_holds_and_has_computed() -> None:
    hog = bytearray(64 << 20)
    assert 64 << 20 < usage.resident_bytes(os.getpid()) < 64 << 30
    before, end = usage.computed_seconds(os.getpid()), time.process_time() + 0.1
    while time.process_time() < end:
        hog[0] ^= 1
    assert 0.05 < usage.computed_seconds(os.getpid()) - before < 60


def test_of_a_process_that_is_gone_nothing_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert usage.resident_bytes(process.pid) == 0
    assert usage.computed_seconds(process.pid) == 0


def test_where_nobody_can_be_asked_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_PS", "/no/such/ps")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert usage.resident_bytes(process.pid) == 0
    assert usage.computed_seconds(process.pid) == 0


@pytest.mark.parametrize(
    ("printed", "seconds"),
    [("", 0), ("0:00.25", 0.25), ("01:02", 62), ("1:00:01", 3601), ("2-00:00:01", 172801)],
)
def test_a_time_is_read_as_ps_prints_it(printed: str, seconds: float) -> None:
    assert usage.seconds_of(printed) == seconds


async def test_a_process_that_has_run_enough_is_replaced_by_a_fresh_one(
    pools: Pools,
    desired: Desired,
    buried: Buried,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools_module, "LOOK_EVERY", 0.05)
    pool = pools(replace(desired, recycling=Recycling(after_tasks=3, jitter=0)))
    await pool.start()
    (first,) = pids(pool)

    async with Docket("pool", desired.orders.url) as docket:
        for _ in range(3):
            await docket.add(fine)()
        await until(lambda: buried == [first])

    assert pool.ready == 1
    assert pool.exits == {"recycled": 1}
    assert pool.crashes == 0


async def test_limits_change_while_a_process_runs_and_one_that_can_not_be_replaced_goes_on(
    pools: Pools,
    desired: Desired,
    buried: Buried,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pools_module, "LOOK_EVERY", 0.05)
    pool = pools(desired)
    await pool.start()
    (first,) = pids(pool)
    os.truncate(f"{desired.directory}/work.py", 0)

    await pool.reconfigure(replace(desired, revision=2, recycling=Recycling(max_rss=1)))
    await until(lambda: "a new process cannot work" in caplog.text)

    assert pids(pool) >= {first}
    assert first not in buried


async def test_a_process_that_ends_before_its_turn_is_replaced_once(
    pools: Pools, desired: Desired, buried: Buried
) -> None:
    pool = pools(desired)
    await pool.start()
    (process,) = pool.processes
    async with pool._restarting:
        replacing = asyncio.create_task(pool._replace(process, "it is old"))
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: buried == [process.pid])
    await replacing

    await until(lambda: pool.ready == 1)
    assert len(pool.processes) == 1
    assert pool.exits == {"crash": 1}


async def test_so_many_processes_come_up_at_a_time_as_the_surge_allows(
    pools: Pools,
    desired: Desired,
    buried: Buried,
) -> None:
    pool = pools(replace(desired, processes=3))
    await pool.start()
    old = pids(pool)

    await pool.roll(running("work:fine", replace(desired, processes=3, surge=2)))

    await until(lambda: set(buried) == old)
    assert pool.ready == 3
    assert not pids(pool) & old


async def test_a_process_that_hangs_is_killed_and_replaced(
    desired: Desired,
    buried: Buried,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pools_module, "LOOK_EVERY", 0.05)
    pool = Pool("default", desired, EAGER, buried, hang=2.0)
    await pool.start()
    try:
        (process,) = pool.processes
        first = process.pid
        os.kill(first, signal.SIGSTOP)
        await until(lambda: buried == [first] and pool.ready == 1)
    finally:
        await pool.stop(0)

    assert pool.exits["hung"] == 1
    assert f"process {first} hangs" in caplog.text
    assert process.death == "a hang"
    assert not is_alive(first)


async def test_a_process_whose_event_loop_is_kept_by_a_task_that_computes_goes_on(
    desired: Desired,
    buried: Buried,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pools_module, "LOOK_EVERY", 0.05)
    with (Path(desired.directory) / "work.py").open("a") as work:
        work.write("\n\nasync def compute():\n    while not (HERE / 'enough').exists(): pass\n")
    pool = Pool("default", running("work:compute", desired), EAGER, buried, hang=1.5)
    await pool.start()
    try:
        async with Docket("pool", desired.orders.url) as docket:
            execution = await docket.add(fine)()
            await until(lambda: "it computes, so it goes on" in caplog.text)
            (Path(desired.directory) / "enough").touch()
            await execution.get_result()
    finally:
        await pool.stop(1)

    assert pool.exits["hung"] == 0


async def test_a_pool_that_is_given_up_says_so_once(
    desired: Desired,
    buried: Buried,
) -> None:
    told: list[str] = []
    pool = Pool("default", desired, replace(EAGER, max_crashes=1), buried, told.append)
    await pool.start()
    try:
        while not told:
            # One that is killed before it could begin is taken for one that could not be started.
            await until(lambda: bool(pool.ready or told))
            for pid in pids(pool):
                os.kill(pid, signal.SIGKILL)
            await until(lambda: not pool.ready)
        await until(lambda: pool.is_degraded and not pool.ready)
    finally:
        await pool.stop(0)

    assert told == ["default"]
