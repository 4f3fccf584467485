"""F49: a supervisor is killed while commands run that have children in sessions of their own. About 10 s."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from docket import Docket
from tests.pids import is_alive
from tests.runners.test_keeper import FAMILY, NAMES
from tests.supervisor.conftest import Supervised, until

pytestmark = pytest.mark.fault

LASTS = 5.0
"""Seconds after which nothing is left."""

SLACK = 45.0
"""What a busy machine may add."""


async def stand_in() -> None: ...


async def _run_commands(supervised: Supervised, count: int) -> list[int]:
    """Start commands; returns all their processes, when they run."""
    (supervised.directory / "family.py").write_text(FAMILY)
    for number in range(count):
        (supervised.directory / str(number)).mkdir()
        words = [sys.executable, "family.py", str(number), "stays"]
        supervised.append(f"\n[tasks.command{number}]\ncommand = {words}\n")
    supervised.start()
    async with Docket("supervised", supervised.url, config=False) as docket:
        for number in range(count):
            docket.register(stand_in, [f"command{number}"])
            await docket.add(f"command{number}")()
    files = [supervised.directory / str(number) / name for number in range(count) for name in NAMES]
    until(lambda: all(file.exists() for file in files), "the start of all commands")
    return [int(file.read_text()) for file in files]


def _seconds_until_gone(pids: list[int]) -> float:
    begin = time.monotonic()
    until(lambda: not any(map(is_alive, pids)), "the end of all processes", LASTS + SLACK)
    return time.monotonic() - begin


async def test_nothing_of_commands_is_left_when_their_supervisor_is_killed(
    supervised: Supervised,
) -> None:
    pids = await _run_commands(supervised, 3)

    supervised.signal(signal.SIGKILL)
    supervised.wait()

    print(f"gone after {_seconds_until_gone([*pids, *supervised.workers()]):.1f} s")


async def test_nothing_of_commands_is_left_when_supervisor_and_workers_are_killed(
    supervised: Supervised,
) -> None:
    pids = await _run_commands(supervised, 2)

    supervised.signal(signal.SIGKILL)
    for worker in supervised.workers():
        os.kill(worker, signal.SIGKILL)
    supervised.wait()

    print(f"gone after {_seconds_until_gone(pids):.1f} s")
