"""The command line, as scripts and containers that were made for pydocket use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from docket import Docket
from tests.fleet.kinds import Fleet

pytestmark = pytest.mark.fleet

PROGRAM = '''
import asyncio, os, signal
from docket import CurrentExecution, Execution

async def work() -> None:
    """Runs until it is told to end."""
    os.kill(os.getpid(), signal.SIGTERM)

async def fail() -> None:
    raise ValueError("no good")

tasks = [work, fail]
'''

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def server(fleet: Fleet) -> str:
    return fleet.url("redis-6.2")


@pytest.fixture
def run(server: str, name: str, tmp_path: Path) -> Run:
    """Runs ``docket`` with these words, in a directory with a module of tasks."""
    (tmp_path / "app.py").write_text(PROGRAM)

    def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "docket", *words],
            cwd=tmp_path,
            env={**os.environ, "DOCKET_URL": server, "DOCKET_NAME": name, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
async def docket(server: str, name: str) -> Docket:
    return Docket(name, server)


async def add(docket: Docket, *tasks: str) -> None:
    """Add calls of tasks that this process does not have."""
    for task in tasks:

        async def stand_in() -> None: ...

        stand_in.__name__ = task
        docket.tasks[task] = stand_in
    async with docket:
        for task in tasks:
            await docket.add(task)()


async def test_a_worker_writes_lines_to_standard_output(
    run: Run, docket: Docket, name: str
) -> None:
    await add(docket, "fail", "work")

    done = run("worker", "--tasks", "app:tasks", "--name", "jane", "--concurrency", "1")

    assert (done.returncode, done.stderr) == (0, "")
    told = [
        re.fullmatch(r"\[\d+-\d+-\d+ \d+:\d+:\d+\] (.*)", line) for line in done.stdout.splitlines()
    ]
    lines = [line[1] for line in told if line is not None]
    assert lines[0] == "INFO - docket.worker - Starting worker 'jane' with the following tasks:"
    assert "INFO - docket.worker - * work()" in lines
    assert "INFO - docket.worker - * trace(message: str, ...)" in lines
    assert "INFO - docket.worker - Received SIGTERM, initiating graceful shutdown..." in lines
    assert any("↪" in line and "work(){" in line for line in lines)


async def test_a_worker_writes_json_with_the_fields_that_log_pipelines_know(
    run: Run, docket: Docket, name: str
) -> None:
    await add(docket, "fail")

    done = run(
        *("worker", "--tasks", "app:tasks", "--until-finished"), DOCKET_LOGGING_FORMAT="json"
    )

    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"asctime", "levelname", "name", "message", "exc_info"} <= messages[0].keys()
    assert messages[0]["levelname"] == "INFO"
    (failed,) = [one for one in messages if one["levelname"] == "ERROR"]
    assert failed["exc_info"].endswith("ValueError: no good")
    assert (failed["docket.name"], failed["docket.task"]) == (name, "fail")
    assert all(one["exc_info"] is None for one in messages if one is not failed)


async def test_variables_that_are_set_to_nothing_set_nothing(run: Run, docket: Docket) -> None:
    await add(docket, "unknown")

    done = run(
        *("worker", "--tasks", "app:tasks", "--until-finished"),
        DOCKET_FALLBACK_TASK="",
        DOCKET_WORKER_DEPENDENCIES="",
    )
    options = run("worker", "--until-finished", "--fallback-task", "", "--dependencies", "")

    assert (done.returncode, options.returncode) == (0, 0)


async def test_what_scripts_read_is_said_in_the_words_of_pydocket(
    run: Run, docket: Docket, name: str
) -> None:
    await add(docket, "fail", "work")

    taken = run("snapshot", "--stats").stdout
    assert re.search(r"(\d+) workers, (\d+)/(\d+) running", taken).groups() == ("0", "0", "2")  # type: ignore[union-attr]
    assert "\nTask Count Statistics by Function\n" in taken
    assert run("clear").stdout == f"Cleared 2 tasks from docket '{name}'\n"
    added = run("tasks", "trace", "hello").stdout
    key = re.fullmatch(rf"Added trace task '(.+)' to the docket '{name}'\n", added)
    assert key is not None
    assert run("worker", "--until-finished").returncode == 0
    assert name in run("watch", key[1]).stdout


@pytest.mark.parametrize("words", [("",), ("", ""), ("*",), ("*", ""), ()])
@pytest.mark.parametrize("command", ["strike", "restore"])
def test_a_strike_of_nothing_is_refused(run: Run, command: str, words: tuple[str, ...]) -> None:
    done = run(command, *words)

    assert done.returncode == 2
    assert "Must provide either a function and/or a parameter" in done.stderr


def test_an_empty_function_is_any_function(run: Run, name: str) -> None:
    assert run("strike", "", "customer", "==", "acme").returncode == 0
    assert "customer" in run("strikes", "ls").stdout
