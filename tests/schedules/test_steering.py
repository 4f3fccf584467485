"""What operators do with schedules, and what stays when files change."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker
from docket.errors import TooManyRuns, UnknownSchedule
from docket.schedules.codec import in_words
from docket.schedules.reconciler import active_schedules

from .conftest import MINUTE, NOON, Host

EVERY_MINUTE = '[schedules.s]\nevery = "1m"\noverlap = "allow"\n'
HOUR = timedelta(hours=1)


async def test_what_an_operator_has_paused_no_file_resumes(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.declare(EVERY_MINUTE)
    await host.timetable.pause(await host.timetable.find("s"), by="ann", reason="INC-7")
    await host.declare(EVERY_MINUTE + "paused = false\n")
    with caplog.at_level(logging.WARNING):
        await host.wait(MINUTE, 2)

    entry = await host.timetable.find("s")
    assert entry.pause_at(await host.now()) == "ann: INC-7"
    assert await host.keys() == []
    assert host.ticker.skipped == {"paused": 2}
    assert entry.known.skipped == {"paused": 2}
    assert "no run s@2026-03-01T12:01:00Z, ann has paused it: INC-7" in caplog.text


async def test_a_pause_without_a_reason_says_so(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.declare(EVERY_MINUTE)
    await host.timetable.pause(await host.timetable.find("s"), by="ann")
    await host.wait(MINUTE)

    assert "ann has paused it: no reason given" in caplog.text


async def test_a_schedule_goes_on_when_it_is_resumed(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    entry = await host.timetable.find("s")
    await host.timetable.pause(entry, by="ann")
    await host.wait(MINUTE)

    assert await host.timetable.resume(entry)
    assert not await host.timetable.resume(entry)
    await host.wait(MINUTE)
    assert await host.keys() == ["s@2026-03-01T12:02:00Z"]


async def test_a_pause_may_have_an_end(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    await host.timetable.pause(
        await host.timetable.find("s"), by="ann", reason="lunch", lasting=2 * MINUTE
    )
    paused = (await host.timetable.find("s")).pause_at(await host.now())
    await host.wait(MINUTE, 3)

    assert paused == "ann: lunch, until 2026-03-01T12:02:00Z"
    assert await host.keys() == ["s@2026-03-01T12:02:00Z", "s@2026-03-01T12:03:00Z"]
    assert (await host.timetable.find("s")).pause_at(await host.now()) == ""


async def test_what_the_file_pauses_no_operator_resumes(host: Host) -> None:
    await host.declare(EVERY_MINUTE + "paused = true\n")
    entry = await host.timetable.find("s")

    assert entry.pause_at(await host.now()) == "the file"
    assert not await host.timetable.resume(entry)
    assert await host.timetable.next(entry, 3) == []


async def test_a_row_of_failures_pauses_a_schedule_and_a_success_begins_anew(host: Host) -> None:
    fails = True

    async def t() -> None:
        if fails:
            raise ValueError("no")

    host.docket.register(t)
    await host.declare(EVERY_MINUTE + "pause_on_failure = 3\n")
    async with Worker(host.docket) as worker:

        async def pass_minutes(count: int) -> int:
            for _ in range(count):
                await host.wait(MINUTE)
                await worker.run_until_finished()
            return (await host.timetable.find("s")).known.failures

        assert await pass_minutes(2) == 2
        fails = False
        assert await pass_minutes(1) == 0
        fails = True
        assert await pass_minutes(3) == 3
        entry = await host.timetable.find("s")
        assert entry.pause_at(await host.now()) == "docket: 3 runs in a row have failed"
        assert await pass_minutes(1) == 3
        assert host.ticker.skipped == {"paused": 1}
        assert await host.timetable.resume(entry)
        assert await pass_minutes(1) == 1


async def test_the_next_run_is_skipped_once(host: Host) -> None:
    await host.declare(EVERY_MINUTE)

    assert await host.timetable.skip_next(await host.timetable.find("s")) == NOON + MINUTE
    await host.wait(MINUTE, 2)

    assert await host.keys() == ["s@2026-03-01T12:02:00Z"]
    assert host.ticker.skipped == {"asked": 1}


async def test_what_is_not_due_any_more_has_no_run_to_skip(host: Host) -> None:
    await host.declare("[schedules.s]\nat = 2026-03-01T12:00:30Z\n")
    await host.wait(MINUTE)

    assert await host.timetable.skip_next(await host.timetable.find("s")) is None


async def test_a_schedule_has_no_more_runs_than_its_limit_whatever_is_reloaded(host: Host) -> None:
    await host.declare(EVERY_MINUTE + "limit = 2\n")
    await host.wait(MINUTE)
    await host.declare(EVERY_MINUTE + 'limit = 2\nnotes = "new"\n')
    await host.wait(MINUTE, 3)
    await host.declare(EVERY_MINUTE + "limit = 2\nargs = [1]\n")
    await host.wait(MINUTE)

    assert len(await host.keys()) == 2
    assert host.ticker.next_times == {}
    await host.declare(EVERY_MINUTE + "limit = 3\n")
    await host.wait(MINUTE, 2)
    assert len(await host.keys()) == 3


async def test_a_limit_that_has_shrunk_below_what_has_run_ends_it(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    await host.wait(MINUTE, 2)
    late = host.ticker
    await host.new_ticker().declare(())
    await host.declare(EVERY_MINUTE + "limit = 2\n")

    assert host.ticker.next_times == {}
    assert late.next_times == {"s": NOON + 3 * MINUTE}


async def test_what_is_done_to_a_schedule_is_in_the_audit(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    await host.wait(MINUTE)
    entry = await host.timetable.find("s")
    by: dict[str, Any] = {"by": "ann", "reason": "INC-7"}

    await host.timetable.pause(entry, lasting=HOUR, **by)
    for _ in range(2):
        await host.timetable.resume(entry, **by)
    await host.timetable.skip_next(entry, **by)
    await host.sleep(timedelta(seconds=7))
    key = await host.timetable.trigger(entry, **by)
    await host.timetable.backfill(entry, NOON, await host.now(), is_dry=True, **by)
    await host.timetable.backfill(entry, NOON, NOON + 2 * MINUTE, **by)
    await host.docket.strike("t")
    await host.wait(MINUTE)
    assert await host.timetable.trigger(entry, **by) is None

    found = [one.record for one in (await host.docket.insights.audit(author="ann")).entries][::-1]
    assert {(one.reason, one.about["schedule"]) for one in found} == {("INC-7", entry.id)}
    assert [(one.verb, one.done, dict(one.refused)) for one in found] == [
        ("schedule pause", 1, {}),
        ("schedule resume", 1, {}),
        ("schedule resume", 0, {"idle": 1}),
        ("schedule skip-next", 1, {}),
        ("schedule trigger", 1, {}),
        ("schedule backfill", 1, {"already": 1}),
        ("schedule trigger", 0, {"struck": 1}),
    ]
    assert found[0].about["lasting"] == "1h"
    assert found[4].about["keys"] == [key]


async def test_one_that_is_anchored_when_it_was_created_counts_from_there(host: Host) -> None:
    await host.sleep(timedelta(seconds=17))
    text = '[schedules.s]\nevery = "1m"\nanchor = "created"\n'
    await host.declare(text)
    await host.wait(MINUTE)
    await host.new_ticker().declare(())
    await host.sleep(timedelta(seconds=100))
    await host.declare(text)

    assert await host.keys() == []  # what was due went with its schedule
    assert host.ticker.next_times == {"s": NOON + timedelta(seconds=17) + 3 * MINUTE}
    entry = await host.timetable.find("s")
    assert [one.moment for one in await host.timetable.next(entry, 2)] == [
        NOON + timedelta(seconds=17) + minutes * MINUTE for minutes in (3, 4)
    ]
    made_up = await host.timetable.backfill(entry, NOON, await host.now())
    assert [one.due - NOON for one in made_up] == [
        timedelta(seconds=17) + minutes * MINUTE for minutes in (0, 1, 2)
    ]
    assert [one.word for one in made_up] == ["FIRED", "ALREADY", "FIRED"]


async def test_one_that_counts_from_the_end_of_its_runs_waits_for_it(host: Host) -> None:
    host.docket.register(_nothing, names=["t"])
    await host.declare('[schedules.s]\nevery = "1m"\nanchor = "finish"\nlimit = 3\n')
    assert host.ticker.next_times == {"s": NOON + MINUTE}
    await host.wait(MINUTE)
    await host.wait(5 * MINUTE)
    assert await host.keys() == ["s@2026-03-01T12:01:00Z"]
    entry = await host.timetable.find("s")
    assert await host.timetable.next(entry, 3) == []
    with pytest.raises(TooManyRuns, match="trigger it instead"):
        await host.timetable.backfill(entry, NOON, await host.now())

    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
        await host.ticker.fire_due()
        assert host.ticker.next_times == {"s": NOON + 7 * MINUTE}
        entry = await host.timetable.find("s")
        assert [one.moment for one in await host.timetable.next(entry, 3)] == [NOON + 7 * MINUTE]
        host.new_ticker()
        await host.declare('[schedules.s]\nevery = "1m"\nanchor = "finish"\nlimit = 3\nargs=[]\n')
        assert host.ticker.next_times == {"s": NOON + 7 * MINUTE}
        for _ in range(4):
            await host.wait(MINUTE)
            await worker.run_until_finished()
            await host.ticker.fire_due()

    assert (await host.timetable.find("s")).known.runs == 3
    assert host.ticker.next_times == {}


async def test_one_that_counts_from_its_runs_ends_at_its_end(host: Host) -> None:
    host.docket.register(_nothing, names=["t"])
    await host.declare(
        '[schedules.s]\nevery = "1m"\nanchor = "finish"\nend = 2026-03-01T12:01:30Z\n'
    )
    async with Worker(host.docket) as worker:
        await host.wait(MINUTE)
        await worker.run_until_finished()
        await host.wait(MINUTE, 2)

    assert await host.outcomes() == ["fired"]


async def test_what_is_removed_has_no_pending_runs_and_what_comes_back_goes_on(host: Host) -> None:
    await host.declare(EVERY_MINUTE + 'overlap = "queue_all"\n'.replace("overlap", "notes"))
    await host.wait(MINUTE, 2)
    await host.timetable.pause(await host.timetable.find("s"), by="ann")
    assert len(await host.keys()) == 2

    await host.declare("")
    assert await host.keys() == []
    assert await host.timetable.entries() == []
    await host.declare(EVERY_MINUTE)
    entry = await host.timetable.find("s")

    assert (entry.last, entry.known.runs) == (NOON + 2 * MINUTE, 2)
    assert entry.pause_at(await host.now()) == "ann"


async def test_those_that_wait_for_their_turn_go_with_their_schedule(host: Host) -> None:
    await host.declare('[schedules.s]\nevery = "1m"\noverlap = "queue_all"\n')
    await host.wait(MINUTE, 3)
    await host.declare("")

    assert await host.keys() == []


async def test_one_that_is_renamed_keeps_its_past_and_its_pause(host: Host) -> None:
    old = '[schedules.s]\nevery = "1m"\noverlap = "queue_all"\n'
    await host.declare(old)
    await host.wait(MINUTE, 3)
    await host.timetable.pause(await host.timetable.find("s"), by="ann")
    await host.declare(old.replace("s]", "new]") + 'renamed_from = "s"\n')
    entry = await host.timetable.find("new")

    assert (entry.known.runs, entry.pause_at(await host.now())) == (3, "ann")
    assert await host.outcomes("new") == ["waits", "waits", "fired"]
    assert len(await host.keys()) == 3
    host.docket.register(_nothing, names=["t"])
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
    assert await host.keys() == []


async def test_one_that_has_a_past_of_its_own_takes_nothing_over(host: Host) -> None:
    await host.declare(EVERY_MINUTE + '[schedules.other]\nevery = "1h"\n')
    await host.wait(MINUTE, 2)
    await host.declare('[schedules.other]\nevery = "1h"\nrenamed_from = "s"\n')

    assert (await host.timetable.find("other")).known.runs == 0


async def test_one_is_run_now_besides_its_due_times(host: Host) -> None:
    await host.declare('[schedules.s]\nevery = "1h"\nargs = [1]\n')
    key = await host.timetable.trigger(await host.timetable.find("s"))

    assert key == "s@manual-2026-03-01T12:00:00Z"
    (execution,) = (await host.docket.snapshot()).future
    assert (execution.key, execution.args) == (key, (1,))
    assert await host.outcomes() == ["triggered"]
    assert (await host.timetable.find("s")).next_time == NOON + HOUR


async def test_what_is_struck_is_not_run_now_either(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    await host.docket.strike("t")
    entry = await host.timetable.find("s")

    assert await host.timetable.trigger(entry) is None
    (one,) = await host.timetable.backfill(entry, NOON - MINUTE, NOON)
    assert one.word == "STRUCK"


async def test_due_times_that_have_passed_are_run_once_each(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    await host.wait(MINUTE, 2)
    entry = await host.timetable.find("s")
    start, end = NOON - 150 * MINUTE, NOON + HOUR

    would = await host.timetable.backfill(entry, start, end, is_dry=True)
    first = await host.timetable.backfill(entry, start, end)
    second = await host.timetable.backfill(entry, start, end)

    assert [one.word for one in would] == ["WOULD"] * 151 + ["ALREADY"] * 1
    assert [one.word for one in first] == ["FIRED"] * 151 + ["ALREADY"] * 1
    assert {one.word for one in second} == {"ALREADY"}
    assert first[0].key == "s@2026-03-01T09:30:00Z"
    assert len(await host.keys()) == 153


async def test_a_run_that_makes_up_for_others_counts_for_its_own_due_time(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    await host.sleep(4 * MINUTE + MINUTE / 2)
    await host.ticker.fire_due()
    entry = await host.timetable.find("s")
    assert await host.keys() == ["s@2026-03-01T12:04:00Z"]
    assert entry.last == NOON + 4 * MINUTE

    # Whatever becomes of its record: the schedule knows what had a run.
    async with host.docket.redis() as client:
        await client.delete(host.docket.storage.keys.run("s@2026-03-01T12:04:00Z"))
    made_up = await host.timetable.backfill(entry, NOON + MINUTE, NOON + 5 * MINUTE)

    assert [one.word for one in made_up] == ["FIRED"] * 3 + ["ALREADY"]


async def test_a_due_time_that_was_to_be_skipped_and_is_missed_skips_no_other(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    assert await host.timetable.skip_next(await host.timetable.find("s")) == NOON + MINUTE
    await host.sleep(4 * MINUTE)
    await host.ticker.fire_due()
    await host.wait(MINUTE)

    assert await host.keys() == ["s@2026-03-01T12:04:00Z", "s@2026-03-01T12:05:00Z"]


@pytest.mark.parametrize("name", ["s", "other"])
async def test_a_schedule_that_stays_keeps_what_it_has_whoever_says_to_come_from_it(
    host: Host, name: str
) -> None:
    await host.declare(EVERY_MINUTE)
    await host.timetable.pause(await host.timetable.find("s"), by="ann", reason="keep")
    claims = 'renamed_from = "s"\n' if name == "s" else ""
    other = EVERY_MINUTE.replace("s]", "other]") + 'renamed_from = "s"\n'
    await host.declare(EVERY_MINUTE + claims + ("" if name == "s" else other))

    entry = await host.timetable.find("s")
    assert entry.pause_at(await host.now()) == "ann: keep"


async def test_very_many_are_not_run_by_mistake(host: Host) -> None:
    await host.declare(EVERY_MINUTE)

    with pytest.raises(TooManyRuns, match="those before 2026-03-01T04:40:00Z first"):
        await host.timetable.backfill(
            await host.timetable.find("s"), NOON - timedelta(days=1), NOON
        )


async def test_a_name_that_is_not_known_is_told_with_what_may_be_meant(host: Host) -> None:
    with pytest.raises(UnknownSchedule, match="there is no schedule 's'; there are none"):
        await host.timetable.find("s")
    await host.declare('[schedules.nightly]\nevery = "1h"\n')
    with pytest.raises(UnknownSchedule, match="did you mean 'nightly'"):
        await host.timetable.find("nighty")
    with pytest.raises(UnknownSchedule, match="there are nightly"):
        await host.timetable.find("zzz")


async def test_where_two_owners_have_one_of_a_name_the_owner_says_which(host: Host) -> None:
    other = Host(host.docket, "other")
    for one in (host, other):
        await one.declare(EVERY_MINUTE)

    with pytest.raises(UnknownSchedule, match="say which, of other/s, owner/s"):
        await host.timetable.find("s")
    assert (await host.timetable.find("other/s")).known.owner == "other"


async def test_one_that_is_removed_meanwhile_can_not_be_steered(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    entry = await host.timetable.find("s")
    await host.declare("")

    with pytest.raises(UnknownSchedule, match="owner/s' was removed just now"):
        await host.timetable.pause(entry, by="ann")


async def _nothing() -> None: ...


async def test_every_docket_has_its_own(host: Host) -> None:
    await host.declare(EVERY_MINUTE)
    async with Docket("another", host.docket.url) as docket:
        assert await Host(docket).timetable.entries() == []


async def test_what_a_strike_parks_is_told_and_has_a_run(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.declare(EVERY_MINUTE)
    await host.docket.strike("t", action="park")
    with caplog.at_level(logging.WARNING):
        await host.wait(MINUTE)

    assert "a strike parks s@2026-03-01T12:01:00Z" in caplog.text
    assert await host.outcomes() == ["parked"]
    assert not host.ticker.skipped


async def test_what_counts_from_its_runs_is_looked_at_again_and_again(host: Host) -> None:
    host.docket.register(_nothing, names=["t"])
    await host.declare('[schedules.s]\nevery = "1m"\nanchor = "finish"\n')
    await host.wait(MINUTE)
    await host.ticker.start()
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
    while not host.ticker.next_times:
        await asyncio.sleep(0.01)
    await host.ticker.stop()

    assert host.ticker.next_times == {"s": NOON + 2 * MINUTE}


async def test_a_definition_of_a_newer_release_is_left_to_others(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.declare(EVERY_MINUTE + '[schedules.new]\nevery = "1h"\n')
    known = await host.schedules.known()
    unreadable = [
        one._replace(definition="{}") if one.name == "new" else one
        for one in [*known, known[0]._replace(owner="other")]
    ]

    schedules, due = active_schedules(unreadable, "owner")

    assert [one.name for one in schedules] == ["s"]
    assert due == {"s": NOON + MINUTE}
    assert "Schedule new is not ticked here" in caplog.text


def test_times_are_told_as_people_write_them() -> None:
    assert in_words({"at": "2026-12-24T17:00:00+00:00"}) == "at 2026-12-24T17:00:00+00:00"
    assert in_words({"cron": "@daily", "timezone": "UTC"}) == "@daily (UTC)"
    assert in_words({"every": 90.0, "phase": 0.0}) == "every 1m30s"
