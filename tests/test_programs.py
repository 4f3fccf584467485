"""How programs begin: interrupted early, or without standard streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from docket import programs

SUPERVISOR = [sys.executable, "-c", "from docket.programs import supervisor; supervisor()"]

INTERRUPTED = """
import signal, sys
from docket import programs

def interrupted():
    signal.raise_signal(signal.SIGHUP)
    print("goes on", flush=True)
    signal.raise_signal(signal.SIGINT)

sys.modules["docket.cli.commands.supervisor"] = type(sys)("docket.cli.commands.supervisor")
sys.modules["docket.cli.commands.supervisor"].main = interrupted
programs.supervisor()
"""


def test_a_supervisor_that_is_interrupted_before_it_is_up_says_nothing_and_goes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "goes on\n", "")


CLOSED = """
import os, sys
from docket import programs

for number in (0, 2):
    os.close(number)
sys.stdin = sys.stderr = None
TAKEN
programs.complete_streams()
print("hidden", file=sys.stderr, flush=True)
print(sys.stdin.read() == "", os.get_inheritable(2), [os.readlink(f"/proc/self/fd/{n}") for n in NUMBERS])
"""


@pytest.mark.parametrize(
    ("taken", "numbers"),
    [
        ("", "(0, 2)"),
        # Something else has taken their places already, as sockets do.
        ("a = os.open('/dev/zero', 0), os.open('/dev/zero', 0)", "(0, 2)"),
    ],
)
def test_streams_that_are_missing_are_made_up_for(taken: str, numbers: str) -> None:
    program = CLOSED.replace("TAKEN", taken).replace("NUMBERS", numbers)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "True True ['/dev/null', '/dev/null']\n"
    assert done.stderr == ""


@pytest.mark.thorough
def test_a_program_works_without_a_standard_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m docket worker --until-finished 2>&-'],
        env={**os.environ, "DOCKET_URL": "memory://streams", "DOCKET_NAME": "streams"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0


def test_a_stream_that_is_there_is_left_alone() -> None:
    before = sys.stdin, sys.stdout, sys.stderr

    programs.complete_streams()

    assert before == (sys.stdin, sys.stdout, sys.stderr)
