"""What tasks have left running does not keep their worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from docket.worker import leftovers
from tests.pids import is_alive

THREADS = """
import asyncio, atexit, threading, time
from docket.worker import leftovers

leftovers.GRACE = GRACE_
atexit.register(lambda: print("at the end", flush=True))
before = threading.Thread(target=time.sleep, args=(BEFORE,), name="before")
before.start()

async def main():
    loop = asyncio.get_running_loop()
    known = threading.enumerate()
    if EXECUTOR:
        await loop.run_in_executor(None, int)
    threading.Thread(target=time.sleep, args=(ENDLESS,), name="endless").start()
    leftovers.leave_threads(known)
    print("goes on", flush=True)

asyncio.run(main())
"""


def said(program: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout, done.stderr


@pytest.mark.everywhere
@pytest.mark.thorough
def test_a_thread_that_does_not_end_is_not_waited_for() -> None:
    program = THREADS.replace("GRACE_", "0.1").replace("ENDLESS", "600").replace("BEFORE", "0")
    program = program.replace("EXECUTOR", "False")

    out, complaints = said(program)

    assert out == "at the end\n"
    assert complaints == "not waiting for threads that tasks have started: endless\n"


@pytest.mark.everywhere
@pytest.mark.thorough
def test_threads_that_end_are_waited_for_and_those_of_others_are_not_touched() -> None:
    program = THREADS.replace("GRACE_", "60").replace("ENDLESS", "0.01").replace("BEFORE", "0.1")
    program = program.replace("EXECUTOR", "True")

    assert said(program) == ("goes on\nat the end\n", "")


CHILDREN = """
import multiprocessing, os, signal, time
from docket.worker import leftovers

leftovers.GRACE = 0.3
ready = multiprocessing.get_context("fork").Event()

def polite():
    time.sleep(600)

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(600)

children = [multiprocessing.get_context("fork").Process(target=each) for each in (polite, stubborn)]
for child in children:
    child.start()
ready.wait()
leftovers.end_children()
print(*[child.pid for child in children], flush=True)
"""


@pytest.mark.everywhere
@pytest.mark.thorough
def test_children_are_ended_politely_and_then_without_asking() -> None:
    out, complaints = said(CHILDREN)

    pids = out.split()
    assert sorted(line.split()[1] for line in complaints.splitlines()) == sorted(pids)
    assert not any(is_alive(int(pid)) for pid in pids)


@pytest.mark.everywhere
@pytest.mark.thorough
def test_nothing_is_done_where_no_task_has_started_any() -> None:
    program = "from docket.worker.leftovers import end_children; end_children()"

    assert said(program) == ("", "")


DESCENDANTS = """
import os, subprocess, sys, time
from docket.runners import keeper
from docket.worker import leftovers

leftovers.descendants = lambda pid: [*keeper.descendants(pid), gone.pid]
gone = subprocess.Popen([sys.executable, "-c", ""])
gone.wait()
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
leftovers.kill_descendants()
print(child.wait())
"""


@pytest.mark.everywhere
@pytest.mark.thorough
def test_what_was_started_is_killed_whatever_session_it_is_in() -> None:
    assert said(DESCENDANTS) == ("-9\n", "")


def test_a_system_that_does_not_tell_what_was_started_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(root: int) -> list[int]:
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(leftovers, "descendants", nothing)

    leftovers.kill_descendants()
