"""A supervisor says which schedules an operator has paused, or a row of failures has stopped."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker
from docket.errors import ServerUnavailable
from docket.foundation.units import to_milliseconds
from docket.storage.schedules import PausedSchedule
from docket.supervisor.conditions import Conditions
from docket.supervisor.reporting.pauses import SHOWN, Pauses
from tests.schedules.conftest import MINUTE, NOON, Host

from ..inside import until

SCHEDULE = '[schedules.{}]\nevery = "1m"\noverlap = "allow"\n'


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with Docket(uuid.uuid4().hex, "memory://pauses") as docket:
        await docket.storage.clock.stop()
        await docket.storage.clock.move(to_milliseconds(NOON))
        yield Host(docket)


async def pause(host: Host, name: str = "s", **how: Any) -> None:
    await host.timetable.pause(await host.timetable.find(name), by="ann", **how)


async def told(host: Host) -> tuple[bool, str, str]:
    """What is said of the schedules now."""
    conditions = Conditions()
    await Pauses(host.schedules, host.docket.storage.queues, host.owner, conditions).look()
    condition = conditions["Paused"]
    return condition.status, condition.reason, condition.message


async def test_what_an_operator_has_paused_is_told_until_that_is_over(host: Host) -> None:
    await host.declare(SCHEDULE.format("s"))
    assert await told(host) == (False, "", "")

    await pause(host, reason="INC-7", lasting=timedelta(hours=1))
    assert await told(host) == (
        True,
        "Operator",
        "s: paused by ann (INC-7) until 2026-03-01T13:00:00Z; docket schedule resume has one run again",
    )
    await host.sleep(timedelta(hours=1))
    assert await told(host) == (False, "", "")
    async with host.docket.redis() as client:
        assert not await client.exists(host.docket.key("paused"))


async def test_what_a_row_of_failures_has_stopped_is_told_until_it_is_resumed(host: Host) -> None:
    async def t() -> None:
        raise ValueError("no")

    host.docket.register(t)
    await host.declare(SCHEDULE.format("s") + "pause_on_failure = 1\n")
    await host.wait(MINUTE)
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
    said = "s: a run has failed; docket schedule resume has one run again"
    assert await told(host) == (True, "Failures", said)
    await pause(host)
    assert await told(host) == (True, "Failures", said.replace(";", ", paused by ann;"))

    await host.timetable.resume(await host.timetable.find("s"))
    assert await told(host) == (False, "", "")


async def test_many_that_are_paused_are_counted(host: Host) -> None:
    names = [f"s{number}" for number in range(SHOWN + 2)]
    await host.declare("".join(map(SCHEDULE.format, names)))
    for name in names:
        await pause(host, name)
    _, _, message = await told(host)
    assert message.startswith("s0: paused by ann; s1: paused by ann; ")
    assert "; and 2 more; docket schedule resume" in message


async def test_schedules_of_others_and_those_that_are_gone_are_not_told_of(host: Host) -> None:
    await host.declare(SCHEDULE.format("s"))
    await pause(host)
    another = Host(host.docket, "another")
    assert await told(another) == (False, "", "")

    await host.declare("")
    assert await told(host) == (False, "", "")
    await host.declare(SCHEDULE.format("s"))
    assert (await told(host))[0], "what comes back is as it was"


async def test_pauses_are_looked_at_again_and_again_also_after_an_outage(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditions = Conditions()
    queues = host.docket.storage.queues
    pauses = Pauses(host.schedules, queues, host.owner, conditions, every=0.01)
    asked: list[str] = []
    ask = host.schedules.paused

    async def fails_once(owner: str) -> list[PausedSchedule]:
        asked.append(owner)
        if len(asked) == 1:
            raise ServerUnavailable("away")
        return await ask(owner)

    monkeypatch.setattr(host.schedules, "paused", fails_once)
    await host.declare(SCHEDULE.format("s"))
    await pauses.start()
    await pause(host)
    await until(lambda: conditions["Paused"].status, "the pause being noticed")
    assert not pauses.failures
    await pauses.stop()
