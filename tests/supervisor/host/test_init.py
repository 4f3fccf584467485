"""The first process of a container."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from docket.supervisor.host.init import HANDED_ON, under_init

PROGRAM = """
import contextlib, ctypes, os, signal, subprocess, sys, time
from pathlib import Path
from docket.supervisor.host.init import parent_of

# As process 1 does, it inherits the orphans of its descendants (PR_SET_CHILD_SUBREAPER).
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
init = os.getpid()

def work():
    kind = sys.argv[1]
    if kind == "signals":
        got = []
        for name in sys.argv[2:]:
            signal.signal(getattr(signal, name), lambda number, _: got.append(signal.Signals(number).name))
        print("ready", flush=True)
        while len(got) < len(sys.argv) - 2:
            time.sleep(0.01)
        print(*sorted(got), flush=True)
        return 0
    if kind == "orphans":
        # A child that leaves its own child behind and is gone.
        script = "import os, sys\\nif os.fork() == 0:\\n os.read(0, 1)\\n os._exit(0)\\nprint('left')"
        subprocess.run([sys.executable, "-c", script], stdin=subprocess.PIPE, check=True)
        def zombies():
            found = []
            for file in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):  # it is gone by now
                    state, parent, *_ = file.read_text().rpartition(")")[2].split()
                    found += [file] if (state, parent) == ("Z", str(init)) else []
            return found

        deadline = time.monotonic() + 20
        while zombies() and time.monotonic() < deadline:
            time.sleep(0.02)
        print("zombies", len(zombies()), flush=True)
        return 7
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return int(kind)

sys.exit(parent_of(work))
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return [sys.executable, str(file)]


def run(program: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("code", [0, 3])
def test_it_ends_with_what_its_child_ended_with(program: list[str], code: int) -> None:
    assert run(program, str(code)).returncode == code


def test_a_child_that_is_killed_is_told_as_shells_tell_it(program: list[str]) -> None:
    assert run(program, "dies").returncode == 128 + signal.SIGKILL


def test_orphans_are_buried(program: list[str]) -> None:
    done = run(program, "orphans")

    assert done.stdout.splitlines() == ["left", "zombies 0"]
    assert done.returncode == 7


def test_signals_are_handed_on(program: list[str]) -> None:
    names = [number.name for number in HANDED_ON]
    with subprocess.Popen(
        [*program, "signals", *names], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in HANDED_ON:
            process.send_signal(number)
        assert process.stdout.readline().split() == sorted(names)
    assert process.returncode == 0


def test_elsewhere_than_in_a_container_there_is_nothing_to_bury() -> None:
    assert under_init(lambda: 5) == 5
