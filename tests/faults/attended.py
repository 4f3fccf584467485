"""A supervisor in a soak: its file is edited while it runs, its processes are killed, and so is it."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from pathlib import Path

from tests.supervisor.conftest import Supervised

from .ledger import Ledger
from .supervised import LEDGER
from .workers import ROOT

TEXT = """
name = "{name}"
url = "{url}"

[supervisor]
listen = "127.0.0.1:0"
shutdown_timeout = "10s"

[supervisor.reload]
settle = "50ms"
min_interval = "50ms"

[workers.default]
processes = {processes}
concurrency = {concurrency}
drain = "2s"
env = {{ ROUND = "{edition}" }}

[schedules.often]
task = "work"
every = "500ms"
overlap = "allow"
"""
TASKS = "".join(
    f'\n[tasks.{name}]\nfunction = "tests.faults.supervised:{name}"\n'
    for name in ("work", "block", "narrow", "flaky", "rated")
)


class Attended:
    """One supervisor, and what is done to it.

    Arguments:
        directory: where its file is.
        url, name: the docket.
        ledger: where its tasks write.
        dice: decide what the file says next.
    """

    def __init__(
        self, directory: Path, url: str, name: str, ledger: Ledger, dice: random.Random
    ) -> None:
        directory.mkdir()
        self._told = {"url": url, "name": name}
        self._dice = dice
        self._environment = {LEDGER: str(ledger.path), "PYTHONPATH": str(ROOT)}
        self._editions = itertools.count()
        self._supervised = Supervised(directory)
        self._write()
        self.died: dict[int, float] = {}
        """When its processes were killed, by the monotonic clock."""

    async def start(self) -> None:
        """Start it, and wait until it is up."""
        self._supervised.launch(**self._environment)
        await asyncio.to_thread(self._supervised.until_logged, "is up", 60)

    async def stop(self) -> int:
        """Have it drain and leave; tells the exit code."""
        self._supervised.signal(signal.SIGTERM)
        return await asyncio.to_thread(self._supervised.wait, 60)

    @property
    def log(self) -> str:
        """All that it, and its processes, have logged."""
        return self._supervised.log

    def close(self) -> None:
        """Leave nothing behind."""
        self._supervised.clean_up()

    def _write(self, *, is_broken: bool = False) -> None:
        text = TEXT.format(
            **self._told,
            processes=self._dice.randint(1, 2),
            concurrency=self._dice.randint(2, 6),
            edition=next(self._editions),
        )
        text += TASKS
        beside = self._supervised.file.with_suffix(".new")
        beside.write_text(text[: len(text) // 2] if is_broken else text)
        beside.replace(self._supervised.file)

    # Faults

    async def edit(self, _: int) -> None:
        """Its file says something else, or nothing that makes sense."""
        self._write(is_broken=self._dice.random() < 0.3)

    async def kill_a_process(self, _: int) -> None:
        """One of its processes dies."""
        living = [pid for pid in self._supervised.workers() if _is_alive(pid)]
        if living:
            self._kill(self._dice.choice(living))

    async def kill_the_supervisor(self, _: int) -> None:
        """It dies itself, and is started again; its processes end by themselves."""
        self._supervised.signal(signal.SIGKILL)
        await asyncio.to_thread(self._supervised.wait)
        self._write()
        await self.start()

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.died[pid] = time.monotonic()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
