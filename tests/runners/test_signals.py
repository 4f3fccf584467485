"""What tasks start gets signals of its own, and a fork of a task is no second worker."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, multiprocessing, os, signal, subprocess, sys, time
from docket import Docket, Worker
from docket.runners.signals import disregard, dump_stacks_at

SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


def said(*words):
    print(*words, flush=True)


def started():
    child = subprocess.Popen(SLEEP, stdout=subprocess.PIPE)
    child.stdout.readline()
    child.terminate()
    said("started", child.wait(20))


def forked():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(write, b"x")
                time.sleep(60)
            except KeyboardInterrupt:
                os._exit(3)
        os.read(read, 1)
        os.kill(child, number)
        said("forked", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def pooled():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        said("pooled", pool.apply(os.getpid) != os.getpid())


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


ENDS = {
    "exit": SystemExit(4),
    "none": SystemExit(),
    "word": SystemExit("a word"),
    "error": ValueError("error"),
}


def back_by(end):
    child = os.fork()
    if child == 0:
        if end == "return":
            return
        raise ENDS[end]
    said("back", end, ended(child))


def back():
    # One that is back must not fork again.
    if os.getpid() == HOME:
        for end in ("return", "exit", "none", "word", "error"):
            back_by(end)
            if os.getpid() != HOME:
                return


async def async_back():
    child = os.fork()
    if child == 0:
        raise SystemExit(5)
    said("async back", ended(child))


async def async_return():
    child = os.fork()
    if child == 0:
        return
    said("async return", ended(child))


async def async_wait():
    future = asyncio.get_running_loop().create_future()
    child = os.fork()
    if child == 0:
        await future
    said("async wait", ended(child))


def told():
    os.kill(os.getpid(), signal.SIGHUP)
    said("told")


tasks = [started, forked, pooled, back, async_back, async_return, async_wait, told]
HOME = os.getpid()
URL = "memory://signals"


async def main():
    disregard(signal.SIGHUP)
    dump_stacks_at(signal.SIGUSR2)
    async with Docket("signals", URL, config=False) as docket:
        for task in tasks:
            await docket.add(task)()
        await Worker.run(docket.name, URL, tasks=["__main__:tasks"], until_finished=True, concurrency=1)
    said("over")

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    """All that the program and its tasks have said, and what they complained about."""
    program = tmp_path_factory.mktemp("signals") / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    return done.stdout.splitlines(), done.stderr


@pytest.mark.everywhere
@pytest.mark.thorough
@pytest.mark.parametrize(
    "words",
    [
        "started -15",
        "forked -15",
        "forked 3",
        f"forked -{signal.SIGUSR2.value}",
        "pooled True",
        "told",
        "over",
    ],
)
def test_what_a_task_starts_has_the_default_of_every_signal(
    said: tuple[list[str], str], words: str
) -> None:
    assert said[0].count(words) == 1


@pytest.mark.parametrize(
    "words",
    [
        "back return 0",
        "back exit 4",
        "back none 0",
        "back word 1",
        "back error 1",
        "async back 5",
        "async return 0",
        "async wait 1",
    ],
)
def test_a_fork_that_comes_back_out_of_its_task_ends_there(
    said: tuple[list[str], str], words: str
) -> None:
    assert said[0].count(words) == 1


def test_a_fork_that_ends_by_an_error_shows_it(said: tuple[list[str], str]) -> None:
    assert "a word" in said[1]
    assert "ValueError: error" in said[1]
    assert "a child that a task has forked cannot await" in said[1]


def test_a_fork_of_any_other_program_keeps_its_signals(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "import docket.runners.signals\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "1\n"
