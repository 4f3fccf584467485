"""What a reload does when the new configuration cannot work, and how one goes back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from docket import Docket
from docket.config.load import parse
from docket.errors import ServerUnavailable
from docket.storage.configurations import Beat, Revision
from docket.supervisor.reload import applier, revisions
from docket.supervisor.reload import reloader as reloader_code
from docket.supervisor.supervisor import Supervisor

from ..inside import FULL, TEXT, Home, Log, failing, until, up

pytestmark = pytest.mark.fleet

BROKEN = '"work:absent"'
"""A function that the probe finds, and no worker."""
STRICT = '[workers.default.env]\nROLE = "strict"\n'
DEBUG = '[logging]\nlevel = "debug"\n'


async def history(home: Home) -> list[Revision]:
    async with Docket("inside", home.url) as docket:
        return await docket.storage.configurations.history("inside")


async def test_a_canary_that_can_not_work_changes_nothing(home: Home, log: Log) -> None:
    home.save(TEXT + STRICT)
    async with up(home) as supervisor:
        (before,) = supervisor._fleet.pools["default"].processes
        home.edit('"work:note"', BROKEN)
        await log.until("Reload rolled back")

        assert supervisor._fleet.pools["default"].processes == [before]
        assert not supervisor.conditions["Applied"].status
        assert [one.number for one in await history(home)] == [1]


async def test_what_has_failed_is_not_tried_again_unless_it_is_edited_or_asked_for(
    home: Home, log: Log
) -> None:
    good = TEXT
    bad = good.replace('"work:note"', BROKEN)
    home.save(good)
    async with up(home) as supervisor:
        home.save(bad)
        await log.until("Reload rolled back")
        home.save(bad + "# the same\n")
        await log.until("this content has failed before and waits for an edit or a reload")
        supervisor.ask_to_reload()
        await log.until("Reload rolled back")
        home.save(good.replace('drain = "1s"', 'drain = "2s"'))
        await log.until("applied as revision 2")
        assert supervisor.conditions["Applied"].status


async def test_one_goes_back_to_an_earlier_revision_as_a_new_one(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")
        outcome = await supervisor.reloader.rollback(1)

        assert (outcome.result, outcome.revision) == ("applied", 3)
        assert supervisor._fleet.pools["default"].desired.orders.drain == 1.0
        assert [(one.number, one.entry.why) for one in await history(home)] == [
            (3, "rolled back to 1"),
            (2, "applied"),
            (1, "started"),
        ]
        # The file waits for an edit: what it says was taken back.
        supervisor.reload()
        await log.until("this content has failed before and waits for an edit or a reload")
        home.edit('drain = "2s"', 'drain = "3s"')
        await log.until("applied as revision 4")


async def test_what_is_a_hosts_own_is_changed_without_a_revision_and_not_taken_back(
    home: Home, log: Log
) -> None:
    async with up(home) as supervisor:
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")
        home.save(home.text + DEBUG)
        await log.until("Reload: applied on this host")
        orders = supervisor._fleet.pools["default"].desired.orders
        assert (orders.log_level, supervisor.reloader.revision) == ("debug", 2)
        assert supervisor.conditions["Applied"].status

        outcome = await supervisor.reloader.rollback(1)
        assert (outcome.result, outcome.revision) == ("applied", 3)
        assert supervisor.reloader.configuration.logging.level == "debug"
        # What was taken back waits for an edit; an edit of what is this host's own is none.
        home.edit('"debug"', '"info"')
        await log.until("Reload: applied on this host")
        orders = supervisor._fleet.pools["default"].desired.orders
        assert (orders.log_level, orders.drain) == ("info", 1.0)
        assert [one.number for one in await history(home)] == [3, 2, 1]


async def test_a_place_to_listen_that_has_changed_is_told_although_no_revision_has_it(
    home: Home, log: Log
) -> None:
    async with up(home) as supervisor:
        home.edit('"127.0.0.1:0"', '"localhost:0"')
        await log.until("these changes need a restart")

        assert supervisor.conditions["RestartRequired"].status
        assert not supervisor.conditions["Applied"].status
        assert supervisor.conditions["Drift"].reason == "File"


async def test_a_revision_that_is_not_kept_is_told(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        outcome = await supervisor.reloader.rollback(7)

    assert outcome.result == "refused"
    assert outcome.message == "there is no revision 7; those that are kept are 1"


async def test_so_many_revisions_are_kept_as_the_file_says(home: Home, log: Log) -> None:
    home.edit('min_interval = "20ms"', 'min_interval = "20ms"\nhistory = 2')
    async with up(home):
        for drain in (2, 3, 4):
            home.edit(f'drain = "{drain - 1}s"', f'drain = "{drain}s"')
            await log.until(f"applied as revision {drain}")

        assert [one.number for one in await history(home)] == [4, 3]


def break_roll(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor._fleet.pools["default"], "roll", failing(FULL))


async def test_where_it_shall_hold_a_roll_that_fails_stays_half_done(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.edit('min_interval = "20ms"', 'min_interval = "20ms"\non_failure = "hold"')
    async with up(home) as supervisor:
        break_roll(supervisor, monkeypatch)
        home.save(home.text + STRICT)
        await log.until("Reload failed half way, and stays as it is: the disk is full")

        assert supervisor.conditions["Degraded"].reason == "RollFailed"
        assert [one.entry.why for one in await history(home)] == ["applied", "started"]


async def crash(supervisor: Supervisor, times: int) -> None:
    """Kill the process of the pool again and again."""
    pool = supervisor._fleet.pools["default"]
    for _ in range(times):
        await until(lambda: bool(pool.ready), "a process that works")
        os.kill(next(one.pid for one in pool.processes if one.pid), signal.SIGKILL)
        ended = pool.exits["crash"] + 1
        await until(lambda: pool.exits["crash"] == ended, "its end")  # noqa: B023


CRASHES = '[supervisor.restart]\nmax_crashes = 2\nbackoff = { initial = "10ms", max = "20ms" }\n'


async def test_a_pool_that_crashes_since_an_edit_takes_the_edit_back(home: Home, log: Log) -> None:
    home.save(TEXT + CRASHES)
    async with up(home) as supervisor:
        home.save(home.text.replace('drain = "1s"', 'drain = "2s"') + DEBUG)
        await log.until("applied as revision 2")
        await crash(supervisor, 3)
        await log.until("Pool default crashes since revision 2: it is taken back")
        await until(
            lambda: supervisor.conditions["Applied"].message == "pool default crashed",
            "the report of it",
        )

        assert supervisor.reloader.revision == 3
        assert supervisor._fleet.pools["default"].desired.orders.drain == 1.0
        assert (await history(home))[0].entry.why == "rolled back from 2"
        # What is this host's own is never taken back.
        assert supervisor.reloader.configuration.logging.level == "debug"
        # What the file says was taken back: it waits for an edit.
        supervisor.reload()
        await log.until("this content has failed before and waits for an edit or a reload")


async def test_an_edit_that_can_not_be_taken_back_stays_and_that_is_told(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.save(TEXT + CRASHES)
    async with up(home) as supervisor:
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")
        monkeypatch.setattr(
            supervisor.reloader.revisions, "commit", failing(ServerUnavailable("nothing answers"))
        )
        await crash(supervisor, 3)
        await until(lambda: supervisor.reloader.record.results["failed"] == 1, "the failure")

        assert supervisor.reloader.revision == 2
        assert supervisor.conditions["Applied"].message == "nothing answers"


async def test_one_goes_back_from_a_file_that_can_not_be_used(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")
        home.save("no toml")
        await log.until("Reload refused")

        outcome = await supervisor.reloader.rollback(1)

        assert (outcome.result, outcome.revision) == ("applied", 3)
        home.save(TEXT.replace('drain = "1s"', 'drain = "3s"'))
        await log.until("applied as revision 4")


async def test_what_another_host_puts_in_force_with_the_same_meaning_is_no_drift(
    home: Home, log: Log
) -> None:
    async with up(home) as supervisor:
        reloader = supervisor.reloader
        await reloader.revisions.commit(reloader.loaded, 1, "of another host")

        await until(lambda: reloader.revision == 2, "the revision of the other one")

        assert not supervisor.conditions["Drift"].status


async def test_another_configuration_in_force_is_told_once(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        reloader = supervisor.reloader
        other = parse(TEXT.replace('drain = "1s"', 'drain = "9s"'), home.file)
        await reloader.revisions.commit(other, 1, "of another host")
        await log.until("has another configuration; its pools run")

        await reloader.follow(Beat(leads=True, revision=2, leader="me"))

        assert supervisor.conditions["Drift"].reason == "OtherHost"
        assert "has another configuration" not in log


async def test_what_is_gone_before_it_is_looked_at_is_not_followed(home: Home, log: Log) -> None:
    async with up(home) as supervisor:
        reloader = supervisor.reloader
        async with Docket("inside", home.url) as docket, docket.redis() as client:
            assert await client.delete(docket.storage.keys.configuration("inside"))

            await reloader.follow(Beat(leads=True, revision=7, leader="me"))

        assert reloader.revision == 1
        assert not supervisor.conditions["Drift"].status


@pytest.mark.parametrize("on_failure", ["rollback", "hold"])
async def test_a_pool_that_crashes_for_another_reason_takes_nothing_back(
    home: Home, log: Log, on_failure: str
) -> None:
    text = TEXT.replace(
        'min_interval = "20ms"', f'min_interval = "20ms"\non_failure = "{on_failure}"'
    )
    home.save(text + CRASHES)
    async with up(home) as supervisor:
        if on_failure == "hold":
            home.edit('drain = "1s"', 'drain = "2s"')
            await log.until("applied as revision 2")
        revision = supervisor.reloader.revision
        await crash(supervisor, 3)
        await until(lambda: supervisor.conditions["Degraded"].status, "the pool being given up")

        assert supervisor.conditions["Degraded"].reason == "PoolGivenUp"
        assert supervisor.reloader.revision == revision


async def test_a_secret_with_another_content_rolls_its_pool_at_the_next_reload(
    home: Home, log: Log
) -> None:
    secret = Path(home.file.parent / "token")
    secret.write_text("first")
    home.save(TEXT + '[workers.default.secrets]\nTOKEN = "file:token"\n')
    async with up(home) as supervisor:
        (before,) = supervisor._fleet.pools["default"].processes
        secret.write_text("second")
        supervisor.ask_to_reload()
        await log.until("Reload: unchanged, but for secrets of default")

        pool = supervisor._fleet.pools["default"]
        assert pool.desired.environment["TOKEN"] == "second"
        await until(lambda: before not in pool.processes, "the end of the old process")
        secret.unlink()
        supervisor.ask_to_reload()
        await log.until("Pools cannot work with the secrets as they are now")
        assert pool.ready == 1
        assert "first" not in "".join(log._lines)


async def test_a_change_that_found_no_process_is_tried_again(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.supervisor.reload.reloader.AGAIN_AFTER", 0.5)
    async with up(home) as supervisor:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/nowhere/python")
            home.edit("[tasks.note]", '[tasks.other]\nfunction = "work:note"\n\n[tasks.note]')
            await log.until("Reload failed, the last good configuration goes on, and it is tried")
            assert supervisor.reloader.revision == 1

        await log.until("applied as revision 2")


async def test_a_start_that_finds_no_process_waits_for_it_and_can_be_stopped(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.supervisor.reload.reloader.SPAWN_PAUSES", (0.05, 0.05))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        supervisor = Supervisor(home.file, {})
        running = asyncio.create_task(supervisor.run())
        await log.until("the interpreter /nowhere/python is not there; it is tried again")
        await asyncio.sleep(0.2)
        supervisor.stop()
        await running
    assert "it is tried again" not in log
    assert "Stopped" in log

    async with up(home) as another:
        assert another.reloader.revision == 1


async def test_what_fails_on_the_side_is_logged(home: Home, log: Log) -> None:
    async def fail() -> None:
        raise RuntimeError("by hand")

    async with up(home) as supervisor:
        supervisor._in_background(fail())
        await log.until("What was asked for has failed; the supervisor goes on")


async def test_whatever_takes_long_for_a_large_file_is_done_in_threads(
    home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[int]] = {}

    def note(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def noted(*args: Any) -> Any:
            seen.setdefault(name, set()).add(threading.get_ident())
            return real(*args)

        monkeypatch.setattr(module, name, noted)

    long = {
        reloader_code: ("load", "shadowed_edits", "plan", "rebuilt"),
        applier: ("orders_for", "plan"),
        revisions: ("desired_schedules", "declarations", "text_of"),
    }
    for module, names in long.items():
        for name in names:
            note(module, name)
    async with up(home) as supervisor:
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")
        outcome = await supervisor.reloader.rollback(1)

        assert outcome.result == "applied"
        assert seen.keys() == {name for names in long.values() for name in names}
        assert all(threading.get_ident() not in threads for threads in seen.values())
