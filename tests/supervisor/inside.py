"""A supervisor inside the process of the test: its home, its log, and a way to have it up for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from docket.connection.embedded import EmbeddedServer
from docket.supervisor.supervisor import Supervisor

WORK = """
import os, sys

# What only workers do not have, the probe does not miss.
IS_WORKER = "docket.supervisor.processes.child" in sys.modules


async def note(number): ...


if not (IS_WORKER and os.environ.get("ROLE") == "strict"):

    class Harmless(Exception): ...


if not IS_WORKER:

    async def absent(number): ...
"""

TEXT = """
name = "inside"

[supervisor]
listen = "127.0.0.1:0"

[supervisor.reload]
settle = "20ms"
min_interval = "20ms"

[tasks.note]
function = "work:note"

[workers.default]
drain = "1s"
"""

FULL = OSError("the disk is full")

STRICT = '[workers.strict]\nqueues = ["strict"]\nenv = { ROLE = "strict" }\n'


class Log(logging.Handler):
    """All that was logged, and a way to wait for more."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def __contains__(self, words: str) -> bool:
        return any(words in line for line in self._lines)

    def count(self, words: str) -> int:
        """Return how many lines have these words."""
        return sum(words in line for line in self._lines)

    async def until(self, words: str) -> None:
        """Wait for words, and forget what was logged up to them."""
        try:
            await until(lambda: words in self, f"{words!r} in the log")
        except AssertionError:
            print(*self._lines, sep="\n")
            raise
        while words not in self._lines.pop(0):
            pass


async def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        await asyncio.sleep(0.01)


def failing(
    error: Exception, then: Callable[..., Awaitable[Any]] | None = None
) -> Callable[..., Awaitable[Any]]:
    """Something that fails: always, or once, if it is said what it does then."""
    errors = [error]

    async def fail(*args: object) -> object:
        if then is not None and not errors:
            return await then(*args)
        raise error if then is None else errors.pop()

    return fail


class Home:
    """A directory with a configuration, its tasks and its server."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "docket.toml"
        self.server = EmbeddedServer(directory / ".docket")
        self.url = f"embedded://{self.server.directory}"
        (directory / "work.py").write_text(WORK)
        self.text = ""
        self.save(TEXT)

    def save(self, text: str) -> None:
        """Write the file."""
        self.text = text
        self.file.write_text(text)

    def edit(self, old: str, new: str) -> None:
        """Change the file."""
        assert old in self.text
        self.save(self.text.replace(old, new))


@asynccontextmanager
async def up(
    home: Home, environ: Mapping[str, str] | None = None, *, host: str = "here"
) -> AsyncGenerator[Supervisor, None]:
    """A supervisor for the length of a block.

    Arguments:
        home: its directory.
        environ: its environment.
        host: the name of the host on which it believes to be.
    """
    supervisor = Supervisor(home.file, environ or {})
    supervisor._fleet.host = host
    running = asyncio.create_task(supervisor.run())
    await until(lambda: supervisor._status.is_up or running.done(), "the supervisor being up")
    try:
        yield supervisor
    finally:
        supervisor.stop()
        await running
