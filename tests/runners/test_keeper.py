"""Nothing of a command is left: real programs, which start others in sessions of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from docket.errors import CommandFailed
from docket.runners import environment, keeper, processes
from docket.runners.command import command_task
from tests.pids import is_alive

FAMILY = """
import os, signal, subprocess, sys, time
from pathlib import Path

PIDS = Path(sys.argv[1])


def born(name):
    # Whole at once, for those who look.
    (PIDS / f".{name}").write_text(str(os.getpid()))
    (PIDS / f".{name}").rename(PIDS / name)


def stay():
    while True:
        time.sleep(60)


if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        born("apart")
        stay()
    born("daemon's parent")
    os._exit(0)
if os.fork() == 0:
    born("child")
    stay()
born("command")
if "stays" in sys.argv:
    stay()
for name in ("apart", "child"):
    while not (PIDS / name).exists():
        time.sleep(0.01)
print("done")
"""
"""A command with a child, and with a grandchild in a session of its own that ignores SIGTERM."""

NAMES = ("apart", "child", "command")


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper runs with what the test suite brings along."""
    monkeypatch.setattr(processes, "ISOLATED", ())
    monkeypatch.setattr(environment, "ALWAYS", (*environment.ALWAYS, "COVERAGE*"))
    monkeypatch.setattr(processes, "GRACE", 0.3)


@pytest.fixture
def family(tmp_path: Path) -> list[str]:
    program = tmp_path / "family.py"
    program.write_text(FAMILY)
    return [sys.executable, str(program), str(tmp_path)]


async def until_born(directory: Path) -> list[int]:
    while not all((directory / name).exists() for name in NAMES):
        await asyncio.sleep(0.01)
    return [int((directory / name).read_text()) for name in NAMES]


def left(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]


async def until_gone(pids: Sequence[int], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while left(pids):
        assert time.monotonic() < deadline, f"{left(pids)} live on"
        await asyncio.sleep(0.01)


async def test_what_a_command_has_started_ends_with_it(
    family: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = await command_task("leave", family)()

    assert result == {"exit_code": 0, "output": "done\n"}
    assert left(await until_born(tmp_path)) == []


async def test_a_cancelled_command_ends_with_sessions_of_its_own(
    family: list[str], tmp_path: Path
) -> None:
    running = asyncio.create_task(command_task("stay", [*family, "stays"])())
    pids = await until_born(tmp_path)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert left(pids) == []


WORKER = """
import asyncio, sys
from docket.runners import environment, processes
from docket.runners.command import command_task
processes.ISOLATED = ()
environment.ALWAYS += ("COVERAGE*",)
asyncio.run(command_task("stay", sys.argv[1:])())
"""


async def test_a_command_ends_at_once_with_a_worker_that_is_killed(
    family: list[str], tmp_path: Path
) -> None:
    words = [sys.executable, "-c", WORKER, *family, "stays"]
    with subprocess.Popen(words, start_new_session=True) as worker:
        pids = await until_born(tmp_path)
        worker.kill()

    await until_gone(pids)


async def test_a_command_whose_keeper_is_killed_dies_and_has_failed(
    family: list[str], tmp_path: Path
) -> None:
    running = asyncio.create_task(command_task("stay", [*family, "stays"])())
    apart, child, command = await until_born(tmp_path)
    keeper_pid = int(Path(f"/proc/{command}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(keeper_pid, signal.SIGKILL)

    await until_gone([command])
    for pid in (apart, child):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(CommandFailed, match="the process that keeps it has ended too early"):
        await running


PATIENT = """
from docket.runners import keeper

# Longer than a busy machine takes for what is behind a command.
keeper.LINGERING = 60.0
keeper.main()
"""


async def test_a_pipe_behind_a_command_may_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = tmp_path / "patient.py"
    patient.write_text(PATIENT)
    monkeypatch.setattr(processes, "KEEPER", str(patient))
    words = ["bash", "-c", "echo first > >(sleep 0.2; cat; echo last)"]

    assert (await command_task("pipe", words)())["output"] == "first\nlast\n"


async def test_a_command_starts_with_the_signals_of_any_other_program() -> None:
    show = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    # Under nohup, a program ignores what it was told to.
    other = subprocess.run(show, capture_output=True, text=True, check=True).stdout

    output = (await command_task("show", show)())["output"]

    assert output == other
    assert int(output.split()[1], 16) == 0


def test_a_keeper_without_a_worker_starts_nothing() -> None:
    words = [sys.executable, keeper.__file__, "1", "1", "echo", "started"]

    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)

    assert (done.stdout, done.stderr) == ("", '{"error": "its worker is dead"}')


STRANGER = """
import os, signal, sys
from docket.runners import keeper

def refuse(pid, number):
    if number:
        raise PermissionError

os.kill = refuse
keeper.LINGERING = keeper.ROUND = 0.0
print(keeper.keep(os.getppid(), 0.0, ["sh", "-c", "sleep 600 >&- 2>&- & echo $!"]))
"""


@pytest.mark.thorough
def test_a_keeper_gives_up_on_processes_of_other_users() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STRANGER], stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )

    pid, word = done.stdout.splitlines()
    os.kill(int(pid), signal.SIGKILL)
    assert word == "{'code': 0}"
