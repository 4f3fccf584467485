"""A plan is carried out in steps that can be taken back; what others commit meanwhile is respected."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta

import pytest

from docket import Docket
from docket.config.load import Loaded
from docket.errors import ServerUnavailable
from docket.storage.configurations import Commit
from docket.supervisor.processes.process import ProcessState
from docket.supervisor.reload import reloader
from tests.fleet.process import ServerProcess

from ..inside import FULL, STRICT, TEXT, Home, Log, failing, until, up

pytestmark = pytest.mark.fleet

ELSEWHERE = '[workers.elsewhere]\nhosts = ["batch-*"]\nqueues = ["batch"]\n'


async def test_what_is_up_already_is_taken_down_when_a_later_pool_can_not_work(
    home: Home, log: Log
) -> None:
    home.save(TEXT + STRICT)
    async with up(home) as supervisor:
        pools = supervisor._fleet.pools
        before = {name: list(pool.processes) for name, pool in pools.items()}
        home.save(
            home.text.replace(
                '"work:note"', '"work:note"\nretry = { never_on = ["work:Harmless"] }'
            )
            .replace('ROLE = "strict"', 'ROLE = "strict", MORE = "1"')
            .replace('drain = "1s"', 'drain = "1s"\nenv = { MORE = "1" }')
            + '[workers.fresh]\nqueues = ["fresh"]\n'
        )
        await log.until("Pool fresh: process")
        await log.until("Pool default: process")
        await log.until("Reload rolled back")

        assert {name: pool.processes for name, pool in pools.items()} == before
        assert supervisor.reloader.revision == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", '[tasks.more]\nfunction = "work:note"\n'),
        ('[tasks.more]\nfunction = "work:note"\n', ""),
        ("", '[workers.default.env]\nMORE = "1"\n[tasks.note.retry]\nattempts = 3\n'),
        ("", '[logging]\nlevel = "debug"\n[tasks.more]\nfunction = "work:note"\n'),
        ("", '[workers.default.env]\nMORE = "1"\n[supervisor.restart]\nmax_crashes = 9\n'),
    ],
    ids=["task-added", "task-removed", "retry-and-environment", "level-and-task", "brake"],
)
async def test_a_pool_that_rolls_has_as_many_processes_as_before_all_of_the_new_revision(
    home: Home, log: Log, old: str, new: str
) -> None:
    home.save(TEXT.replace('drain = "1s"', 'drain = "1s"\nprocesses = 2') + old)
    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        before = list(pool.processes)
        home.save(home.text.removesuffix(old) + new)
        await log.until("applied as revision 2")

        await until(
            lambda: not any(process in pool.processes for process in before), "the end of the old"
        )
        assert [process.revision for process in pool.processes] == [2, 2]
        assert pool.ready == 2


async def test_a_task_and_its_new_code_come_together(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        work = home.file.parent / "work.py"
        work.write_text(f"{work.read_text()}\n\nasync def fresh(): return 'fresh'\n")
        home.save(
            home.text
            + '[tasks.fresh]\nfunction = "work:fresh"\n[tasks.fresh.retry]\nattempts = 3\n'
            "[logging]\nlevel = 'debug'\n"
        )
        await log.until("applied as revision 2")

        async with Docket("inside", home.url) as docket:
            docket.register(_declared_elsewhere, names=["fresh"])
            execution = await docket.add("fresh")()
            assert await execution.get_result(timeout=timedelta(seconds=60)) == "fresh"
        assert supervisor._fleet.pools["default"].ready == 1


async def _declared_elsewhere(*_: int) -> str: ...  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("on_failure", ["rollback", "hold"])
async def test_no_canary_outlives_a_roll_that_fails_before_its_turn(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    settings = f'min_interval = "20ms"\non_failure = "{on_failure}"'
    home.save(TEXT.replace('min_interval = "20ms"', settings) + STRICT)
    async with up(home) as supervisor:
        pools = supervisor._fleet.pools
        (before,) = pools["strict"].processes
        monkeypatch.setattr(pools["default"], "roll", failing(FULL))
        home.save(home.text + '[tasks.more]\nfunction = "work:note"\n')
        results = supervisor.reloader.record.results
        await until(lambda: bool(results["failed"] + results["rolled_back"]), "the failure")

        assert [pool.ready for pool in pools.values()] == [1, 1]
        # Whoever goes back rolls back.
        assert (before.state is ProcessState.READY) == (on_failure == "hold")


async def test_a_new_configuration_settles_what_was_scaled_by_hand(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        await supervisor.reloader.scale(1)
        assert (pool.ready, supervisor.conditions["Drift"].reason) == (2, "Scaled")

        home.save(home.text + '[schedules.s]\ntask = "note"\nargs = [1]\nevery = "1h"\n')
        await log.until("applied as revision 2")

        assert pool.desired.processes == 1
        await until(lambda: pool.ready == 1, "the end of the second process")


async def test_how_pools_behave_when_they_crash_changes_at_once(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        (process,) = pool.processes
        home.save(home.text + "[supervisor.restart]\nmax_crashes = 9\n")
        await log.until("applied as revision 2")

        assert pool.brake.max_crashes == 9
        assert pool.processes == [process]


async def test_who_commits_too_late_follows_what_is_in_force_by_then(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with up(home) as supervisor:
        revised = supervisor.reloader.revisions
        commit, done = revised.commit, list[bool]()

        async def too_late(loaded: Loaded, base: int, why: str) -> Commit:
            for _ in ("another host, with the same file", "this one"):
                told = await commit(loaded, base, why)
                done.append(told.is_done)
            return told  # pyright: ignore[reportPossiblyUnboundVariable]

        monkeypatch.setattr(revised, "commit", too_late)
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")

        assert done == [True, False]
        async with Docket("inside", home.url) as docket:
            history = await docket.storage.configurations.history("inside")
        assert [one.number for one in history] == [2, 1]


@pytest.mark.parametrize("trouble", [ServerUnavailable("nothing answers"), OSError("no space")])
async def test_what_came_up_goes_down_when_the_commit_fails(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        before = list(pool.processes)
        monkeypatch.setattr(supervisor.reloader.revisions, "commit", failing(trouble))
        home.save(home.text + '[workers.default.env]\nMORE = "1"\n')
        await until(lambda: supervisor.reloader.record.results["failed"] > 0, "the failure")

        assert pool.processes == before
        assert supervisor.conditions["Applied"].message == str(trouble)
        monkeypatch.undo()
        supervisor.reload()
        await log.until("applied as revision 2")


@pytest.mark.parametrize("change", ['drain = "2s"', 'drain = "1s"\nenv = { MORE = "1" }'])
async def test_what_is_saved_while_redis_is_away_is_applied_when_it_is_back(
    home: Home,
    log: Log,
    own_server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    monkeypatch.setattr("docket.storage.scripting.retrying.PATIENCE", timedelta(milliseconds=200))
    monkeypatch.setattr(reloader, "AGAIN_AFTER", 0.1)
    async with up(home, {"DOCKET_URL": own_server.url}) as supervisor:
        own_server.kill()
        home.edit('drain = "1s"', change)
        await log.until("it is tried again soon")
        assert not supervisor.conditions["Applied"].status

        await asyncio.to_thread(own_server.start)
        await log.until("applied as revision")

        assert supervisor.conditions["Applied"].status


async def test_processes_come_up_as_they_were_told_to_while_the_file_is_broken(
    home: Home, log: Log
) -> None:
    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        good = home.text
        home.save(good + "[[broken")
        await log.until("Reload refused")
        (process,) = pool.processes
        os.kill(process.pid, signal.SIGKILL)

        await until(lambda: process not in pool.processes and pool.ready == 1, "another process")

        home.save(good)
        await log.until("Reload: unchanged")


async def test_a_reload_that_is_asked_for_has_pools_that_were_given_up_try_again(
    home: Home, log: Log
) -> None:
    home.save(TEXT + "[supervisor.restart]\nmax_crashes = 1\nbackoff = { initial = '10ms' }\n")
    work = home.file.parent / "work.py"
    good = work.read_text()
    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        work.write_text("raise RuntimeError('broken')")
        os.kill(pool.processes[0].pid, signal.SIGKILL)
        await until(lambda: supervisor.conditions["Degraded"].status, "the pool being given up")
        work.write_text(good)
        supervisor.ask_to_reload()
        await log.until("default had too few processes, and gets new ones")

        await until(lambda: pool.ready == 1, "a process that works")
        assert not supervisor.conditions["Degraded"].status


async def test_a_pool_that_leaves_drains_without_keeping_anybody_waiting(
    home: Home, log: Log
) -> None:
    (home.file.parent / "work.py").write_text(
        "import asyncio, pathlib\n\nasync def note(number):\n    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('go').exists():\n        await asyncio.sleep(0.01)\n    return number\n"
    )
    home.save(TEXT + '[workers.leaves]\nqueues = ["other"]\ndrain = "1m"\n')
    async with Docket("inside", home.url) as docket, up(home) as supervisor:
        docket.register(_declared_elsewhere, names=["note"])
        home.save(home.text.replace('"work:note"', '"work:note"\nqueue = "other"'))
        await log.until("applied as revision 2")
        execution = await docket.add("note")(7)
        await until((home.file.parent / "begun").exists, "the run")
        home.save(home.text.replace('[workers.leaves]\nqueues = ["other"]\ndrain = "1m"\n', ""))
        await log.until("applied as revision 3")
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 4")
        assert set(supervisor._fleet.pools) == {"default"}
        assert len(supervisor._fleet.removed_tasks) == 1
        supervisor.stop()
        await log.until("Stopping")
        (home.file.parent / "go").touch()

        assert await execution.get_result(timeout=timedelta(seconds=60)) == 7


async def test_who_is_in_a_hurry_waits_for_no_pool_that_leaves(home: Home, log: Log) -> None:
    home.save(TEXT + '[workers.leaves]\nqueues = ["other"]\ndrain = "1m"\n')
    async with up(home) as supervisor:
        fleet = supervisor._fleet
        (process,) = fleet.pools["leaves"].processes
        os.kill(process.pid, signal.SIGSTOP)
        home.save(TEXT)
        await log.until("applied as revision 2")

        await fleet.stop(0.1)

        assert process.exit_code == -signal.SIGKILL
        assert not fleet.removed_tasks


async def test_a_secret_that_can_not_be_read_is_refused_before_anything_is_touched(
    home: Home, log: Log
) -> None:
    async with up(home) as supervisor:
        before = list(supervisor._fleet.pools["default"].processes)
        home.save(TEXT + '[workers.default.secrets]\nTOKEN = "file:token"\n')
        await log.until("a secret cannot be read")
        assert supervisor._fleet.pools["default"].processes == before
        (home.file.parent / "token").write_text("here by now")

        supervisor.reload()
        await log.until("applied as revision 2")


@pytest.mark.parametrize(
    ("step", "told", "revision"),
    [
        ("stage", "Reload failed, the last good configuration goes on, and it is tried again", 2),
        ("roll", "Reload rolled back, the last good configuration goes on: gone", 4),
    ],
)
async def test_redis_going_away_half_way_is_tried_again_when_it_is_back(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch, step: str, told: str, revision: int
) -> None:
    monkeypatch.setattr(reloader, "AGAIN_AFTER", 0.1)
    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        monkeypatch.setattr(pool, step, failing(ServerUnavailable("gone"), getattr(pool, step)))
        home.save(TEXT + '[workers.default.env]\nMORE = "1"\n')
        await log.until(told)
        await log.until(f"Reload: applied as revision {revision}")

        assert supervisor.conditions["Applied"].status
        assert pool.ready == 1


async def test_trouble_that_concerns_no_pool_of_this_host_takes_back_the_configuration_alone(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.save(TEXT + ELSEWHERE)
    async with up(home) as supervisor:
        before = list(supervisor._fleet.pools["default"].processes)
        monkeypatch.setattr(supervisor.reloader.applier, "settle_scales", failing(FULL))
        home.edit('queues = ["batch"]', 'queues = ["batch", "more"]')
        await log.until("Reload rolled back, the last good configuration goes on: the disk is full")

        assert supervisor._fleet.pools["default"].processes == before
        assert supervisor.reloader.revision == 3
