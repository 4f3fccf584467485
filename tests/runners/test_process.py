"""Plain functions in processes of their own."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest

from docket import Docket, ExecutionState, Worker
from docket.errors import FailedElsewhere, ProcessDied
from docket.foundation.policy import TaskPolicy
from tests.pids import is_alive


class Sealed(Exception):
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("cannot be pickled")


def compute(number: int) -> tuple[int, int]:
    return os.getpid(), number * 2


def forever(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


def leave_a_thread() -> int:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return os.getpid()


def fail() -> None:
    raise ValueError("no such number")


def fail_sealed() -> None:
    raise Sealed("shut")


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def kill(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def fork_and_kill() -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    if os.fork() == 0:
        # Lives on, and must not keep the line to the worker open.
        signal.alarm(30)
        signal.pause()
    kill(signal.SIGKILL)


TASKS = (compute, forever, leave_a_thread, fail, fail_sealed, crash, leave, kill, fork_and_kill)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"process-{uuid4()}", "memory://process") as docket:
        for task in TASKS:
            docket.register(task)
        yield docket


async def _drain(docket: Docket, concurrency: int = 2, **policies: TaskPolicy) -> None:
    policy = TaskPolicy(in_process=True)
    docket.registry.apply_policies({task.__name__: policy for task in TASKS} | policies)
    async with Worker(docket, concurrency=concurrency) as worker:
        await worker.run_until_finished()


@pytest.mark.everywhere
@pytest.mark.thorough
async def test_a_function_runs_in_another_process(docket: Docket) -> None:
    execution = await docket.add(compute)(21)
    await _drain(docket)

    process, result = await execution.get_result()
    assert (process != os.getpid(), result) == (True, 42)
    await _until_gone(process)


@pytest.mark.everywhere
@pytest.mark.thorough
async def test_a_thread_that_it_leaves_behind_keeps_nobody(docket: Docket) -> None:
    execution = await docket.add(leave_a_thread)()
    await _drain(docket)

    await _until_gone(await execution.get_result())


@pytest.mark.everywhere
@pytest.mark.thorough
async def test_what_it_raises_is_the_failure_of_the_task_and_says_where(docket: Docket) -> None:
    execution = await docket.add(fail)()
    sealed = await docket.add(fail_sealed)()
    await _drain(docket)

    with pytest.raises(ValueError, match="no such number") as failed:
        await execution.get_result()
    assert "in fail\n" in str(failed.value.__cause__)
    with pytest.raises(FailedElsewhere, match=r"tests\.runners\.test_process\.Sealed: shut"):
        await sealed.get_result()


async def test_a_process_that_can_not_be_started_fails_the_task(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    execution = await docket.add(compute)(21)
    await _drain(docket)

    with pytest.raises(FileNotFoundError, match="/no/such/python"):
        await execution.get_result()


@pytest.mark.everywhere
@pytest.mark.thorough
async def test_its_process_is_killed_at_a_timeout(docket: Docket, tmp_path: Path) -> None:
    # For this one an interpreter starts, which then takes the next call as well: that takes no time.
    await docket.add(compute)(1)
    execution = await docket.add(forever)(str(tmp_path / "pid"))
    limited = TaskPolicy(in_process=True, timeout=timedelta(seconds=4))
    await _drain(docket, concurrency=1, forever=limited)
    await execution.sync()

    assert execution.state is ExecutionState.FAILED
    await _until_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.everywhere
@pytest.mark.thorough
async def test_a_process_that_ends_says_by_what_and_the_task_fails(docket: Docket) -> None:
    added = {
        "SIGSEGV: native code has crashed; the standard error": await docket.add(crash)(),
        "exit code 3: something in it has ended it, as os._exit": await docket.add(leave)(),
        "SIGUSR1: something has sent it that signal": await docket.add(kill)(signal.SIGUSR1),
        "SIGKILL: the system does so when memory runs out": await docket.add(fork_and_kill)(),
    }
    # A terminal and a service manager send these to all: the worker decides.
    passed = await docket.add(kill)(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    await _drain(docket)

    for words, execution in added.items():
        with pytest.raises(ProcessDied) as died:
            await execution.get_result()
        assert f"the process of {execution.function_name} was ended by {words}" in str(died.value)
    await passed.sync()
    assert passed.state is ExecutionState.COMPLETED


@pytest.mark.everywhere
@pytest.mark.thorough
async def test_an_idle_process_takes_the_next_call_unless_it_is_dead_or_was_idle_for_long(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = TaskPolicy(in_process=True)
    docket.registry.apply_policies({"compute": policy})
    async with Worker(docket, concurrency=2) as worker:

        async def processes(count: int = 1) -> list[int]:
            added = [await docket.add(compute)(1) for _ in range(count)]
            await worker.run_until_finished()
            return [(await one.get_result())[0] for one in added]

        [first], [second] = await processes(), await processes()
        assert first == second
        os.kill(first, signal.SIGKILL)
        await _until_gone(first)
        two = await processes(2)
        assert first not in two
        monkeypatch.setattr("docket.runners.process.IDLE", -1.0)
        [last] = await processes()
        [old] = {*two} - {last}
        await _until_gone(old)


PROGRAM = """
import asyncio, os, signal, sys
from dataclasses import dataclass

from docket import Docket, Worker
from docket.discovery.beside import look_beside
from docket.foundation.policy import TaskPolicy

look_beside(os.getcwd())
import work


@dataclass
class Point:
    number: int


def moved(point):
    return Point(point.number + 1)


async def main():
    async with Docket("program", "memory://program", config=False) as docket, Worker(docket) as worker:
        for task in (moved, work.where, work.long):
            docket.register(task)
        docket.registry.apply_policies(dict.fromkeys(("moved", "where", "long"), TaskPolicy(in_process=True)))
        if "long" in sys.argv:
            await docket.add(work.long)()
        else:
            point = await docket.add(moved)(Point(1))
            where = await docket.add(work.where)()
        await worker.run_until_finished()
        print(await point.get_result() == Point(2), *await where.get_result())


if __name__ == "__main__":
    asyncio.run(main())
"""

WORK = """
import os, queue, random, select, signal, time
import pytest

def where():
    files = [module.__file__ for module in (queue, random, select, pytest)]
    return [os.path.dirname(file) == os.path.dirname(__file__) for file in files]

def long():
    os.write(1, str(os.getpid()).encode())
    os.kill(os.getppid(), signal.SIGKILL)
    while True:
        time.sleep(0.01)
"""

AS_MODULE = (
    "import sys; sys.path.remove(''); import runpy; "
    "runpy.run_module('package.program', run_name='__main__', alter_sys=True)"
)


def _run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a directory where files lie that have the names of modules."""
    for name in ("queue", "select", "random"):
        (directory / f"{name}.py").write_text("raise SystemExit('taken for another one')\n")
    (directory / "pytest.py").touch()
    (directory / "work.py").write_text(WORK)
    package = directory / "elsewhere" / "package"
    package.mkdir(parents=True)
    (package / "program.py").write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), str(Path.cwd())])},
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.everywhere
@pytest.mark.thorough
@pytest.mark.parametrize("arguments", [["elsewhere/package/program.py"], ["-c", AS_MODULE]])
def test_a_process_finds_what_its_worker_finds_whatever_lies_beside(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = _run(tmp_path, *arguments)

    assert done.stdout == "True False False False True\n"


@pytest.mark.everywhere
@pytest.mark.thorough
async def test_a_process_ends_with_its_worker(tmp_path: Path) -> None:
    done = _run(tmp_path, "elsewhere/package/program.py", "long")

    assert done.returncode == -signal.SIGKILL
    await _until_gone(int(done.stdout))


async def _until_gone(process: int) -> None:
    while is_alive(process):
        await asyncio.sleep(0.01)
