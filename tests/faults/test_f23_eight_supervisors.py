"""F23: eight supervisors on one docket, fifty schedules, and supervisors that are killed at random.

Every due time has exactly one run. Whoever leads is killed again and again, and another one goes on within
the length of its lease and a second. About 25 s.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.supervisor.leadership import LEASE
from tests.promises import promised

from .ledger import Ledger

pytestmark = pytest.mark.fault

HOSTS = 8
SCHEDULES = 50
KILLS = 3
CONFIGURATION = """
name = "{name}"
url = "{url}"

[supervisor]
listen = "127.0.0.1:0"

[tasks.note]
function = "json:dumps"

[workers.elsewhere]
hosts = ["nowhere"]

""" + "".join(
    f'[schedules.s{number}]\ntask = "note"\nargs = [{number}]\nevery = "1s"\n'
    'catchup = "all"\noverlap = "allow"\n'
    for number in range(SCHEDULES)
)


class Host:
    """A supervisor that runs no workers, in a directory of its own."""

    def __init__(self, directory: Path, text: str) -> None:
        directory.mkdir()
        self._file = directory / "docket.toml"
        self._file.write_text(text)
        self._log = (directory / "log").open("ab")
        self.start()

    def start(self) -> None:
        """Start it without waiting."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "docket.cli.commands.supervisor", "--config", str(self._file)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "DOCKET_LOGGING_FORMAT": "plain"},
        )

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait(60)
        self._log.close()


@pytest.fixture
def hosts(tmp_path: Path, url: str, name: str) -> Iterator[list[Host]]:
    text = CONFIGURATION.format(name=name, url=url)
    hosts = [Host(tmp_path / str(number), text) for number in range(HOSTS)]
    yield hosts
    for host in hosts:
        host.close()
    print((tmp_path / "0" / "log").read_text()[-3000:])


async def leader(docket: Docket) -> int:
    """The process of the supervisor that ticks; 0 if nobody does."""
    async with docket.redis() as client:
        told: Any = await client.get(docket.key(f"leader:{docket.name}"))
    return int(told.split(b":")[-2]) if told else 0


async def due_times(docket: Docket) -> dict[str, list[datetime]]:
    """The due times of all runs, by schedule."""
    found: defaultdict[str, list[datetime]] = defaultdict(list)
    async for record in docket.storage.executions.due(["default"]):
        name, _, due = record.key.partition("@")
        found[name].append(datetime.fromisoformat(due.replace("Z", "+00:00")))
    return {name: sorted(moments) for name, moments in found.items()}


@pytest.mark.timeout(240)
async def test_every_due_time_has_one_run_whoever_is_killed(
    docket: Docket, hosts: list[Host], ledger: Ledger
) -> None:
    dice = random.Random(23)
    seen: set[int] = set()
    while len(await due_times(docket)) < SCHEDULES:
        await asyncio.sleep(0.1)
    for _ in range(KILLS):
        first = await leader(docket)
        victim = next((host for host in hosts if host.process.pid == first), dice.choice(hosts))
        seen.add(first)
        victim.kill()
        victim.start()
        while (await leader(docket)) in (0, first):
            await asyncio.sleep(0.05)
        await asyncio.sleep(dice.uniform(0.0, 0.5))

    before = {name: len(due) for name, due in (await due_times(docket)).items()}
    begun = asyncio.get_running_loop().time()
    while any(len(due) <= before[name] for name, due in (await due_times(docket)).items()):
        await asyncio.sleep(0.1)
    assert asyncio.get_running_loop().time() - begun <= promised(LEASE + 2)

    found = await due_times(docket)
    assert len(found) == SCHEDULES
    for name, moments in found.items():
        assert len(set(moments)) == len(moments), name
        steps = {later - earlier for earlier, later in itertools.pairwise(moments)}
        assert steps == {timedelta(seconds=1)}, name
    assert len(seen - {0}) >= 2

    # What is on the stream and what the schedules say, once nobody ticks any more.
    for host in hosts:
        host.kill()
    found = await due_times(docket)
    async with docket.redis() as client:
        assert int(await client.xlen(docket.key("stream"))) == sum(map(len, found.values()))
