"""New code is followed once it has come to rest, and what cannot be run is not tried again and again."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from docket.supervisor.reload import code_watcher as code
from docket.supervisor.reload.code_watcher import CodeWatcher
from docket.supervisor.reload.file_watcher import Rhythm
from docket.supervisor.reload.reloader import ReloadOutcome

from ..inside import until
from .test_code_state import Fleet

RHYTHM = Rhythm(timedelta(milliseconds=20), timedelta(0), timedelta(milliseconds=20), "poll")


class Bench:
    """Code that is watched, and what becomes of each attempt to run it."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(directory)
        self.save("one")
        self.fleet.add("default", 1)
        self.rhythm = RHYTHM
        self.follows, self.is_busy = True, False
        self.outcomes: list[Any] = []
        self.tried: list[str] = []
        self.watcher = CodeWatcher(
            directory / "docket.toml",
            self.fleet.code,
            lambda: self.rhythm,
            lambda: self.follows,
            lambda: self.is_busy,
            self.restart,
        )

    def save(self, text: str) -> None:
        """Write the code, in a second that is over."""
        self.fleet.write("a.py", text)
        past = time.time() - 10
        os.utime(self.fleet.directory / "a.py", (past, past))

    async def restart(self, pools: Collection[str]) -> ReloadOutcome:
        assert list(pools) == ["default"]
        self.tried.append((self.fleet.directory / "a.py").read_text())
        result = self.outcomes.pop(0) if self.outcomes else "restarted"
        if result == "restarted":
            self.fleet.pools["default"].processes.clear()
            self.fleet.add("default", len(self.tried) + 1)
        return ReloadOutcome(result, 1)

    async def looks(self, times: int = 3) -> None:
        """Wait until it has been looked so many times more."""
        looks = self.reads + times
        await until(lambda: self.reads >= looks, "looks")

    reads = 0

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None, None]:
        """Have it watched for the length of a block."""
        read = self.fleet.code.read

        def counted() -> Any:
            self.reads += 1
            return read()

        self.fleet.code.read = counted
        await self.watcher.start()
        try:
            yield
        finally:
            await self.watcher.stop()


async def test_what_cannot_be_run_is_tried_once_and_what_only_failed_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.watched():
        bench.outcomes = ["failed", "rolled_back"]
        bench.save("broken")
        await until(lambda: bench.tried == ["broken"] * 2, "two attempts")
        await bench.looks()
        assert bench.tried == ["broken"] * 2
        bench.save("mended")
        await until(lambda: bench.tried[2:] == ["mended"], "the third")
        # What was tried before is tried again, once it was not there for a while.
        bench.outcomes = ["rolled_back"] * 2
        bench.save("broken")
        await until(lambda: bench.tried[3:] == ["broken"], "the fourth")
        bench.save("mended")
        await until(lambda: not bench.fleet.told[0], "its being taken back")
        bench.save("broken")
        await until(lambda: bench.tried[4:] == ["broken"], "the fifth")


async def test_nothing_is_done_where_it_is_not_followed_or_a_reload_comes_first(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.follows, bench.is_busy = False, True
    async with bench.watched():
        bench.save("two")
        await until(lambda: bench.fleet.told[0], "its being told")
        bench.follows, bench.rhythm = (
            True,
            Rhythm(RHYTHM.settle, watch="off", poll_interval=RHYTHM.settle),
        )
        await bench.looks()
        bench.rhythm = RHYTHM
        await bench.looks()
        assert bench.tried == []
        bench.is_busy = False
        await until(lambda: bench.tried == ["two"], "the restart")


async def test_code_that_is_still_being_written_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    past = time.time() - 10
    monkeypatch.setattr(code, "time", lambda: None)
    monkeypatch.setattr(code, "time", type("Clock", (), {"time": staticmethod(lambda: past)}))
    async with bench.watched():
        # Each look finds another file than the one before.
        for number in range(6):
            bench.save("x" * number)
            await bench.looks(1)
        assert bench.tried == []
        # It rests, but in a second that is not over.
        bench.save("done")
        os.utime(tmp_path / "a.py", (past, past))
        await bench.looks(4)
        assert bench.tried == []
        past += 1
        await until(lambda: bench.tried == ["done"], "the restart")


async def test_the_file_system_gives_the_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    bench.rhythm = Rhythm(RHYTHM.settle, RHYTHM.min_interval, timedelta(minutes=1))
    caplog.set_level(logging.INFO)
    async with bench.watched():
        # Watching begins some time after the start.
        await bench.looks(1)
        bench.save("two")
        await until(lambda: bench.tried == ["two"], "the restart")
    assert "Code has changed: a.py" in caplog.text
    bench.follows = False
    assert bench.watcher._hinted_rhythm().watch == "poll"
    assert bench.rhythm.without_hints().without_hints().watch == "poll"
    await asyncio.sleep(0)
