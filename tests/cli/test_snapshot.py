"""``docket snapshot``."""

from __future__ import annotations

import asyncio
import json

import pytest

from docket import Docket, Worker
from docket.cli.commands.snapshot import task_stats

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _fill(shell: Shell) -> None:
    async def add(docket: Docket) -> None:
        await docket.add("greet", key="first")("Jane")

    shell.visit(add)
    shell.prints("tasks", "trace", "--delay", "1h")
    shell.prints("tasks", "sleep", "--delay", "1h")
    shell.prints("tasks", "sleep", "--delay", "2h")


def test_snapshot_takes_tasks_stats_docket_and_url(shell: Shell) -> None:
    _fill(shell)

    done = shell.program(
        *("snapshot", "--tasks", "shop:tasks", "--stats", "-o", "wide"),
        *("--docket", shell.name, "--url", shell.url),
        DOCKET_NAME="another",
        DOCKET_URL="memory://",
    )

    assert (done.returncode, done.stderr) == (0, "")
    counts, executions, stats = done.stdout.split("\n\n")
    assert counts.startswith("0 workers, 0/4 running as of ")
    assert counts.endswith((" ago", " now"))
    assert "greet('Jane'){first}" in executions.replace("name=", "")
    title, *lines = stats.splitlines()
    assert title == "Task Count Statistics by Function"
    assert [line.split()[:4] for line in lines] == [
        ["TASK", "TOTAL", "RUNNING", "QUEUED"],
        ["sleep", "2", "0", "2"],
        ["greet", "1", "0", "1"],
        ["trace", "1", "0", "1"],
    ]


def test_snapshot_reads_the_tasks_from_the_environment(shell: Shell) -> None:
    _fill(shell)

    done = shell.program("snapshot", "-o", "wide", DOCKET_TASKS="shop:tasks")

    assert "'Jane'" in done.stdout


def test_snapshot_shows_no_arguments_of_tasks_that_it_does_not_know(shell: Shell) -> None:
    _fill(shell)

    assert "Jane" not in shell.prints("snapshot", "-o", "wide")


def test_snapshot_of_nothing(shell: Shell) -> None:
    shown = shell.prints("snapshot", "--stats")

    assert shown.startswith("0 workers, 0/0 running as of ")
    assert len(shown.splitlines()) == 1


def test_snapshot_shows_workers_and_what_runs(shell: Shell) -> None:
    async def look(docket: Docket) -> str:
        running = asyncio.Event()

        async def linger() -> None:
            running.set()
            await asyncio.Event().wait()

        await docket.add(linger, key="long")()
        async with Worker(docket, name="jane") as worker:
            working = asyncio.create_task(worker.run_forever())
            await running.wait()
            shown = await asyncio.to_thread(shell.prints, "snapshot", "-o", "json")
            await docket.cancel("long")
            working.cancel()
            await working
        return shown

    document = json.loads(shell.visit(look))

    assert (document["version"], document["kind"], document["total_tasks"]) == (1, "snapshot", 1)
    (running,) = document["running"]
    assert {name: running[name] for name in ("key", "task", "state", "worker")} == {
        "key": "long",
        "task": "linger",
        "state": "running",
        "worker": "jane",
    }
    assert document["future"] == []
    assert [worker["name"] for worker in document["workers"]] == ["jane"]
    assert document["stats"] == [
        {
            "task": "linger",
            "total": 1,
            "running": 1,
            "queued": 0,
            "oldest_queued": None,
            "latest_queued": None,
        }
    ]


def test_snapshot_as_one_line(shell: Shell) -> None:
    (line,) = shell.prints("snapshot", "-o", "jsonl").splitlines()

    assert json.loads(line)["kind"] == "snapshot"


def test_stats_tell_the_oldest_and_the_latest_of_each_task(shell: Shell) -> None:
    _fill(shell)

    first, *_ = task_stats(shell.visit(lambda docket: docket.snapshot()))

    assert first["task"] == "sleep"
    assert (first["latest_queued"] - first["oldest_queued"]).total_seconds() >= 3600
