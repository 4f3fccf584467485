"""What is in force is what somebody with the owner's keys has put there: nothing else is followed."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from docket.assembly import serializer_for
from docket.config.load import Loaded, load
from docket.connection.url import connect
from docket.errors import NotTrusted
from docket.schedules.ticker import Ticker
from docket.storage.configurations import Beat, Revision
from docket.storage.storage import Storage
from docket.supervisor.conditions import Conditions
from docket.supervisor.fleet import Fleet
from docket.supervisor.reload.revisions import Revisions, UnknownRevision
from docket.supervisor.reporting.health import ReloadRecord

TEXT = """
name = "house"
[tasks.job]
function = "os:getcwd"
[schedules.hourly]
task = "job"
every = "1h"
"""
SECRET = "0123456789abcdef0123456789abcdef"
SIGNED = TEXT + f'[security]\nsigning_keys = {{ "2026" = "{SECRET}" }}\n'
ROTATED = TEXT + f'[security]\nsigning_keys = {{ "2027" = "{SECRET[::-1]}" }}\n'


class House:
    """One supervisor's view of a docket."""

    def __init__(self, storage: Storage, file: Path, who: str) -> None:
        self.storage = storage
        self.who = who
        self.loaded: Loaded = load(file)
        self.conditions = Conditions()
        self.ticker = Ticker(
            storage.schedules, serializer_for(self.loaded.configuration, file), "house"
        )
        fleet = Fleet(file, storage, self.ticker, "house", host=who)
        self.reloads = ReloadRecord()
        self.revisions = Revisions(fleet, self.reloads, self.conditions)

    async def beat(self) -> Beat:
        """Hear what Redis says, and go by it."""
        lease = 5_000 if self.revisions.may_lead else 0
        beat = await self.storage.configurations.beat("house", self.who, lease, {})
        await self.revisions.follow(beat, self.loaded)
        return beat

    async def current(self) -> Revision:
        current = await self.storage.configurations.current("house")
        assert current is not None
        return current

    @property
    def drift(self) -> str:
        """Why what is in force is not followed; empty if it is."""
        condition = self.conditions["Drift"]
        return condition.reason if condition.status else ""


class Houses:
    """Makes supervisors of one docket, each with a file of its own."""

    def __init__(self, storage: Storage, directory: Path) -> None:
        self.storage = storage
        self.directory = directory

    def of(self, who: str, text: str) -> House:
        file = self.directory / f"{who}.toml"
        file.write_text(text)
        return House(self.storage, file, who)

    async def write(self, entry: str | bytes, number: int = 2, head: str = "") -> None:
        """Put something in the place of the revision in force, as one can who writes to Redis."""
        head = head or f"{number} 1700000000000"
        told = entry if isinstance(entry, bytes) else entry.encode()
        stamped = head.encode() + b"\n" + told
        key, revisions = (
            self.storage.keys.configuration("house"),
            self.storage.keys.revisions("house"),
        )
        await self.storage.connection.send(
            ("HSET", key, "revision", number, "token", "x", "entry", stamped),
            ("LPUSH", revisions, stamped),
        )


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[Houses]:
    storage = Storage(connect("memory://trust"), uuid.uuid4().hex)
    await storage.open()
    yield Houses(storage, tmp_path)
    await storage.erase()
    await storage.close()


async def started(houses: Houses, who: str, text: str) -> House:
    house = houses.of(who, text)
    await house.revisions.put(house.loaded, "started")
    await house.beat()
    return house


async def test_a_revision_is_signed_and_another_host_with_the_keys_follows_it(
    houses: Houses,
) -> None:
    first = await started(houses, "a", SIGNED)
    second = await started(houses, "b", SIGNED)

    assert (await first.current()).entry.seal.endswith(":2026")
    assert (first.drift, second.drift) == ("", "")
    assert (await first.current()).number == second.reloads.revision == 1
    assert set(second.ticker.next_times) == {"hourly"}


async def test_who_leads_without_the_keys_resigns_and_says_so(
    houses: Houses, caplog: pytest.LogCaptureFixture
) -> None:
    owner = await started(houses, "a", "revision = 2\n" + SIGNED)
    await houses.storage.configurations.resign("house", "a")
    stranger = houses.of("b", "revision = 1\n" + TEXT)
    await stranger.revisions.put(stranger.loaded, "started")

    assert (await stranger.beat()).leads
    assert not stranger.ticker.is_leading
    assert not stranger.revisions.may_lead
    assert stranger.drift == "NotTrusted"
    assert "this supervisor leads no longer" in caplog.text
    beat = await stranger.beat()
    assert (beat.leads, beat.leader) == (False, "")
    assert (await owner.beat()).leads
    assert owner.ticker.is_leading
    assert not (await stranger.beat()).leads


async def test_who_gets_the_keys_may_lead_again(houses: Houses) -> None:
    await started(houses, "a", "revision = 2\n" + SIGNED)
    await houses.storage.configurations.resign("house", "a")
    stranger = await started(houses, "b", "revision = 1\n" + TEXT)
    assert not stranger.revisions.may_lead

    stranger.loaded = load(_written(houses, "b", "revision = 2\n" + SIGNED))
    await stranger.revisions.put(stranger.loaded, "applied")

    assert stranger.revisions.may_lead
    assert (await stranger.beat()).leads


async def test_who_has_a_newer_file_and_other_keys_goes_before_what_is_in_force(
    houses: Houses,
) -> None:
    await started(houses, "a", "revision = 1\n" + SIGNED)
    newer = await started(houses, "b", "revision = 2\n" + ROTATED)

    assert newer.revisions.may_lead
    assert (await newer.current()).entry.seal.endswith(":2027")


async def test_what_is_not_signed_and_equals_the_file_is_put_in_force_again_signed(
    houses: Houses,
) -> None:
    house = await started(houses, "a", SIGNED)
    entry = (await house.current()).entry
    await houses.write(json.dumps(entry._replace(seal="", text="mine")._asdict()))

    await house.beat()

    current = await house.current()
    assert current.number == 3
    assert current.entry.seal
    assert current.entry.text == entry.text
    assert house.drift == ""


async def test_at_its_start_a_supervisor_signs_what_it_finds_unsigned(houses: Houses) -> None:
    house = await started(houses, "a", SIGNED)
    entry = (await house.current()).entry
    await houses.write(json.dumps(entry._replace(seal="")._asdict()))

    again = await started(houses, "b", SIGNED)

    assert (await again.current()).number == 3
    assert (await again.current()).entry.seal


async def test_what_equals_the_file_but_is_signed_with_an_unknown_key_is_left_alone_at_the_start(
    houses: Houses,
) -> None:
    house = await started(houses, "a", SIGNED)
    entry = (await house.current()).entry
    await houses.write(json.dumps(entry._replace(seal="00:2027")._asdict()))

    again = await started(houses, "b", SIGNED)

    assert (await again.current()).number == 2
    assert not again.revisions.may_lead
    assert again.drift == "NotTrusted"


@pytest.mark.parametrize("seal", ["", "of the revision before", "made up"])
async def test_any_other_revision_that_nobody_has_signed_is_neither_followed_nor_rolled_back_to(
    houses: Houses, seal: str, caplog: pytest.LogCaptureFixture
) -> None:
    house = await started(houses, "a", SIGNED)
    entry = (await house.current()).entry
    seals = {"": "", "of the revision before": entry.seal, "made up": "00:2026"}
    await houses.write(json.dumps(entry._replace(digest="mine", seal=seals[seal])._asdict()))

    await house.beat()
    await house.beat()

    assert (await house.current()).number == 2
    assert house.drift == "NotTrusted"
    assert house.reloads.revision == 1
    assert set(house.ticker.next_times) == {"hourly"}
    assert caplog.text.count("revision 2 of a cannot be trusted") == 1
    with pytest.raises(NotTrusted, match="revision 2 cannot be trusted"):
        await house.revisions.revision(2)


async def test_an_old_revision_is_not_put_on_top_but_can_be_rolled_back_to(houses: Houses) -> None:
    house = await started(houses, "a", SIGNED)
    old = (await house.current()).entry
    newer = await started(houses, "b", "revision = 2\n" + SIGNED)
    await houses.write(json.dumps(old._asdict()), number=3)

    await newer.beat()

    assert newer.drift == "NotTrusted"
    assert (await newer.revisions.revision(1)).entry == old


@pytest.mark.parametrize(
    "entry",
    [b"\xff", b"{}", b"[1]", b'{"digest": 1, "text": 2, "declared": 3, "host": 4, "why": 5}'],
)
@pytest.mark.parametrize("head", ["", "x"])
@pytest.mark.parametrize("text", [SIGNED, TEXT], ids=["with keys", "without"])
async def test_what_is_no_revision_at_all_ends_no_supervisor(
    houses: Houses, entry: bytes, text: str, head: str
) -> None:
    house = await started(houses, "a", text)
    await houses.write(entry, head=head)

    await house.beat()
    again = await started(houses, "b", text)

    assert set(house.ticker.next_times) == {"hourly"}
    with pytest.raises(UnknownRevision):
        await again.revisions.revision(17)


def _written(houses: Houses, who: str, text: str) -> Path:
    file = houses.directory / f"{who}.toml"
    file.write_text(text)
    return file
