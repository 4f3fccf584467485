"""Pools of real processes: what they are made of, and how tests wait for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from docket.connection.embedded import EmbeddedServer
from docket.foundation.worker_spec import TaskSpec, WorkerSpec
from docket.supervisor.processes.pool import Brake, Desired, Pool
from docket.supervisor.processes.process import WorkerProcess

WORK = """
import os
from pathlib import Path

HERE = Path(__file__).parent
with (HERE / "colours").open("a") as colours:
    colours.write(os.environ.get("COLOUR", "") + "\\n")


async def fine() -> None: ...
"""

FICKLE = """
import os
from pathlib import Path

HERE = Path(__file__).parent
with (HERE / "imports").open("a") as imports:
    imports.write("x")
if len((HERE / "imports").read_text()) == int((HERE / "fails").read_text()):
    raise ImportError("not this time")


async def fine() -> None: ...
"""

DEADLY = """
import os

os._exit(3)
"""

FORKS = """
import os
import time
from pathlib import Path

if not (left := os.fork()):
    os.setsid()
    time.sleep(60)
    os._exit(0)
(Path(__file__).parent / "left").write_text(str(left))


async def fine() -> None: ...
"""

PATIENT = """
from docket.supervisor.processes import child

# What has nothing to do ends before that, however slowly it is scheduled.
child.ORPHANED = 100.0


async def fine() -> None: ...
"""

MODULES = {"work": WORK, "fickle": FICKLE, "deadly": DEADLY, "forks": FORKS, "patient": PATIENT}

EAGER = Brake(initial=0.01, longest=0.02, jitter=0, max_crashes=3)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all these pools."""
    server = EmbeddedServer(tmp_path_factory.mktemp("pool"))
    server.start()
    yield f"embedded://{server.directory}"
    server.stop()


@pytest.fixture
def desired(url: str, tmp_path: Path) -> Desired:
    """One process that works."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    orders = WorkerSpec(
        pool="default",
        name="pool",
        url=url,
        concurrency=2,
        queues=("default",),
        drain=60.0,
        execution_ttl=600.0,
        lease=30.0,
        codecs=("safe", "pickle"),
        max_payload=1 << 20,
        signing_keys={},
        tasks={"fine": TaskSpec("work:fine")},
        log_level="info",
        log_format="plain",
    )
    return Desired(1, 1, orders, str(tmp_path))


class Buried(list[int]):
    """The processes that are gone."""

    async def __call__(self, process: WorkerProcess) -> None:
        assert process.exit_code is not None
        self.append(process.pid)


@pytest.fixture
def buried() -> Buried:
    return Buried()


@pytest.fixture
async def pools(
    buried: Buried, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[Desired], Pool]]:
    """Makes pools, which are stopped afterwards."""
    made: list[Pool] = []
    # A process that the machine keeps waiting is none that a task blocks.
    monkeypatch.setattr("docket.supervisor.processes.pool.ANSWER_WITHIN", 60)

    def make(desired: Desired) -> Pool:
        made.append(Pool("default", desired, EAGER, buried))
        return made[-1]

    yield make
    for pool in made:
        await pool.stop(0)


Pools = Callable[[Desired], Pool]


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that a process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def pids(pool: Pool) -> set[int]:
    return {process.pid for process in pool.processes}


def running(task: str, more: Desired, processes: int | None = None, revision: int = 2) -> Desired:
    """The same pool with another task."""
    return replace(
        more,
        revision=revision,
        processes=more.processes if processes is None else processes,
        orders=replace(more.orders, tasks={"fine": TaskSpec(task)}),
    )
