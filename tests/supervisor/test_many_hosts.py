"""Several supervisors on one docket, with files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from docket import Docket
from docket.supervisor import leadership

from .inside import TEXT, Home, Log, until, up

pytestmark = pytest.mark.fleet


@pytest.fixture
def other(home: Home, tmp_path: Path) -> Iterator[Home]:
    """Another directory, whose docket is at the same server."""
    directory = tmp_path / "other"
    directory.mkdir()
    other = Home(directory)
    other.save(f'url = "{home.url}"\n{TEXT}')
    yield other
    other.server.stop()


OWN = 'control = "other.sock"\n\n[logging]\nlevel = "debug"\n\n'


def numbered(text: str, revision: int) -> str:
    return f"revision = {revision}\n{text}"


async def test_the_same_file_is_one_revision_on_all_hosts(
    home: Home, other: Home, log: Log
) -> None:
    url = {"DOCKET_URL": home.url}
    async with up(home, url, host="a") as first:
        home.save(numbered(TEXT, 1))
        await log.until("applied as revision 2")
        other.save(numbered(TEXT, 1))
        async with up(other, url, host="b") as second:
            assert second.reloader.revision == first.reloader.revision == 2
            assert not second.conditions["Drift"].status


async def test_files_that_differ_in_what_is_each_hosts_own_are_one_revision(
    home: Home, other: Home, log: Log
) -> None:
    home.save(numbered(TEXT, 1))
    own = TEXT.replace("127.0.0.1:0", "localhost:0").replace("[supervisor.", OWN + "[supervisor.")
    other.save(numbered(own, 1))
    url = {"DOCKET_URL": home.url}
    async with up(home, url, host="a") as first, up(other, url, host="b") as second:
        assert second.reloader.loaded.meaning == first.reloader.loaded.meaning
        assert second.reloader.revision == first.reloader.revision == 1
        assert not first.conditions["Drift"].status
        assert not second.conditions["Drift"].status
        assert second.reloader.configuration.supervisor.control == "other.sock"
        async with Docket("inside", home.url) as docket:
            (kept,) = await docket.storage.configurations.history("inside")
            assert "127.0.0.1:0" not in kept.entry.text


async def test_a_higher_revision_wins_and_the_older_file_leaves_schedules_alone(
    home: Home, other: Home, log: Log
) -> None:
    schedule = '[schedules.{}]\ntask = "note"\nargs = [1]\nevery = "1h"\n'
    home.save(numbered(TEXT, 1) + schedule.format("old"))
    other.save(numbered(TEXT, 2) + schedule.format("new"))
    async with up(home, host="a") as first:
        async with up(other, {"DOCKET_URL": home.url}, host="b") as second:
            await log.until("a has another configuration; its pools run")
            assert first.conditions["Drift"].status
            assert first._fleet.pools["default"].ready == 1
            # Whoever leads ticks what is in force, whatever its own file says.
            await until(lambda: set(first._fleet.ticker.next_times) == {"new"}, "the new schedule")
            assert not second.conditions["Drift"].status
            home.edit('drain = "1s"', 'drain = "2s"')
            await log.until("b has a newer file; revision 2 stays active")
            async with Docket("inside", home.url) as docket:
                (known,) = await docket.storage.schedules.known()
                assert known.name == "new"
            home.save(numbered(TEXT, 3))
            await log.until("applied as revision 3")
            await until(lambda: second.conditions["Drift"].status, "the drift of the other")


async def test_the_same_number_with_another_content_is_a_conflict_that_names_both(
    home: Home, other: Home, log: Log
) -> None:
    home.save(numbered(TEXT, 5))
    other.save(numbered(TEXT.replace('drain = "1s"', 'drain = "2s"'), 5))
    async with up(home, host="a"), up(other, {"DOCKET_URL": home.url}, host="b") as second:
        await log.until(
            "Drift: a has another file of the same revision 5; revision 1 stays active, b runs"
        )
        assert second.conditions["Drift"].reason == "Conflict"
        await second.reloader.revisions._look_at_the_others(second.reloader.loaded)
        assert second.conditions["Drift"].reason == "Conflict"
        assert second._fleet.pools["default"].desired.orders.drain == 2.0


async def test_another_one_leads_when_the_leader_is_gone(
    home: Home, other: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It resigns: the end of its lease is not waited for.
    monkeypatch.setattr(leadership, "LEASE", 600.0)
    text = TEXT + '[schedules.often]\ntask = "note"\nargs = [1]\nevery = "200ms"\n'
    home.save(text)
    other.save(text)
    async with up(home, host="a") as first:
        await until(lambda: first._fleet.ticker.is_leading, "the first one leading")
        async with up(other, {"DOCKET_URL": home.url}, host="b") as second:
            assert not second._fleet.ticker.is_leading
            first._fleet.ticker.is_leading = False
            first.stop()
            await until(lambda: second._fleet.ticker.is_leading, "the other one leading")


async def test_a_pool_of_other_hosts_comes_when_it_is_meant_for_this_one(
    home: Home, log: Log
) -> None:
    home.save(TEXT + '[workers.batch]\nqueues = ["batch"]\nhosts = ["batch-*"]\n')
    async with up(home, host="web-1") as supervisor:
        assert set(supervisor._fleet.pools) == {"default"}
        home.edit('"batch-*"', '"batch-*", "web-*"')
        await log.until("applied as revision 2")
        assert supervisor._fleet.pools["batch"].ready == 1
        home.edit('"batch-*", "web-*"', '"batch-*"')
        await log.until("applied as revision 3")
        assert set(supervisor._fleet.pools) == {"default"}
