"""A plan is carried out in steps that can be taken back; what others commit meanwhile is respected."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from docket import Docket
from docket.config.load import Loaded
from docket.errors import ServerUnavailable
from docket.storage.configurations import Commit
from docket.supervisor.process import ProcessState
from tests.fleet.process import ServerProcess

from .inside import STRICT, TEXT, Home, Log, until, up

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
            assert await execution.get_result(timeout=timedelta(seconds=10)) == "fresh"
        assert supervisor._fleet.pools["default"].ready == 1


async def _declared_elsewhere() -> str: ...  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("on_failure", ["rollback", "hold"])
async def test_no_canary_outlives_a_roll_that_fails_before_its_turn(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    async def fail(*_: object) -> None:
        raise OSError("the disk is full")

    settings = f'min_interval = "20ms"\non_failure = "{on_failure}"'
    home.save(TEXT.replace('min_interval = "20ms"', settings) + STRICT)
    async with up(home) as supervisor:
        pools = supervisor._fleet.pools
        (before,) = pools["strict"].processes
        monkeypatch.setattr(pools["default"], "roll", fail)
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
        applier = supervisor.reloader.applier
        commit, done = applier.commit, list[bool]()

        async def too_late(loaded: Loaded, base: int, why: str) -> Commit:
            for _ in ("another host, with the same file", "this one"):
                told = await commit(loaded, base, why)
                done.append(told.is_done)
            return told  # pyright: ignore[reportPossiblyUnboundVariable]

        monkeypatch.setattr(applier, "commit", too_late)
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
    async def away(*_: object) -> Commit:
        raise trouble

    async with up(home) as supervisor:
        pool = supervisor._fleet.pools["default"]
        before = list(pool.processes)
        monkeypatch.setattr(supervisor.reloader.applier, "commit", away)
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
    monkeypatch.setattr("docket.storage.patience.PATIENCE", timedelta(milliseconds=200))
    async with up(home, {"DOCKET_URL": own_server.url}) as supervisor:
        own_server.kill()
        home.edit('drain = "1s"', change)
        await log.until("it is tried again when Redis answers")
        assert not supervisor.conditions["Applied"].status

        await asyncio.to_thread(own_server.start)
        await log.until("applied as revision")

        assert supervisor.conditions["Applied"].status


async def test_trouble_that_concerns_no_pool_of_this_host_takes_back_the_configuration_alone(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise OSError("the disk is full")

    home.save(TEXT + ELSEWHERE)
    async with up(home) as supervisor:
        before = list(supervisor._fleet.pools["default"].processes)
        monkeypatch.setattr(supervisor.reloader.applier, "settle_scales", fail)
        home.edit('queues = ["batch"]', 'queues = ["batch", "more"]')
        await log.until("Reload rolled back, the last good configuration goes on: the disk is full")

        assert supervisor._fleet.pools["default"].processes == before
        assert supervisor.reloader.revision == 3
