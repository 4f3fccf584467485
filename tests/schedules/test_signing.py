"""A schedule is run as its owner has signed it, or not at all."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from docket import Docket
from docket.errors import NotTrusted
from docket.foundation.units import to_milliseconds
from docket.schedules.reconciler import active_schedules
from docket.schedules.timetable import Timetable
from tests.faults.attacker import Attacker

from .conftest import NOON, Host

KEYS = {"2026": b"0123456789abcdef0123456789abcdef"}
EVERY_MINUTE = '[schedules.s]\nevery = "1m"\nargs = ["theirs"]\n'
ID = "owner/s"


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with Docket(
        uuid.uuid4().hex, "memory://timetable", config=False, signing_keys=KEYS
    ) as docket:
        await docket.storage.clock.stop()
        await docket.storage.clock.move(to_milliseconds(NOON))
        host = Host(docket)
        await host.declare(EVERY_MINUTE)
        yield host


async def definition(host: Host) -> tuple[str, str]:
    """The definition of the schedule, and its signature."""
    (known,) = await host.schedules.known()
    return known.definition, known.seal


async def test_a_schedule_that_is_signed_is_run_when_it_is_due_and_by_hand(host: Host) -> None:
    entry = await host.timetable.find("s")

    key = await host.timetable.trigger(entry)
    await host.wait(entry.schedule.period)

    assert key is not None
    assert len(await host.keys()) == 2
    for execution in (await host.docket.snapshot()).future:
        assert execution.args == ("theirs",)


@pytest.mark.parametrize("seal", ["kept", "taken away", "of another schedule"])
async def test_a_definition_that_somebody_has_altered_is_neither_run_nor_ticked(
    host: Host, caplog: pytest.LogCaptureFixture, seal: str
) -> None:
    text, own = await definition(host)
    other = host.docket.serializer.sign(text, ("schedule", "owner", "other"))
    if seal != "of another schedule":
        text = text.replace("theirs", "mine")
    seals = {"kept": own, "taken away": "", "of another schedule": other}
    await Attacker(host.docket).rewrite_schedule(ID, {"definition": text, "seal": seals[seal]})

    with pytest.raises(NotTrusted, match="owner/s as owner has signed it, found one that cannot"):
        await host.timetable.trigger(await host.timetable.find("s"))
    adopted, due = active_schedules(await host.schedules.known(), "owner", host.docket.serializer)

    assert (adopted, due) == ([], {})
    assert "Schedule s is not ticked here" in caplog.text
    assert await host.keys() == []


async def test_a_definition_that_was_altered_is_not_fired_by_who_knows_the_right_one(
    host: Host,
) -> None:
    text, _ = await definition(host)
    await Attacker(host.docket).rewrite_schedule(ID, {"definition": text.replace("theirs", "mine")})

    await host.wait((await host.timetable.find("s")).schedule.period)

    assert await host.keys() == []


async def test_who_has_no_key_runs_nothing_by_hand_where_keys_are_used(host: Host) -> None:
    async with Docket(host.docket.name, "memory://timetable", config=False) as stranger:
        timetable = Timetable(stranger)
        entry = await timetable.find("s")

        with pytest.raises(NotTrusted, match=r"a key that is not known here.*signing_keys"):
            await timetable.trigger(entry)
        with pytest.raises(NotTrusted):
            await timetable.backfill(entry, NOON - 3 * entry.schedule.period, NOON)
    assert await host.keys() == []


async def test_the_signature_goes_with_the_schedule(host: Host) -> None:
    await host.declare("")

    attacker = Attacker(host.docket)
    assert await attacker.send(("HKEYS", attacker.keys.schedules)) == [[]]


async def test_a_schedule_whose_owner_has_keys_no_longer_is_signed_no_longer(host: Host) -> None:
    async with Docket(host.docket.name, "memory://timetable", config=False) as plain:
        await Host(plain).declare(EVERY_MINUTE)

    assert (await definition(host))[1] == ""


@pytest.mark.parametrize("field", ["next", "definition"])
async def test_a_schedule_that_can_not_be_read_takes_no_other_with_it(
    host: Host, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    await host.declare(EVERY_MINUTE + '[schedules.other]\nevery = "1m"\n')
    await Attacker(host.docket).rewrite_schedule(ID, {field: b"\xff\xfe"})

    names = [one.name for one in await host.schedules.known()]

    assert names == ["other"]
    assert "owner/s is left out, what is stored is none" in caplog.text
