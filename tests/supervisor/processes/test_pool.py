"""A pool of real processes goes from what it is to what it shall be, or stays what it was."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from docket.errors import ServerUnavailable
from docket.foundation.service import end
from docket.foundation.worker_spec import RetrySpec, TaskSpec
from docket.supervisor.processes.pool import Desired, Pool
from docket.supervisor.processes.process import ProcessState, Rejected, WorkerProcess
from tests.fleet.process import ServerProcess
from tests.pids import is_alive
from tests.supervisor.processes.pooled import EAGER, WORK, Buried, Pools, pids, running, until

pytestmark = pytest.mark.fleet


def colours(desired: Desired) -> list[str]:
    """What each process found in its environment."""
    return (Path(desired.directory) / "colours").read_text().splitlines()


async def test_a_pool_has_as_many_processes_as_are_desired_until_it_stops(
    pools: Pools, desired: Desired, buried: Buried
) -> None:
    pool = pools(replace(desired, processes=2))
    await pool.start()

    started = pids(pool)
    assert pool.ready == len(started) == 2
    assert all(process.consumer for process in pool.processes)
    assert pool.crashes == 0
    await pool.stop()
    assert pool.processes == []
    assert set(buried) == started
    assert not any(map(is_alive, started))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("work:nothing", "has no attribute 'nothing'"),
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("deadly:f", "the process exited with exit code 3"),
    ],
)
async def test_a_pool_that_can_not_work_does_not_start(
    pools: Pools, desired: Desired, function: str, reason: str
) -> None:
    pool = pools(running(function, desired, processes=2))

    with pytest.raises(Rejected, match=reason):
        await pool.start()

    assert pool.processes == []


async def test_processes_come_and_go_as_their_number_says(
    pools: Pools, desired: Desired, buried: Buried
) -> None:
    pool = pools(desired)
    await pool.start()
    (first,) = pids(pool)

    await pool.reconfigure(replace(desired, revision=2, processes=3))
    assert pool.ready == 3
    assert [process.revision for process in pool.processes] == [2, 2, 2]
    await pool.reconfigure(replace(desired, revision=3, processes=1))
    await until(lambda: len(buried) == 2)
    assert pids(pool) == {first}
    assert pool.processes[0].revision == 3
    assert pool.crashes == 0


async def test_settings_that_can_not_be_are_taken_back_everywhere(
    pools: Pools, desired: Desired
) -> None:
    pool = pools(replace(desired, processes=2))
    await pool.start()
    before = pids(pool)
    retry = RetrySpec(never_on=("work:Nothing",))
    impossible = replace(desired.orders, tasks={"fine": TaskSpec("work:fine", retry=retry)})

    with pytest.raises(Rejected, match="Nothing"):
        await pool.reconfigure(replace(desired, revision=2, processes=2, orders=impossible))

    assert pids(pool) == before
    assert [process.revision for process in pool.processes] == [1, 1]
    assert pool.desired.revision == 1


async def test_a_roll_replaces_every_process_and_gives_the_new_ones_their_environment(
    pools: Pools, desired: Desired, buried: Buried
) -> None:
    pool = pools(replace(desired, processes=2))
    await pool.start()
    before = pids(pool)

    await pool.roll(replace(desired, revision=2, processes=2, environment={"COLOUR": "blue"}))

    assert pool.ready == 2
    await until(lambda: set(buried) == before)
    after = pids(pool)
    assert not before & after
    assert colours(desired) == ["", "", "blue", "blue"]


async def test_a_roll_never_has_fewer_processes_that_work_than_are_desired(
    pools: Pools, desired: Desired
) -> None:
    pool = pools(replace(desired, processes=5))
    await pool.start()
    ready: list[int] = []
    there: list[int] = []
    alive = (ProcessState.STARTING, ProcessState.READY)

    async def watch() -> None:
        while True:
            ready.append(pool.ready)
            there.append(sum(one.state in alive for one in pool.processes))
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await pool.roll(replace(desired, revision=2, processes=5))
    await end(watching)

    assert min(ready) == 5
    assert max(there) <= 6


async def test_a_process_whose_event_loop_is_blocked_follows_when_it_can(
    pools: Pools,
    desired: Desired,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = pools(replace(desired, processes=2))
    await pool.start()
    blocked, other = pool.processes
    os.kill(blocked.pid, signal.SIGSTOP)
    monkeypatch.setattr("docket.supervisor.processes.pool.ANSWER_WITHIN", 0.2)

    await pool.reconfigure(replace(desired, revision=2, processes=2))

    assert f"process {blocked.pid} does not answer" in caplog.text
    await until(lambda: other.revision == 2)
    assert (blocked.revision, pool.behind) == (1, 1)
    os.kill(blocked.pid, signal.SIGCONT)
    await until(lambda: blocked.revision == 2)
    assert pool.behind == 0


async def test_a_process_that_dies_while_it_is_told_something_else_is_replaced_by_one_that_is_that(
    pools: Pools, desired: Desired
) -> None:
    pool = pools(desired)
    await pool.start()
    (process,) = pool.processes
    os.kill(process.pid, signal.SIGSTOP)
    becoming = asyncio.create_task(pool.reconfigure(replace(desired, revision=2)))
    await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGKILL)

    await becoming

    await until(lambda: pool.ready == 1 and process not in pool.processes)
    assert [one.revision for one in pool.processes] == [2]


async def test_a_process_that_does_not_reach_redis_is_no_fault_of_its_configuration(
    pools: Pools, desired: Desired, own_server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    on_it = replace(desired, orders=replace(desired.orders, url=own_server.url))
    pool = pools(on_it)
    await pool.start()
    own_server.kill()

    with pytest.raises(ServerUnavailable):
        await pool.stage(on_it)
    with pytest.raises(ServerUnavailable):
        await pool.roll(on_it)
    await pool._replace(pool.processes[0], "it is old")
    os.kill(pool.processes[0].pid, signal.SIGKILL)
    await until(lambda: pool.ready == 0)
    assert caplog.text.count("docket.errors.ServerUnavailable") == 1
    assert "it is tried again until it works" in caplog.text
    assert "nothing answers" in pool.trouble
    await asyncio.to_thread(own_server.start)

    await until(lambda: pool.ready == 1)
    assert not pool.is_degraded
    assert pool.trouble == ""


async def test_a_pool_that_was_given_up_tries_again_when_it_is_asked_to(
    pools: Pools, desired: Desired, tmp_path: Path
) -> None:
    pool = pools(desired)
    await pool.start()
    assert not pool.revive()
    (tmp_path / "work.py").write_text("raise RuntimeError('broken')")
    os.kill(next(iter(pids(pool))), signal.SIGKILL)
    await until(lambda: pool.is_degraded)
    (tmp_path / "work.py").write_text(WORK)

    assert pool.revive()

    await until(lambda: pool.ready == 1)


async def test_a_roll_whose_first_process_can_not_work_leaves_the_old_ones_alone(
    pools: Pools, desired: Desired
) -> None:
    pool = pools(replace(desired, processes=2))
    await pool.start()
    before = pids(pool)

    with pytest.raises(Rejected):
        await pool.roll(running("work:nothing", desired, processes=2))

    assert pids(pool) == before
    assert pool.ready == 2
    assert pool.desired.revision == 1


async def test_a_roll_that_fails_half_way_brings_the_old_ones_back(
    pools: Pools, desired: Desired, tmp_path: Path
) -> None:
    pool = pools(replace(desired, processes=3))
    await pool.start()
    (tmp_path / "fails").write_text("3")

    with pytest.raises(Rejected, match="not this time"):
        await pool.roll(running("fickle:fine", desired, processes=3))

    assert pool.ready == 3
    assert {process.revision for process in pool.processes if process.state.value == "ready"} == {1}


@pytest.fixture
async def staged(pools: Pools, desired: Desired) -> tuple[Pool, int, WorkerProcess]:
    """A pool, its one process, and a canary of the next revision beside it."""
    pool = pools(desired)
    await pool.start()
    (first,) = pids(pool)
    canary = await pool.stage(replace(desired, revision=2))
    assert pids(pool) == {first, canary.pid}
    return pool, first, canary


async def test_a_canary_that_is_taken_down_leaves_the_pool_as_it_was(
    staged: tuple[Pool, int, WorkerProcess],
) -> None:
    pool, first, canary = staged

    await pool.unstage(canary)

    assert pids(pool) == {first}
    assert not is_alive(canary.pid)
    assert pool.crashes == 0


async def test_a_pool_with_a_canary_can_become_something_else_and_then_roll(
    staged: tuple[Pool, int, WorkerProcess], desired: Desired, buried: Buried
) -> None:
    pool, first, canary = staged
    new = replace(desired, revision=2)

    await pool.reconfigure(new)
    assert pids(pool) == {first, canary.pid}
    await until(lambda: pool.behind == 0)
    await pool.roll(new, canary)

    await until(lambda: buried == [first])
    # It is of the pool now, and no canary any more.
    await pool.unstage(canary)
    assert pids(pool) == {canary.pid}
    assert pool.ready == 1


async def test_what_crashes_beside_a_canary_is_replaced(
    staged: tuple[Pool, int, WorkerProcess], buried: Buried
) -> None:
    pool, first, canary = staged
    os.kill(first, signal.SIGKILL)
    await until(lambda: buried == [first] and pool.ready == 2)

    await pool.unstage(canary)

    assert [process.revision for process in pool.processes] == [1]


async def test_a_canary_that_is_gone_before_the_roll_is_made_up_for(
    staged: tuple[Pool, int, WorkerProcess], desired: Desired, buried: Buried
) -> None:
    pool, first, canary = staged
    os.kill(canary.pid, signal.SIGKILL)
    await until(lambda: buried == [canary.pid])

    await pool.roll(replace(desired, revision=2), canary)

    await until(lambda: set(buried) == {canary.pid, first})
    await until(lambda: pool.ready == 1)
    assert [process.revision for process in pool.processes] == [2]


async def test_a_process_that_dies_is_replaced_and_counted(
    pools: Pools, desired: Desired, buried: Buried, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools(desired)
    await pool.start()
    (first,) = pids(pool)

    os.kill(first, signal.SIGKILL)

    await until(lambda: pool.ready == 1 and first not in pids(pool))
    assert buried == [first]
    assert pool.crashes == 1
    assert not pool.is_degraded
    assert f"process {first} ended with SIGKILL" in caplog.text


async def test_processes_that_die_together_are_replaced_one_for_one(
    pools: Pools, desired: Desired, tmp_path: Path
) -> None:
    pool = pools(replace(desired, processes=4))
    pool.brake = replace(EAGER, max_crashes=10)
    await pool.start()
    before = pids(pool)

    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: pool.ready >= 4 and not before & pids(pool))
    # Whatever else was begun becomes ready, too.
    await until(lambda: pool.ready == len(pool.processes))

    assert pool.ready == 4
    assert len(colours(desired)) == 8


async def test_a_pool_whose_code_broke_is_degraded_until_it_is_another(
    pools: Pools, desired: Desired, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools(desired)
    await pool.start()
    (tmp_path / "work.py").write_text("raise RuntimeError('broken')")

    os.kill(next(iter(pids(pool))), signal.SIGKILL)

    await until(lambda: "Pool default is degraded: more than 3 crashes" in caplog.text)
    assert caplog.text.count("a new process cannot work: RuntimeError: broken") == 3
    assert (pool.is_degraded, pool.ready) == (True, 0)
    (tmp_path / "work.py").write_text(WORK)
    await pool.reconfigure(replace(desired, revision=2))
    assert (pool.is_degraded, pool.ready) == (False, 1)


async def test_crashes_long_ago_are_forgotten(pools: Pools, desired: Desired) -> None:
    pool = pools(desired)
    pool.brake = replace(EAGER, max_crashes=1, window=0.01, stable_after=0.01)
    await pool.start()

    for count in (1, 2, 3):
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGKILL)
        await until(lambda count=count: pool.crashes == count and pool.ready == 1)

    assert not pool.is_degraded


async def test_a_pool_that_stops_while_a_process_starts_leaves_none_behind(
    pools: Pools, desired: Desired
) -> None:
    pool = pools(desired)
    await pool.start()
    (first,) = pids(pool)
    os.kill(first, signal.SIGKILL)
    await until(lambda: any(process.state.value == "starting" for process in pool.processes))
    (process,) = pool.processes

    await pool.stop(5)

    assert pool.processes == []
    assert not is_alive(process.pid)


async def test_a_process_that_does_not_answer_is_killed_when_its_time_is_over(
    pools: Pools, desired: Desired, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.supervisor.processes.pool.KILL_AFTER", 0.2)
    pool = pools(desired)
    await pool.start()
    (process,) = pool.processes
    os.kill(process.pid, signal.SIGSTOP)

    await pool.stop(0.1)

    assert process.exit_code == -signal.SIGKILL


async def test_who_is_in_a_hurry_does_not_wait_for_the_drain(
    pools: Pools, desired: Desired
) -> None:
    pool = pools(desired)
    await pool.start()
    (process,) = pool.processes
    os.kill(process.pid, signal.SIGSTOP)
    stopping = asyncio.create_task(pool.stop(600))
    await until(lambda: process.was_told_to_go)

    pool.hurry()
    await asyncio.wait_for(stopping, 60)

    assert process.exit_code == -signal.SIGKILL


async def test_a_process_that_was_never_configured_can_be_told_to_go(desired: Desired) -> None:
    process = WorkerProcess("default", desired.directory, {})
    await process.spawn()

    await process.drain(60, 60)

    assert process.exit_code == 0
    await process.drain(60, 60)
    await process.kill()


async def test_an_answer_to_orders_of_the_past_is_not_taken_for_one_to_these(
    desired: Desired,
) -> None:
    process = WorkerProcess("default", desired.directory, {})
    await process.spawn()
    process._answers.put_nowait({"word": "rejected", "revision": 0, "reason": "long ago"})

    await process.configure(1, desired.orders)

    assert process.revision == 1
    await process.drain(1, 5)


async def test_a_process_whose_supervisor_hangs_up_exits(desired: Desired) -> None:
    orders = running("patient:fine", desired).orders
    process = WorkerProcess("default", desired.directory, {})
    await process.spawn()
    await process.configure(1, orders)
    assert process._channel is not None

    process._channel.close()
    await asyncio.wait_for(process.until_exited(), 60)

    assert process.exit_code == 0


async def test_signals_of_a_terminal_do_not_reach_the_work(desired: Desired) -> None:
    process = WorkerProcess("default", desired.directory, {})
    await process.spawn()
    await process.configure(1, desired.orders)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(process.pid, number)
    await process.configure(2, desired.orders)

    assert process.revision == 2
    assert os.getpgid(process.pid) != os.getpgid(0)
    await process.drain(1, 5)


async def test_the_death_of_a_process_is_noticed_whatever_it_leaves_behind(
    pools: Pools, desired: Desired, buried: Buried
) -> None:
    pool = pools(running("forks:fine", desired))
    left = Path(desired.directory) / "left"
    await pool.start()
    (first,) = pids(pool)
    orphan = int(left.read_text())
    left.unlink()
    try:
        os.kill(first, signal.SIGKILL)

        await until(lambda: buried == [first] and pool.ready == 1)

        assert is_alive(orphan)
        assert pids(pool) != {first}
    finally:
        for pid in (orphan, int(left.read_text())):
            os.kill(pid, signal.SIGKILL)


async def test_what_is_under_way_for_a_pool_ends_with_it(pools: Pools, desired: Desired) -> None:
    pool = pools(desired)
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    pool._keep(work())
    await asyncio.sleep(0)
    await pool.stop(0)
    assert ended == ["ended"]


async def test_an_error_that_nobody_has_thought_of_is_told_once_and_the_pool_goes_on(
    pools: Pools, desired: Desired, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools(desired)

    async def fails() -> None:
        raise RuntimeError("nobody has thought of this")

    for _ in range(3):
        await pool._told_of(fails())
    assert caplog.text.count("an unexpected error; the pool goes on") == 1


async def test_a_process_that_is_put_down_is_not_replaced_for_another_reason_as_well(
    pools: Pools, desired: Desired, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools(desired)
    await pool.start()
    (process,) = pool.processes
    pool._putting_down.add(process)
    await pool._replace_all({process: "it has run enough"})
    assert pool.processes == [process]

    pool._putting_down.clear()
    os.truncate(f"{desired.directory}/work.py", 0)
    for _ in range(2):
        await pool._replace_all({process: "it has run enough"})
    assert pool.processes == [process]
    assert caplog.text.count("a new process cannot work") == 1
