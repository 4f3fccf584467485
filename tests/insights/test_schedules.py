"""Every reason for which a schedule has a run or none is reached by the engine, and told."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Final

import pytest

from docket import Docket, Worker
from docket.connection.base import Command, Reply
from docket.errors import Undecodable, UnknownSchedule
from docket.foundation.units import to_milliseconds
from docket.insights import Explanation
from docket.insights.schedule_causes import OUTCOMES, SCHEDULE_TOLD, ScheduleCause
from docket.schedules.log import REASONS
from tests.insights.commands import commands_in, expect_command
from tests.schedules.conftest import MINUTE, NOON, Host

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
HOURLY: Final = '[schedules.s]\ncron = "0 * * * *"\ntimezone = "Europe/Paris"\n'
MINUTELY: Final = '[schedules.s]\nevery = "1m"\n'
Scenario = Callable[[Host], Awaitable[None]]
SCENARIOS: Final[dict[ScheduleCause, Scenario]] = {}
TELLS: Final = {
    ScheduleCause.DUE: "It is due in 1h, at 2026-03-01 13:00:00 UTC (14:00:00 in Europe/Paris).\n  To do: "
    "`docket schedule trigger owner/s` runs it now\n- The supervisor host-a runs what is due.",
    ScheduleCause.SKIPPED_NEXT: "in 1h, at 2026-03-01 13:00:00 UTC (14:00:00 in Europe/Paris), passes",
    ScheduleCause.OVERLAP_SKIPS: "- Its last due time, 2026-03-01 12:02:00 UTC, passed without a run, "
    "because the run before it was not over.\n  To do: `docket schedule backfill owner/s --from "
    "2026-03-01T12:02:00Z --dry-run` shows",
    ScheduleCause.OVERLAP_WAITS: "Its run s@2026-03-01T12:01:00Z is not over, and 2 others wait for it",
    ScheduleCause.COUNTED_FROM_END: "It is due again 1m after its run s@2026-03-01T12:01:00Z has ended.",
    ScheduleCause.LATE: "It was due 2m ago, at 2026-03-01 13:00:00 UTC (14:00:00 in Europe/Paris), and the "
    "supervisor host-a, which leads, has not run it yet.",
    ScheduleCause.NO_SUPERVISOR: "but no supervisor of owner leads that would run it then.",
    ScheduleCause.NO_SUPERVISOR_AND_LATE: "It was due 2m ago, at 2026-03-01 13:00:00 UTC",
    ScheduleCause.PAUSED_BY_FILE: "- Its runs would be parked: the strike t() is active.",
    ScheduleCause.PAUSED_BY_OPERATOR: "It has no runs: ann has paused it at 2026-03-01 12:00:00 UTC, until "
    "2026-03-01 13:00:00 UTC (INC-7).\n  To do: `docket schedule resume owner/s`",
    ScheduleCause.PAUSED_BY_FAILURES: "It has no runs: a row of failures has paused it at ",
    ScheduleCause.STRUCK: "are parked: the strike t() by ann is active.\n  To do: `docket restore t`",
    ScheduleCause.HAD_ALL_RUNS: "it has had all 1 runs that its `limit` allows.",
    ScheduleCause.OVER: "it has no due time after 2026-03-01 12:30:00 UTC.",
    ScheduleCause.REMOVED: "is remembered for another 7d.",
}
"""What is said of them."""


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with Docket(uuid.uuid4().hex, "memory://insights") as docket:
        await docket.storage.clock.stop()
        await docket.storage.clock.move(to_milliseconds(NOON))
        yield Host(docket)


def reaches(cause: ScheduleCause) -> Callable[[Scenario], Scenario]:
    def reached(scenario: Scenario) -> Scenario:
        SCENARIOS[cause] = scenario
        return scenario

    return reached


async def explain(host: Host, name: str = "s") -> Explanation:
    found = await host.docket.insights.explain_schedule(name)
    assert found is not None
    return found


async def lead(host: Host) -> None:
    """Have a supervisor lead, by a lease that outlasts the test."""
    about = {"owner": host.owner}
    await host.docket.storage.configurations.beat(host.owner, "host-a", 600_000, about)


@pytest.mark.parametrize("cause", ScheduleCause)
async def test_a_cause_is_told(cause: ScheduleCause, host: Host) -> None:
    await SCENARIOS[cause](host)

    found = await explain(host)

    assert (found.subject, found.cause) == ("owner/s", cause.value), str(found)
    assert not re.search("[{}]", str(found))
    assert TELLS.get(cause, "") in str(found), str(found)
    for line in commands_in(str(found)):
        expect_command(line)


@reaches(ScheduleCause.DUE)
async def _(host: Host) -> None:
    await lead(host)
    await host.declare(HOURLY)


@reaches(ScheduleCause.SKIPPED_NEXT)
async def _(host: Host) -> None:
    await lead(host)
    await host.declare(HOURLY)
    await host.timetable.skip_next(await host.timetable.find("s"))


@reaches(ScheduleCause.OVERLAP_SKIPS)
async def _(host: Host) -> None:
    await host.declare(MINUTELY)
    await host.wait(MINUTE, 2)
    await lead(host)


@reaches(ScheduleCause.OVERLAP_WAITS)
async def _(host: Host) -> None:
    await host.declare(MINUTELY + 'overlap = "queue_all"\n')
    await host.wait(MINUTE, 3)
    await lead(host)


@reaches(ScheduleCause.COUNTED_FROM_END)
async def _(host: Host) -> None:
    await host.declare(MINUTELY + 'anchor = "finish"\n')
    await host.wait(MINUTE)
    await lead(host)


@reaches(ScheduleCause.LATE)
async def _(host: Host) -> None:
    await host.declare(HOURLY)
    await host.sleep(HOUR + 2 * MINUTE)
    await lead(host)


@reaches(ScheduleCause.NO_SUPERVISOR)
async def _(host: Host) -> None:
    await host.declare(HOURLY)


@reaches(ScheduleCause.NO_SUPERVISOR_AND_LATE)
async def _(host: Host) -> None:
    await host.declare(HOURLY)
    await host.sleep(HOUR + 2 * MINUTE)


@reaches(ScheduleCause.PAUSED_BY_FILE)
async def _(host: Host) -> None:
    await host.declare(HOURLY + "paused = true\n")
    await host.docket.strike("t", action="park")


@reaches(ScheduleCause.PAUSED_BY_OPERATOR)
async def _(host: Host) -> None:
    await host.declare(HOURLY)
    entry = await host.timetable.find("s")
    await host.timetable.pause(entry, by="ann", reason="INC-7", lasting=HOUR)


@reaches(ScheduleCause.PAUSED_BY_FAILURES)
async def _(host: Host) -> None:
    async def t() -> None:
        raise ValueError("no")

    host.docket.register(t)
    await host.declare(MINUTELY + "pause_on_failure = 1\n")
    await host.wait(MINUTE)
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()


@reaches(ScheduleCause.STRUCK)
async def _(host: Host) -> None:
    await lead(host)
    await host.declare(HOURLY)
    await host.docket.strike("t", action="park", author="ann")


@reaches(ScheduleCause.HAD_ALL_RUNS)
async def _(host: Host) -> None:
    await host.declare(MINUTELY + "limit = 1\n")
    await host.wait(MINUTE)


@reaches(ScheduleCause.OVER)
async def _(host: Host) -> None:
    await host.declare("[schedules.s]\nat = 2026-03-01T12:30:00Z\n")
    await host.wait(30 * MINUTE)


@reaches(ScheduleCause.REMOVED)
async def _(host: Host) -> None:
    await lead(host)
    await host.declare(HOURLY)
    await host.declare("")


async def test_one_of_very_many_is_explained_in_one_command(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    await host.declare(HOURLY + "".join(HOURLY.replace(".s]", f".t{n}]") for n in range(200)))
    await explain(host)  # from now on the script is there
    sent: list[int] = []
    connection = host.docket.storage.connection
    send = connection.send

    async def counted(*commands: Command) -> list[Reply]:
        sent.append(len(commands))
        return await send(*commands)

    monkeypatch.setattr(connection, "send", counted)
    await explain(host)

    assert sent == [1]


async def test_of_what_is_not_there_nothing_is_said(host: Host) -> None:
    assert await host.docket.insights.explain_schedule("nobody") is None
    assert await host.docket.insights.explain_schedule("owner/nobody") is None


async def test_a_name_that_several_owners_use_is_asked_for_with_its_owner(host: Host) -> None:
    await host.declare(HOURLY)
    await Host(host.docket, "other").declare(HOURLY)

    with pytest.raises(UnknownSchedule, match="say which, of other/s, owner/s"):
        await explain(host)
    assert (await explain(host, "other/s")).subject == "other/s"


async def test_what_a_pause_or_a_strike_that_is_over_says_counts_no_more(host: Host) -> None:
    await lead(host)
    await host.declare(HOURLY)
    await host.timetable.pause(await host.timetable.find("s"), by="ann", lasting=MINUTE)
    await host.sleep(2 * MINUTE)

    assert (await explain(host)).cause == "due"


@pytest.mark.parametrize("word", OUTCOMES)
async def test_every_outcome_of_a_due_time_is_told(word: str, host: Host) -> None:
    assert OUTCOMES.keys() >= REASONS.keys()
    await host.declare(MINUTELY)
    due = to_milliseconds(NOON)
    async with host.docket.redis() as client:
        key = host.docket.key("outcomes:owner/s")
        await client.lpush(key, f"{due}\n{word} 2\nk\nfailed 1500")

    last, *_ = (await explain(host)).facts

    assert last.says.startswith("Its last due time, 2026-03-01 12:00:00 UTC, ")
    assert last.says.endswith(", which ended as failed after 2s; so did 1 before it.")
    assert "docket task explain k" in last.advice or "docket schedule backfill" in last.advice


async def test_what_is_not_over_yet_is_told_beside_it(host: Host) -> None:
    await host.declare(MINUTELY)
    due = to_milliseconds(NOON)
    async with host.docket.redis() as client:
        await client.lpush(host.docket.key("outcomes:owner/s"), f"{due}\nunheard-of\nk")
        await client.hset(host.docket.key("staging:owner"), "token", "t")

    told = str(await explain(host))

    assert "- Its last due time, 2026-03-01 12:00:00 UTC, became unheard-of.\n- " in told
    assert "- A change of the configuration is still being carried out.\n" in told


async def test_what_nobody_can_read_is_said_or_left_out(host: Host) -> None:
    await host.declare(HOURLY.replace("Paris", "Berlin"))
    keys, pause = host.docket.storage.keys, {"by": "ann", "since": "yesterday"}
    async with host.docket.redis() as client:
        await client.hset(keys.supervisors, "odd", "1\n[]")
        await client.hset(
            keys.supervisors, "dumb", f"{to_milliseconds(NOON)}\n" + '{"owner": "owner"}'
        )
        await client.hset(keys.schedule("owner/s"), "pause", json.dumps(pause))
        assert "ann has paused it at ?." in (await explain(host)).sentence
        assert "- dumb live, and none of them leads." in str(await explain(host))

        await client.hset(keys.schedules, "definition:owner/s", "none of ours")
        with pytest.raises(
            Undecodable, match="expected the definition of the schedule owner/s, found"
        ):
            await explain(host)
        await client.hset(keys.schedule("owner/s"), "runs", "many")
        with pytest.raises(
            Undecodable, match="expected what has happened to the schedule 's', found"
        ):
            await explain(host)


async def test_a_zone_that_is_not_known_here_is_left_out(host: Host) -> None:
    await lead(host)
    await host.declare(HOURLY)
    async with host.docket.redis() as client:
        field = "definition:owner/s"
        told = json.loads(await client.hget(host.docket.storage.keys.schedules, field) or "")
        told["timing"]["timezone"] = "Mars/Olympus"
        await client.hset(host.docket.storage.keys.schedules, field, json.dumps(told))

    assert (await explain(host)).sentence == "It is due in 1h, at 2026-03-01 13:00:00 UTC."


def test_every_cause_has_its_sentence() -> None:
    assert SCHEDULE_TOLD.keys() == SCENARIOS.keys() == set(ScheduleCause)
