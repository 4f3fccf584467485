"""F45: tasks that fork, start processes and threads, get signals, exit, close streams, change directory.

The worker goes on with the same process, each run has its outcome, and nothing that a task has left behind
outlives the worker, or keeps it. Each way once under a supervisor, and once as ``docket worker``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from docket import Docket
from docket.errors import FailedElsewhere
from docket.execution import Execution
from tests.pids import is_alive
from tests.supervisor.conftest import Supervised

from .workers import until

pytestmark = pytest.mark.fault

ODD = """
import logging, multiprocessing, os, signal, subprocess, sys, threading, time
from pathlib import Path

LEFT = Path(__file__).parent / "left"
FORK = multiprocessing.get_context("fork")


def leave(pid):
    with LEFT.open("a") as left:
        left.write(f"{pid}\\n")


def ending(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forks():
    child = os.fork()
    return ending(child) if child else "never told"


async def forks_in_the_loop():
    child = os.fork()
    if child == 0:
        sys.exit(3)
    return ending(child)


def computes_in_a_pool():
    with FORK.Pool(2) as pool:
        return sum(pool.map(abs, [-1, -2, -3]))


def spawns():
    process = multiprocessing.get_context("spawn").Process(target=os.getpid)
    process.start()
    process.join()
    return process.exitcode


def terminates_what_it_started():
    process = subprocess.Popen(["sleep", "600"])
    process.terminate()
    return process.wait()


def terminates_what_it_forked():
    process = FORK.Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    process.join()
    return process.exitcode


def leaves_a_process():
    process = FORK.Process(target=time.sleep, args=(600,))
    process.start()
    leave(process.pid)


def leaves_a_stubborn_process():
    def stay():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        leave(os.getpid())
        time.sleep(600)

    FORK.Process(target=stay).start()


def leaves_a_program():
    leave(subprocess.Popen(["sleep", "600"]).pid)


def leaves_a_thread():
    threading.Thread(target=time.sleep, args=(600,), name="endless").start()


async def leaves_a_thread_of_asyncio():
    import asyncio

    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)


def exits():
    sys.exit("enough")


async def exits_in_the_loop():
    sys.exit(0)


def closes_the_standard_error():
    sys.stderr.close()
    logging.getLogger("docket.odd").error("heard by nobody")


def changes_directory():
    os.chdir("/")


def is_hung_up_on():
    os.kill(os.getpid(), signal.SIGHUP)


def is_told_to_end():
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)


def goes_on():
    return os.getpid()


tasks = [value for value in list(globals().values()) if getattr(value, "__module__", "") == __name__]
"""

BOTH = {
    "forks": 0,
    "forks_in_the_loop": 3,
    "computes_in_a_pool": 6,
    "spawns": 0,
    "terminates_what_it_started": -15,
    "terminates_what_it_forked": -15,
    "leaves_a_process": None,
    "leaves_a_stubborn_process": None,
    "leaves_a_thread": None,
    "leaves_a_thread_of_asyncio": None,
    "exits": FailedElsewhere,
    "exits_in_the_loop": FailedElsewhere,
    "closes_the_standard_error": None,
    "changes_directory": None,
}
"""What becomes of each way."""

SUPERVISED = {**BOTH, "is_hung_up_on": None, "is_told_to_end": None, "leaves_a_program": None}

SECONDS = timedelta(seconds=60)


def stand_in() -> None: ...


async def _try_all(url: str, name: str, ways: Mapping[str, object], directory: Path) -> None:
    """Run each way, and after it something ordinary; all of it in one process."""
    async with Docket(name, url, config=False) as docket:
        docket.register(stand_in, [*ways, "goes_on"])
        pids = {await _result(await docket.add("goes_on")())}
        for way, expected in ways.items():
            execution = await docket.add(way, key=way)()
            assert await _end(execution) == expected, way
            pids.add(await _result(await docket.add("goes_on")()))
        assert len(pids) == 1
    left = sum("_process" in way or "_program" in way for way in ways if way.startswith("leaves"))
    await until(lambda: len(_left_in(directory)) == left, "the start of what is left behind")


async def _end(execution: Execution) -> object:
    try:
        return await _result(execution)
    except FailedElsewhere as error:
        assert "SystemExit" in str(error)
        return FailedElsewhere


async def _result(execution: Execution) -> object:
    return await execution.get_result(timeout=SECONDS)


async def _until_nothing_is_left(directory: Path) -> None:
    await until(lambda: not any(map(is_alive, _left_in(directory))), "the end of what was left")


def _left_in(directory: Path) -> list[int]:
    return [int(pid) for pid in (directory / "left").read_text().split()]


async def test_a_supervised_worker_goes_on_and_leaves_nothing(supervised: Supervised) -> None:
    (supervised.directory / "odd.py").write_text(ODD)
    supervised.append(
        "".join(f'[tasks.{way}]\nfunction = "odd:{way}"\n' for way in (*SUPERVISED, "goes_on"))
    )
    supervised.start()

    await _try_all(supervised.url, "supervised", SUPERVISED, supervised.directory)

    assert len(supervised.workers()) == 1
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    await _until_nothing_is_left(supervised.directory)


async def test_nothing_that_tasks_have_started_is_left_when_the_supervisor_is_killed(
    supervised: Supervised,
) -> None:
    ways = dict.fromkeys(["leaves_a_program", "leaves_a_stubborn_process"])
    (supervised.directory / "odd.py").write_text(ODD)
    supervised.append(
        "".join(f'[tasks.{way}]\nfunction = "odd:{way}"\n' for way in (*ways, "goes_on"))
    )
    supervised.start()
    await _try_all(supervised.url, "supervised", ways, supervised.directory)

    supervised.signal(signal.SIGKILL)
    supervised.wait()

    await _until_nothing_is_left(supervised.directory)


@pytest.fixture
def lone(tmp_path: Path, url: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "odd.py").write_text(ODD)
    words = ["--docket", name, "--url", url, "--tasks", "odd:tasks"]
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "docket", "worker", *words], cwd=tmp_path, stderr=log
        )
    yield worker
    worker.kill()
    worker.wait()
    print((tmp_path / "log").read_text())


async def test_a_lone_worker_goes_on_and_leaves_nothing(
    lone: subprocess.Popen[bytes], url: str, name: str, tmp_path: Path
) -> None:
    await _try_all(url, name, BOTH, tmp_path)

    lone.send_signal(signal.SIGTERM)
    await until(lambda: lone.poll() is not None, "the end of the worker")
    assert lone.returncode == 0
    await _until_nothing_is_left(tmp_path)
