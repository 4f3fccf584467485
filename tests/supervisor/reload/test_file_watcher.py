"""However an editor or an orchestrator saves the file, its change is seen once."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import watchfiles

from docket.config.reading.files import Surroundings
from docket.foundation.service import end
from docket.supervisor.reload.file_watcher import (
    Rhythm,
    Watcher,
    fingerprint,
    watched_directories,
)
from tests.descriptors import no_descriptors

LONG = timedelta(hours=1)


class Seen:
    """What the file held whenever a change was reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: list[str | None] = []
        self.times: list[float] = []
        self._more = asyncio.Event()

    def __call__(self) -> None:
        self.contents.append(self.path.read_text() if self.path.exists() else None)
        self.times.append(time.monotonic())
        self._more.set()

    async def until(self, content: str | None) -> None:
        """Wait for this content to be reported."""
        while self.contents[-1:] != [content]:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 60)


@asynccontextmanager
async def watching(
    path: Path, settle: float = 0.05, interval: float = 0.0, poll: timedelta = LONG
) -> AsyncGenerator[Seen, None]:
    """Watch a file; the block begins when the operating system is known to report."""
    rhythm = Rhythm(timedelta(seconds=settle), timedelta(seconds=interval), poll)
    seen = Seen(path)
    watcher = Watcher(path, lambda: rhythm, seen)
    running = await watcher.start()
    probe = path.parent / "probe"
    if poll == LONG:
        # Events begin some time after the start: touch a neighbour until one arrives.
        while not watcher._hints.is_there and not running.done():
            probe.touch()
            await asyncio.sleep(0.01)
    try:
        yield seen
    finally:
        await watcher.stop()
        assert running.cancelled()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    directory = tmp_path / "etc"
    directory.mkdir()
    path = directory / "docket.toml"
    path.write_text("one")
    return path


def save(file: Path, content: str) -> None:
    """Write in place."""
    file.write_text(content)


def move_away(file: Path) -> None:
    """Keep the old file as a backup, as editors do."""
    file.rename(file.with_name(f"{file.name}~"))


async def test_a_write_in_place_is_seen(file: Path) -> None:
    async with watching(file) as seen:
        save(file, "two")
        await seen.until("two")
        save(file, "three")
        await seen.until("three")

    assert seen.contents == ["two", "three"]


async def test_an_atomic_rename_is_seen_every_time(file: Path) -> None:
    async with watching(file) as seen:
        for content in ("two", "three", "four"):
            fresh = file.with_suffix(".new")
            fresh.write_text(content)
            fresh.rename(file)
            await seen.until(content)

    assert seen.contents == ["two", "three", "four"]


async def test_a_rename_away_and_a_new_file_are_one_change(file: Path) -> None:
    async with watching(file, settle=0.2) as seen:
        for content in ("two", "three"):
            move_away(file)
            save(file, content)
            await seen.until(content)

    assert seen.contents == ["two", "three"]


async def test_a_link_that_leads_elsewhere_is_a_change(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    other = tmp_path / "other" / "docket.toml"
    other.parent.mkdir()
    other.write_text("two")

    async with watching(link) as seen:
        new = tmp_path / "new"
        new.symlink_to(other)
        new.rename(link)
        await seen.until("two")
        # The directory that the link leads to now is watched, too; it is told of once that is so.
        await until_seen(seen, other, "three")

    assert seen.contents[0] == "two"


async def until_seen(seen: Seen, path: Path, content: str) -> None:
    """Write until it is noticed: which moment a new directory is watched from is not signalled."""
    deadline = time.monotonic() + 60
    while content not in seen.contents:
        assert time.monotonic() < deadline, "the change was not seen"
        path.with_suffix(".new").write_text(content)
        path.with_suffix(".new").rename(path)
        await asyncio.sleep(0.1)


async def test_a_config_map_is_swapped_by_its_data_link(tmp_path: Path) -> None:
    for version, content in (("..1", "one"), ("..2", "two"), ("..3", "three")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "docket.toml").write_text(content)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "docket.toml").symlink_to("..data/docket.toml")

    async with watching(tmp_path / "docket.toml") as seen:
        for version, content in (("..2", "two"), ("..3", "three")):
            (tmp_path / "..data_tmp").symlink_to(version)
            (tmp_path / "..data_tmp").rename(tmp_path / "..data")
            await seen.until(content)

    assert seen.contents == ["two", "three"]


async def test_a_directory_that_is_deleted_and_made_again_is_watched_again(file: Path) -> None:
    async with watching(file) as seen:
        shutil.rmtree(file.parent)
        await seen.until(None)
        file.parent.mkdir()
        save(file, "two")
        await seen.until("two")
        await until_seen(seen, file, "three")


@pytest.mark.thorough
async def test_sixty_writes_in_two_seconds_make_two_changes_at_most_and_the_last_one_counts(
    file: Path,
) -> None:
    interval = 2
    async with watching(file, settle=0.5, interval=interval) as seen:
        begun = time.monotonic()
        for number in range(60):
            save(file, f"version {number}")
            await asyncio.sleep(2 / 60)
        await seen.until("version 59")

    # Where the machine is slow, those are more seconds than two.
    assert len(seen.contents) <= 1 + (seen.times[-1] - begun) // interval


async def test_changes_that_follow_each_other_are_reported_no_faster_than_the_interval(
    file: Path,
) -> None:
    async with watching(file, settle=0.02, interval=1) as seen:
        save(file, "two")
        await seen.until("two")
        save(file, "three")
        await seen.until("three")

    assert seen.times[1] - seen.times[0] > 0.9
    assert seen.contents == ["two", "three"]


async def test_a_busy_neighbour_does_not_delay_a_change(file: Path) -> None:
    async def chatter() -> None:
        number = 0
        while True:
            (file.parent / "ledger").write_text(str(number))
            number += 1
            await asyncio.sleep(0.005)

    async with watching(file, settle=0.2) as seen:
        noise = asyncio.create_task(chatter())
        save(file, "two")
        await seen.until("two")
        assert not noise.done()
        await end(noise)

    assert seen.contents == ["two"]


async def test_the_same_bytes_are_no_change(file: Path) -> None:
    async with watching(file) as seen:
        for _ in range(3):
            save(file, "one")
            await asyncio.sleep(0.1)
        save(file, "two")
        await seen.until("two")

    assert seen.contents == ["two"]


async def test_what_is_taken_back_before_it_is_reported_is_no_change(file: Path) -> None:
    async with watching(file, settle=0.3) as seen:
        save(file, "two")
        await asyncio.sleep(0.1)
        save(file, "one")
        await asyncio.sleep(0.8)
        save(file, "three")
        await seen.until("three")

    assert seen.contents == ["three"]


async def test_a_file_that_can_not_be_watched_is_read_now_and_then(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles.awatch", full)

    async with watching(file, poll=timedelta(seconds=0.1)) as seen:
        await asyncio.sleep(0.25)
        save(file, "two")
        await seen.until("two")

    assert "it is read now and then" in caplog.text


async def test_a_watch_that_ends_is_begun_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch: Any = watchfiles.awatch  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    begun: list[object] = []

    async def once(*paths: str, **settings: Any) -> AsyncIterator[set[tuple[Any, str]]]:
        begun.append(paths)
        async for changes in watch(*paths, **settings):
            yield changes
            if len(begun) == 1:
                return

    monkeypatch.setattr("watchfiles.awatch", once)

    async with watching(file) as seen:
        save(file, "two")
        await seen.until("two")
        assert len(begun) > 1


async def test_a_file_that_is_included_or_that_begins_to_be_is_seen(tmp_path: Path) -> None:
    file, part = tmp_path / "docket.toml", tmp_path / "parts" / "a.toml"
    file.write_text('include = ["parts/*.toml"]')
    rhythm = Rhythm(timedelta(milliseconds=50), timedelta(), LONG)
    changes: asyncio.Queue[str] = asyncio.Queue()
    overlay = tmp_path / "elsewhere" / "overlay.toml"
    overlay.parent.mkdir()
    watcher = Watcher(
        file, lambda: rhythm, lambda: changes.put_nowait(""), Surroundings(file, [overlay]).beside
    )
    await watcher.start()
    try:
        while not watcher._hints.is_there:
            (tmp_path / "probe").touch()
            await asyncio.sleep(0.01)
        for path, content in (
            (overlay, "name = 'a'"),
            (part, "name = 'b'"),
            (part, "name = 'c'"),
            (file, "no TOML"),
            (part, "name = 'd'"),
        ):
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
            await asyncio.wait_for(changes.get(), 60)
        part.unlink()
        await asyncio.wait_for(changes.get(), 60)
    finally:
        await watcher.stop()


async def test_the_watching_can_be_left_to_the_bytes_and_be_turned_off(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    watch = watchfiles.awatch

    def remembered(*words: Any, **options: Any) -> Any:
        asked.append(words)
        return watch(*words, **options)

    monkeypatch.setattr("watchfiles.awatch", remembered)
    mode: Literal["auto", "poll", "off"] = "auto"
    seen = Seen(file)
    watcher = Watcher(
        file,
        lambda: Rhythm(timedelta(milliseconds=20), timedelta(), timedelta(milliseconds=50), mode),
        seen,
    )
    await watcher.start()
    try:
        save(file, "two")
        await seen.until("two")
        assert asked
        mode = "poll"
        save(file, "three")
        await seen.until("three")
        await asyncio.sleep(1.5)
        count = len(asked)
        save(file, "four")
        await seen.until("four")
        mode = "off"
        save(file, "five")
        await asyncio.sleep(0.5)
        mode = "poll"
        save(file, "six")
        await seen.until("six")
        assert len(asked) == count
    finally:
        await watcher.stop()

    assert seen.contents == ["two", "three", "four", "six"]


def test_a_link_that_leads_to_itself_does_not_hang(tmp_path: Path) -> None:
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)

    assert (str(tmp_path), tmp_path.stat().st_ino) in watched_directories(loop)
    assert fingerprint(loop) == "missing"


def test_the_next_directory_that_exists_is_watched_when_those_of_the_file_do_not(
    tmp_path: Path,
) -> None:
    found = watched_directories(tmp_path / "a" / "b" / "c" / "docket.toml")

    assert found == {(str(tmp_path), tmp_path.stat().st_ino)}


def test_a_file_that_nobody_can_open_now_is_not_taken_for_one_that_is_gone(file: Path) -> None:
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        fingerprint(file)
    assert fingerprint(file) != fingerprint(file.with_name("another"))
