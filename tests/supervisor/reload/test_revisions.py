"""What is committed is in force, and told as that, even if Redis goes away before all of it has followed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from docket.assembly import serializer_for
from docket.config.load import Loaded, load
from docket.connection.base import Command, Reply
from docket.connection.standalone import Standalone
from docket.connection.url import connect
from docket.errors import ServerUnavailable
from docket.schedules.ticker import Ticker
from docket.storage.configurations import Beat
from docket.storage.storage import Storage
from docket.supervisor.conditions import Conditions
from docket.supervisor.fleet import Fleet
from docket.supervisor.reload.revisions import Revisions
from docket.supervisor.reporting.health import ReloadRecord

TEXT = """
name = "house"
[tasks.slow]
function = "os:getcwd"
queue = "bulk"
args_schema = 2
[workers.bulk]
queues = ["bulk"]
[schedules.hourly]
task = "slow"
every = "1h"
[[strikes]]
task = "slow"
when = { customer = { op = "==", value = "acme" } }
action = "park"
"""


class House:
    """One supervisor's view of a docket.

    Arguments:
        storage: what Redis holds.
        file: the docket.toml.
    """

    def __init__(self, storage: Storage, file: Path) -> None:
        self.storage = storage
        self.loaded: Loaded = load(file)
        self.ticker = Ticker(
            storage.schedules, serializer_for(self.loaded.configuration, file), "house"
        )
        fleet = Fleet(file, storage, self.ticker, "house")
        self.conditions = Conditions()
        self.revisions = Revisions(fleet, ReloadRecord(), self.conditions)

    async def beat(self) -> Beat:
        """Hear what Redis says, and go by it."""
        beat = await self.storage.configurations.beat("house", "me", 5_000, {})
        await self.revisions.follow(beat, self.loaded)
        return beat


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    storage = Storage(connect("memory://in-force"), uuid.uuid4().hex)
    await storage.open()
    yield storage
    await storage.erase()
    await storage.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "docket.toml"
    file.write_text(TEXT)
    return file


async def away(*_: object) -> bool:
    raise ServerUnavailable("nothing answers")


async def test_a_commit_that_redis_leaves_in_the_middle_is_finished_by_the_next_beat(
    storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(storage, file)
    staging = storage.configurations.staging
    follow, calls = staging.follow, list[object]()

    async def away_after_the_commit(owner: str, most: int | None = None) -> bool:
        calls.append(owner)
        return await (follow(owner, most) if len(calls) == 1 else away())

    monkeypatch.setattr(staging, "follow", away_after_the_commit)
    await house.revisions.put(house.loaded, "applied")
    monkeypatch.undo()

    current = await storage.configurations.current("house")
    assert current is not None
    assert current.number == 1
    assert await storage.executions.queues() == ["bulk", "default"]
    assert [*house.ticker.next_times] == ["hourly"]
    assert await storage.schedules.known() == []

    assert (await house.beat()).is_unfinished
    assert [one.name for one in await storage.schedules.known()] == ["hourly"]
    assert [rule.action for rule in (await storage.strikes.read()).rules.values()] == ["park"]
    assert not (await house.beat()).is_unfinished


async def test_a_supervisor_that_takes_the_lead_finishes_what_a_dead_one_has_committed(
    storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, heir = House(storage, file), House(storage, file)
    monkeypatch.setattr(dead.revisions, "_take_effect", away)
    with pytest.raises(ServerUnavailable):
        await dead.revisions.put(dead.loaded, "applied")

    assert (await heir.beat()).is_unfinished

    assert [*heir.ticker.next_times] == ["hourly"]
    assert [one.name for one in await storage.schedules.known()] == ["hourly"]


async def test_what_does_not_follow_between_two_beats_follows_after_the_next(
    storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules = "".join(
        f'[schedules.s{number}]\ntask = "slow"\nevery = "1h"\n' for number in range(600)
    )
    file.write_text(TEXT + schedules)
    house = House(storage, file)
    monkeypatch.setattr(house.revisions, "_take_effect", away)
    monkeypatch.setattr("docket.supervisor.reload.revisions.SLICES", 3)
    with pytest.raises(ServerUnavailable):
        await house.revisions.put(house.loaded, "applied")
    beats = 0
    while (await house.beat()).is_unfinished:
        beats += 1
    assert beats > 2
    assert len(house.ticker.next_times) == 601


async def test_a_revision_that_comes_again_with_its_number_after_the_data_went_back_is_another_one(
    storage: Storage, file: Path
) -> None:
    house = House(storage, file)
    await house.revisions.put(house.loaded, "applied")
    await house.beat()
    await storage.erase()
    file.write_text(TEXT.replace("hourly", "nightly"))
    other = House(storage, file)
    await other.revisions.put(other.loaded, "applied")

    beat = await house.beat()

    assert beat.revision == 1
    assert [*house.ticker.next_times] == ["nightly"]
    assert house.conditions["Drift"].reason == "OtherHost"


async def test_a_configuration_that_redis_has_lost_is_put_in_force_again(
    storage: Storage, file: Path
) -> None:
    house = House(storage, file)
    await house.revisions.put(house.loaded, "applied")
    await house.beat()
    await storage.erase()

    await house.beat()

    current = await storage.configurations.current("house")
    assert current is not None
    assert current.entry.why == "restored"
    assert [one.name for one in await storage.schedules.known()] == ["hourly"]


@pytest.mark.thorough
async def test_a_commit_asks_as_much_of_redis_for_two_thousand_tasks_as_for_one(
    storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = Standalone.send

    async def counted(self: Standalone, *commands: Command) -> list[Reply]:
        sent.append(len(commands))
        return await send(self, *commands)

    monkeypatch.setattr(Standalone, "send", counted)
    costs: list[tuple[int, int]] = []  # round trips, and the commands in them
    tasks = "".join(f'[tasks.t{number}]\nfunction = "os:getcwd"\n' for number in range(2_000))
    for text in (TEXT, TEXT + tasks):
        file.write_text(text)
        await House(storage, file).revisions.put(load(file), "applied")
        sent.clear()
        file.write_text(text.replace("[tasks.slow]", '[tasks.slow]\ntimeout = "5s"'))
        await House(storage, file).revisions.put(load(file), "applied")
        costs.append((len(sent), sum(sent)))

    assert costs == [(9, 10), (9, 10)]
