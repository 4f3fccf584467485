"""Commands as tasks: real programs, real process groups."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from docket.errors import CommandFailed
from docket.runners import environment, processes
from docket.runners.command import OUTPUT, command_task
from docket.runners.processes import GroupedProcess, KeptProcess
from tests.pids import is_alive

PYTHON = sys.executable


@pytest.fixture(autouse=True, params=["kept", "grouped"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How commands are started: as on Linux, and as elsewhere."""
    # With what the test suite brings along, so that the keeper is measured as well.
    monkeypatch.setattr(processes, "ISOLATED", ())
    monkeypatch.setattr(environment, "ALWAYS", (*environment.ALWAYS, "COVERAGE*"))
    monkeypatch.setattr(processes, "KIND", KINDS[request.param])
    return request.param


KINDS = {"kept": KeptProcess, "grouped": GroupedProcess}


async def test_arguments_are_filled_in_and_stay_one_word() -> None:
    show = command_task(
        "show", [PYTHON, "-c", "import sys; print(sys.argv[1:])", "{path}", "--n={n}"]
    )

    result = await show(path="a b; rm -rf $HOME", n=3)

    assert result == {"exit_code": 0, "output": "['a b; rm -rf $HOME', '--n=3']\n"}


@pytest.mark.parametrize("arguments", [{}, {"path": "x", "more": 1}])
async def test_arguments_that_do_not_fit_the_command_are_refused(
    arguments: dict[str, object],
) -> None:
    with pytest.raises(TypeError):
        await command_task("show", ["echo", "{path}"])(**arguments)


async def test_what_a_command_prints_goes_to_the_log_of_the_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "docket.task.talk")
    talk = command_task(
        "talk", [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr)"]
    )

    await talk()

    lines = [record.message for record in caplog.records if record.name == "docket.task.talk"]
    assert sorted(lines) == ["err", "out"]


async def test_an_exit_code_other_than_zero_is_a_failure_that_shows_the_last_line() -> None:
    fail = command_task("fail", [PYTHON, "-c", "print('first'); print('no space left'); exit(3)"])

    with pytest.raises(CommandFailed, match=r"exited with 3: no space left") as caught:
        await fail()

    assert (caught.value.exit_code, caught.value.output) == (3, "first\nno space left\n")


async def test_a_command_that_a_signal_has_ended_says_which() -> None:
    kill = command_task("kill", [PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"])

    with pytest.raises(CommandFailed, match=r"was ended by SIGKILL$"):
        await kill()


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"found 'no-such-program'"):
        await command_task("none", ["no-such-program"])()


async def test_a_program_that_can_not_be_started_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o700)

    with pytest.raises(CommandFailed, match=r"cannot be run"):
        await command_task("broken", [str(broken)])()


async def test_only_the_end_of_a_long_output_is_kept() -> None:
    lines = OUTPUT // 10 * 2
    count = command_task(
        "count", [PYTHON, "-c", f"for n in range({lines}): print(f'{{{{n:09}}}}')"]
    )

    result = await count()

    assert len(result["output"]) <= OUTPUT
    assert result["output"].endswith(f"{lines - 1:09}\n")


async def test_a_line_without_end_is_read_in_pieces() -> None:
    shout = command_task("shout", [PYTHON, "-c", "print('x' * 200_000, end='')"])

    result = await shout()

    assert result["output"] == "x" * OUTPUT


async def test_a_cancelled_command_ends_with_its_whole_group(tmp_path: Path) -> None:
    script = (
        (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
            "print('up', flush=True)\n"
            "time.sleep(60)\n"
        )
        .replace("{", "{{")
        .replace("}", "}}")
    )
    running = asyncio.create_task(command_task("wait", [PYTHON, "-c", script])())
    child = await _pid_in(tmp_path / "pid")

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await _until_gone(child)


async def test_a_command_that_ignores_the_polite_signal_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.1)
    script = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    running = asyncio.create_task(command_task("stay", [PYTHON, "-c", script])())
    process = await _pid_in(tmp_path / "pid")

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await _until_gone(process)


async def test_what_a_command_has_left_behind_is_killed_though_it_ignores_the_polite_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.1)
    child = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    running = asyncio.create_task(command_task("leave", [PYTHON, "-c", script])())
    process = await _pid_in(tmp_path / "pid")

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await _until_gone(process)


async def _pid_in(file: Path) -> int:
    while not (file.exists() and file.read_text()):
        await asyncio.sleep(0.01)
    return int(file.read_text())


async def _until_gone(pid: int) -> None:
    while is_alive(pid):
        await asyncio.sleep(0.01)
