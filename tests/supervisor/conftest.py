"""A supervisor as people run it: a process of its own, a file that is edited, a log that is read."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docket.connection.embedded import EmbeddedServer
from tests.supervisor.inside import Home, Log
from tests.supervisor.processes.pooled import buried, desired, pools, url

__all__ = ["buried", "desired", "pools", "url"]

TASKS = """
import asyncio, os, time
from pathlib import Path

LEDGER = Path(__file__).parent / "ledger"


def write(word, number):
    with LEDGER.open("a") as ledger:
        ledger.write(f"{word} {number} {os.getpid()}\\n")


async def note(number, customer=None):
    write("note", number)


async def hold(number, seconds=60):
    write("begin", number)
    await asyncio.sleep(seconds)
    write("end", number)


def die(number):
    write("die", number)
    os.kill(os.getpid(), 9)


def block(number):
    write("block", number)


def block_long(number):
    write("begin", number)
    time.sleep(60)


async def block_loop(number):
    write("begin", number)
    time.sleep(60)
"""

CONFIGURATION = """
name = "supervised"

[supervisor]
listen = "127.0.0.1:0"
shutdown_timeout = "5s"

[supervisor.reload]
settle = "100ms"
min_interval = "200ms"

[tasks.note]
function = "work:note"

[tasks.hold]
function = "work:hold"

[tasks.die]
function = "work:die"

[tasks.block_loop]
function = "work:block_loop"

[workers.default]
processes = 1
concurrency = 5
drain = "2s"
"""


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


class Supervised:
    """A directory with a configuration and tasks, and the supervisor that runs them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "docket.toml"
        self.file.write_text(CONFIGURATION)
        (directory / "work.py").write_text(TASKS)
        self._log = directory / "log"
        self._log.touch()
        self._read = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The embedded server beside the file."""
        return f"embedded://{self.directory / '.docket'}"

    def start(self, **environment: str) -> None:
        """Start it and wait until it is up."""
        self.launch(**environment)
        self.until_logged("Docket supervised is up", 60)

    def launch(self, **environment: str) -> None:
        """Start it without waiting."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "docket.cli.commands.supervisor"],
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "DOCKET_CONFIG": str(self.file),
                    "DOCKET_LOGGING_FORMAT": "plain",
                    **environment,
                },
            )

    def edit(self, *changes: tuple[str, str]) -> None:
        """Change the file, all at once."""
        text = self.file.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self._save(text)

    def append(self, text: str) -> None:
        """Add to the end of the file."""
        self._save(self.file.read_text() + text)

    def _save(self, text: str) -> None:
        """Replace the file: it is never seen half written, however slow we are."""
        fresh = self.file.with_name("docket.toml.new")
        fresh.write_text(text)
        fresh.replace(self.file)

    @property
    def log(self) -> str:
        """All that was logged."""
        return self._log.read_text()

    def until_logged(self, words: str, seconds: float = 60) -> None:
        """Wait for words in the log, after those that were waited for before."""
        found = -1

        def is_there() -> bool:
            nonlocal found
            found = self.log.find(words, self._read)
            return found >= 0

        try:
            until(is_there, f"{words!r} in the log", seconds)
        except AssertionError:
            print(self.log)
            raise
        self._read = found + len(words)

    def ledger(self, word: str) -> list[int]:
        """The numbers that tasks wrote under a word."""
        return [int(number) for what, number, _ in self._entries() if what == word]

    def pids(self, word: str) -> list[int]:
        """The processes that wrote under a word."""
        return [int(pid) for what, _, pid in self._entries() if what == word]

    def workers(self, pool: str = "") -> list[int]:
        """Every worker process, of a pool or of all, that ever said that it works."""
        return [int(pid) for pid in re.findall(rf"{pool}: process (\d+) works", self.log)]

    def page(self, path: str) -> tuple[int, str]:
        """A page of the supervisor."""
        found = re.findall(r"on http://127.0.0.1:(\d+)", self.log)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[-1]}{path}", timeout=60) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Wait until it has exited; gives its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def clean_up(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        EmbeddedServer(self.directory / ".docket").stop()

    def _entries(self) -> list[list[str]]:
        ledger = self.directory / "ledger"
        return [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    supervised = Supervised(tmp_path)
    yield supervised
    supervised.clean_up()


@pytest.fixture
def log() -> Iterator[Log]:
    """What the package logs, wherever the supervisor sends it."""
    log = Log()
    logger, root = logging.getLogger("docket"), logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    logger.addHandler(log)
    yield log
    logger.removeHandler(log)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    # A process that the machine keeps waiting is none that a task blocks.
    monkeypatch.setattr("docket.supervisor.processes.pool.ANSWER_WITHIN", 60)
    home = Home(tmp_path)
    yield home
    home.server.stop()
