"""What a supervisor does when steps of a reload fail, and when the server is away."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from datetime import timedelta

import pytest

from docket import Docket
from docket.errors import ConfigurationError, OperatorError, ServerUnavailable
from docket.supervisor.supervisor import Supervisor, SupervisorPulse
from tests.fleet.process import ServerProcess

from .inside import FULL, STRICT, TEXT, Home, Log, failing, until, up

pytestmark = pytest.mark.fleet


async def routed(home: Home) -> int:
    """How many tasks have a queue of their own."""
    async with Docket("inside", home.url) as docket, docket.redis() as client:
        return int(await client.hlen(docket.key("routes")))


async def test_the_port_is_known_once_it_listens(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        assert supervisor.port
        assert f"http://127.0.0.1:{supervisor.port}" in log


async def test_what_is_saved_while_everything_is_brought_up_is_applied(
    home: Home, log: Log
) -> None:
    supervisor = Supervisor(home.file, {})
    home.edit('drain = "1s"', 'drain = "2s"')
    running = asyncio.create_task(supervisor.run())

    await log.until("applied as revision 2")

    supervisor.stop()
    await running


def test_a_server_in_memory_is_refused(home: Home) -> None:
    home.edit('name = "inside"', 'name = "inside"\nurl = "memory://x"')

    with pytest.raises(ConfigurationError, match="lives in one process"):
        Supervisor(home.file, {})


async def test_what_will_surprise_is_told_at_the_start_and_after_each_change(
    home: Home, log: Log
) -> None:
    home.save(TEXT.replace('"work:note"', '"work:note"\nqueue = "nobody"'))
    async with up(home):
        await log.until("nobody")
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")
        await log.until("nobody")


async def test_a_change_that_removes_too_much_is_refused(home: Home, log: Log) -> None:
    more = "".join(f'[tasks.t{number}]\nfunction = "work:note"\n' for number in range(4))
    home.save(TEXT + more)
    async with up(home):
        home.save(TEXT)
        await log.until("it removes too much")


async def test_an_edit_that_works_in_one_pool_but_not_in_another_is_taken_back_in_both(
    home: Home, log: Log
) -> None:
    home.save(TEXT + STRICT)
    async with up(home) as supervisor:
        pools = supervisor._fleet.pools
        home.edit(
            '"work:note"',
            '"work:note"\nqueue = "strict"\nretry = { never_on = ["work:Harmless"] }',
        )
        await log.until("Reload rolled back")

        assert await routed(home) == 0
        for pool in pools.values():
            assert pool.desired.orders.tasks["note"].retry is None
            assert pool.ready == 1


async def test_every_step_before_the_one_that_fails_is_taken_back(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        pools, ticker = supervisor._fleet.pools, supervisor._fleet.ticker
        good = home.text
        home.save(
            good.replace("work:note", "work:absent")
            + '[logging]\nlevel = "debug"\n[[strikes]]\nid = "s"\ntask = "note"\n'
            '[workers.second]\nqueues = ["second"]\n'
            '[schedules.s]\ntask = "note"\nkwargs = { number = 1 }\nevery = "1h"\n'
            "[supervisor.restart]\nmax_crashes = 9\n"
        )
        await log.until("Reload rolled back")

        assert logging.getLogger().level == logging.INFO
        assert set(pools) == {"default"}
        assert pools["default"].brake.max_crashes != 9
        assert ticker.next_times == {}
        async with Docket("inside", home.url) as docket:
            await docket.wait_for_strikes_loaded()
            assert not docket.strike_list.rules
        home.save(good)
        await log.until("Reload: unchanged")


async def test_what_can_not_be_taken_back_is_told(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with up(home) as supervisor:
        monkeypatch.setattr(supervisor._fleet.pools["default"], "roll", failing(FULL))
        home.save(TEXT + '[workers.default.env]\nROLE = "other"\n')
        await log.until("Could not undo RollPool: the disk is full")
        await log.until("Reload rolled back, the last good configuration goes on: the disk is full")
        monkeypatch.undo()
        home.edit('"other"', '"another"')
        await log.until("applied as revision 4")


async def test_strikes_and_paused_queues_of_the_file_come_and_go_and_those_of_callers_stay(
    home: Home, log: Log
) -> None:
    home.save(TEXT + '[[strikes]]\nid = "s"\ntask = "note"\n')
    async with Docket("inside", home.url) as docket:
        await docket.strike("other")
        await docket.operations.pause_queues("other", author="ann")
        async with up(home) as supervisor:

            async def paused() -> list[tuple[str, str, int | None]]:
                await supervisor._pauses.look()
                told = supervisor._overview.fields["paused_queues"]
                return [(one["name"], one["by"] or one["file"], one["revision"]) for one in told]

            processes = list(supervisor._fleet.pools["default"].processes)
            home.save(
                TEXT + "[queues.default]\npaused = true\n"
                '[[strikes]]\nid = "s"\ntask = "note"\nreason = "because"\n'
                '[audit]\nkeep = "5d"\n'
            )
            await log.until("queues.default: added (live; the queue is paused)")
            assert await paused() == [("default", "inside", 2), ("other", "ann", None)]
            assert supervisor._fleet.storage.audit.limits.keep == timedelta(days=5)
            home.save(TEXT)
            await log.until("queues.default: removed (live; the queue is resumed)")
            assert await paused() == [("other", "ann", None)]
            assert supervisor._fleet.pools["default"].processes == processes
            async with Docket("inside", home.url) as fresh:
                await fresh.wait_for_strikes_loaded()
                assert [rule.task for rule in fresh.strike_list.rules.values()] == ["other"]


async def test_a_pool_that_gets_another_environment_and_level_is_rolled_once(
    home: Home, log: Log
) -> None:
    home.save(TEXT + STRICT)
    async with up(home) as supervisor:
        pools = supervisor._fleet.pools
        (before,) = pools["strict"].processes
        home.save(
            TEXT.replace("[supervisor]", '[logging]\nlevel = "debug"\n[supervisor]')
            + STRICT.replace('"strict" }', '"other" }')
        )
        await log.until("applied as revision 2")

        await until(lambda: before not in pools["strict"].processes, "the end of the old process")
        assert pools["strict"].ready == 1
        assert pools["default"].desired.orders.log_level == "debug"


async def test_work_of_a_dead_process_waits_for_its_lease_when_the_server_is_away(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with up(home) as supervisor:
        (process,) = supervisor._fleet.pools["default"].processes
        monkeypatch.setattr(
            "docket.supervisor.fleet.release", failing(ServerUnavailable("nobody there"))
        )
        os.kill(process.pid, signal.SIGKILL)
        await log.until("is taken over when its leases end: nobody there")


async def test_a_process_that_never_worked_is_buried_without_the_server(
    home: Home, log: Log
) -> None:
    async with up(home) as supervisor:
        (process,) = supervisor._fleet.pools["default"].processes
        process.consumer = None
        os.kill(process.pid, signal.SIGKILL)
        await log.until("ended with SIGKILL")
        await until(
            lambda: supervisor._fleet.pools["default"].ready == 1, "the process that replaces it"
        )


async def test_a_server_that_is_away_is_waited_for(
    home: Home, log: Log, own_server: ServerProcess
) -> None:
    home.save(TEXT + '[schedules.often]\ntask = "note"\nargs = [1]\nevery = "100ms"\n')
    home.edit('name = "inside"', f'name = "inside"\nurl = "{own_server.url}"')
    async with up(home):
        await log.until("Schedule often: queued")
        await asyncio.to_thread(own_server.kill)
        await log.until("Schedules wait for Redis")
        await asyncio.to_thread(own_server.start)
        await log.until("Schedule often: queued")


async def test_where_it_shall_exit_a_pool_that_crashes_too_often_ends_the_supervisor(
    home: Home, log: Log
) -> None:
    home.save(
        TEXT + '[supervisor.restart]\nmax_crashes = 1\non_exhausted = "exit"\n'
        'backoff = { initial = "10ms", max = "20ms" }\n'
    )
    supervisor = Supervisor(home.file, {})
    running = asyncio.create_task(supervisor.run())
    for crashes in (1, 2):
        await until(lambda: _works(supervisor), "a process that works")
        pool = supervisor._fleet.pools["default"]
        os.kill(next(one.pid for one in pool.processes), signal.SIGKILL)
        await until(lambda: pool.crashes == crashes, "its end")  # noqa: B023

    with pytest.raises(OperatorError, match="pool default crashes too often"):
        await running


def _works(supervisor: Supervisor) -> bool:
    pool = supervisor._fleet.pools.get("default")
    return supervisor._status.is_up and pool is not None and pool.ready == 1


async def test_processes_are_not_counted_by_hand_before_there_are_any(home: Home, log: Log) -> None:
    await Supervisor(home.file, {})._scale(1)

    assert "Processes by hand" not in log


async def test_a_part_that_fails_is_told_of_and_begins_again(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats, is_broken = 0, True

    class Broken(SupervisorPulse):
        async def run(self) -> None:
            nonlocal beats
            beats += 1
            if is_broken:
                raise RuntimeError("the heart stopped")
            await super().run()

    monkeypatch.setattr("docket.supervisor.supervisor.SupervisorPulse", Broken)
    monkeypatch.setattr("docket.foundation.service.CALM", 0.2)

    async with up(home) as supervisor:
        await until(lambda: beats > 2, "the third beat")
        services = supervisor._status.services
        assert services is not None
        assert services.troubles() == {"broken": "RuntimeError: the heart stopped"}
        assert log.count("broken failed with an unexpected error") == 1
        is_broken, failed = False, services.failures()["broken"]
        await until(lambda: beats > failed, "a beat")
        assert supervisor._status.livez().status == 200
        assert services.failures()["broken"] == failed
        await log.until("broken works again")
        assert services.troubles() == {}


async def test_one_that_takes_long_to_start_is_alive_meanwhile(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(home.file, {})
    establish, turn, turns = supervisor.reloader.establish, supervisor._status.turn, 0

    def turning() -> None:
        nonlocal turns
        turns += 1
        turn()

    async def slowly() -> object:
        await until(lambda: turns >= 3, "three turns of the event loop")
        assert supervisor._status.readyz().status == 503
        return await establish()

    monkeypatch.setattr("docket.supervisor.supervisor.PULSE", 0.01)
    monkeypatch.setattr(supervisor._status, "turn", turning)
    monkeypatch.setattr(supervisor.reloader, "establish", slowly)

    running = asyncio.create_task(supervisor.run())
    await until(lambda: supervisor._status.is_up, "that it is up")
    assert supervisor._status.readyz().status == 200
    supervisor.stop()
    await running


async def test_what_is_under_way_when_it_stops_is_ended(home: Home, log: Log) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with up(home) as supervisor:
        supervisor._in_background(endless())
        await begun.wait()
    assert ended.is_set()


async def test_one_that_can_have_no_control_socket_works_without(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home.file))
    home.edit("[supervisor]", '[supervisor]\ncontrol = "docket.toml/control.sock"')
    async with up(home):
        assert "docket status and docket reload do not reach this supervisor: cannot listen" in log


async def test_what_was_asked_for_by_a_signal_ends_with_the_supervisor(home: Home) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    async with up(home) as supervisor:
        supervisor._in_background(work())
        await asyncio.sleep(0)
    assert ended == ["ended"]
