"""F44: a process cannot be started for a while, whenever one is to be: pools come back by themselves.

The surroundings are really taken away: the interpreter and the directory are renamed, descriptors are used
up, and the interpreter is allowed no memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import venv
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from docket.supervisor.processes import pool as pools_module
from docket.supervisor.processes.pool import Desired, Pool
from docket.supervisor.processes.process import SpawnFailed
from docket.supervisor.processes.recycling import Recycling
from tests.descriptors import no_descriptors
from tests.supervisor.processes.pooled import Pools, buried, desired, pids, pools, until, url

__all__ = ["buried", "desired", "pools", "url"]

pytestmark = pytest.mark.fleet

Fault = Callable[[], AbstractContextManager[object]]


@pytest.fixture(scope="module")
def spare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that may be taken away, with the packages of this one."""
    place = tmp_path_factory.mktemp("spare") / "env"
    venv.create(place, with_pip=False, symlinks=True)
    packages = next(place.glob("lib/python*/site-packages"))
    ours = [path for path in sys.path if path]
    (packages / "ours.pth").write_text("".join(f"{path}\n" for path in ours))
    return place / "bin" / "python"


@contextmanager
def away(path: Path) -> Generator[None]:
    """Have something be elsewhere."""
    elsewhere = path.with_name("away")
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


@contextmanager
def no_memory(python: Path) -> Generator[None]:
    """Have an interpreter get too little memory to begin."""
    real = python.with_name("real")
    python.rename(real)
    python.write_text(f'#!/bin/sh\nulimit -v 16384\nexec {real} "$@"\n')
    python.chmod(0o755)
    try:
        yield
    finally:
        real.rename(python)


@pytest.fixture(params=["interpreter", "directory", "descriptors", "memory"])
def fault(
    request: pytest.FixtureRequest,
    spare_python: Path,
    desired: Desired,
    monkeypatch: pytest.MonkeyPatch,
) -> Fault:
    monkeypatch.setattr(pools_module, "SPAWN_PAUSES", (0.05, 0.2))
    faults: dict[str, Fault] = {
        "interpreter": lambda: away(spare_python.parent),
        "directory": lambda: away(Path(desired.directory)),
        "descriptors": no_descriptors,
        "memory": lambda: no_memory(spare_python),
    }
    if request.param in ("interpreter", "memory"):
        monkeypatch.setattr(sys, "executable", str(spare_python))
    return faults[request.param]


async def test_at_the_start(fault: Fault, pools: Pools, desired: Desired) -> None:
    pool = pools(desired)

    with fault():
        await pool.start(waits=True)
        assert pool.ready == 0
        assert "worker process" in pool.trouble

    await until(lambda: pool.ready == 1)
    assert pool.trouble == ""
    assert pool.crashes == 0


async def test_when_a_process_has_died(
    fault: Fault, pools: Pools, desired: Desired, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools(desired)
    await pool.start()

    with fault():
        os.kill(next(iter(pids(pool))), signal.SIGKILL)
        await until(lambda: pool.trouble != "")
        await asyncio.sleep(1.5)  # so many tries that it would be given up if they counted
        assert not pool.is_degraded
        assert pool.stuck() == ""

    await until(lambda: pool.ready == 1)
    assert pool.crashes == 1
    assert caplog.text.count("it is tried again until it works") == 1


async def test_when_the_pool_rolls(fault: Fault, pools: Pools, desired: Desired) -> None:
    pool = pools(replace(desired, processes=2))
    await pool.start()
    before = pids(pool)

    with fault():
        for change in (pool.stage, pool.roll):
            with pytest.raises(SpawnFailed):
                await change(replace(desired, processes=2, revision=2))
        with pytest.raises(SpawnFailed):
            await pool.reconfigure(replace(desired, processes=3, revision=2))
        assert pids(pool) == before
        assert [process.revision for process in pool.processes] == [1, 1]

    await pool.roll(replace(desired, processes=2, revision=2))
    await until(lambda: not before & pids(pool))
    assert pool.ready == 2


async def test_when_a_process_has_done_enough(fault: Fault, pools: Pools, desired: Desired) -> None:
    pool = pools(desired)
    await pool.start()
    before = pids(pool)

    with fault():
        pool.desired = replace(desired, recycling=Recycling(after=0.5, jitter=0.0))
        await until(lambda: pool.trouble != "")
        assert pids(pool) == before, "it goes on until there is another one"

    await until(lambda: pool.ready == 1 and not before & pids(pool))
    assert pool.exits["recycled"] >= 1


async def test_a_process_starts_where_the_links_lead_to_now(
    pools: Pools, desired: Desired, tmp_path: Path
) -> None:
    """A deploy swaps a link, and removes what it pointed to."""
    current, first, second = (tmp_path / name for name in ("current", "first", "second"))
    for release in (first, second):
        release.mkdir()
        (release / "docket.toml").touch()
        (release / "work.py").write_text((Path(desired.directory) / "work.py").read_text())
    current.symlink_to(first)
    pool: Pool = pools(replace(desired, file=current / "docket.toml"))
    await pool.start()

    current.unlink()
    current.symlink_to(second)
    first.rename(tmp_path / "removed")
    os.kill(next(iter(pids(pool))), signal.SIGKILL)

    await until(lambda: pool.ready == 1 and pool.crashes == 1)
    (process,) = pool.processes
    assert Path(f"/proc/{process.pid}/cwd").readlink() == second
