"""``docket workers`` and ``docket queue``."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker
from docket.storage.workers import WorkerInfo
from tests.routing import route

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _beside_a_worker(shell: Shell, *words: str) -> tuple[int, str, str]:
    """What a command prints while somebody works."""

    async def look(docket: Docket) -> tuple[int, str, str]:
        async with Worker(docket, name="jane") as worker:
            working = asyncio.create_task(worker.run_forever())
            await worker.until_started()
            done = await asyncio.to_thread(shell.program, *words)
            working.cancel()
            await working
        return done.returncode, done.stdout, done.stderr

    return shell.visit(look)


def test_workers_ls_takes_docket_and_url_and_lists_who_lives(shell: Shell) -> None:
    code, shown, _ = _beside_a_worker(
        shell, "workers", "ls", "--docket", shell.name, "--url", shell.url
    )

    header, line = shown.splitlines()
    assert code == 0
    assert header.split() == ["NAME", "LAST", "SEEN", "CODE", "TASKS"]
    assert line.startswith("jane  ")
    assert line.endswith("break_down, climb, fail, greet, hold, report, sleep, trace")


def test_workers_ls_as_json(shell: Shell) -> None:
    _, shown, _ = _beside_a_worker(shell, "workers", "ls", "-o", "json")

    listed = json.loads(shown)

    (worker,) = listed["items"]
    assert (listed["version"], listed["kind"]) == (1, "workers")
    assert sorted(worker) == ["code", "is_behind", "last_seen", "name", "slots", "started", "tasks"]
    assert worker["slots"] == 10
    assert (worker["code"], worker["is_behind"]) != ("", True)


def test_workers_that_run_older_code_are_pointed_at(shell: Shell) -> None:
    async def look(docket: Docket) -> list[WorkerInfo]:
        workers, silence = docket.storage.workers, timedelta(minutes=1)

        async def announce(name: str, task: str, minutes: int, code: str) -> None:
            age = timedelta(minutes=minutes)
            await workers.register(name, [task], silence, age=age, code=code)

        await announce("old", "greet", 9, "111111111111")
        await announce("new", "greet", 1, "222222222222")
        await announce("other", "climb", 5, "333333333333")
        await announce("silent", "greet", 0, "")
        await announce("damaged", "greet", 0, "444444444444")
        async with docket.redis() as client:
            redis: Any = client
            await redis.hset(docket.key("worker-code"), "damaged", "nonsense")
        return await workers.living(silence)

    found = {one.name: one for one in shell.visit(look)}
    assert [name for name, one in found.items() if one.is_behind(found.values())] == ["old"]
    assert (found["damaged"].started, found["damaged"].code) == (None, "")
    started = found["old"].started
    assert started is not None
    assert timedelta(minutes=8) < found["old"].last_seen - started < timedelta(minutes=10)
    shown = shell.type("workers", "ls", "-o", "wide")
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("old ")]
    assert line.split()[-4:] == ["greet", "9m", "ago", "111111111111"]
    assert " older " in line
    assert shown.stderr == "1 of 5 workers run older code than the newest: `docket restart`\n"


def test_workers_for_task_takes_a_task_docket_and_url(shell: Shell) -> None:
    place = ("--docket", shell.name, "--url", shell.url)
    _, knowing, _ = _beside_a_worker(shell, "workers", "for-task", "greet", *place)
    code, unknown, said = _beside_a_worker(shell, "workers", "for-task", "gret", *place)

    assert knowing.splitlines()[1].startswith("jane")
    assert (code, unknown) == (0, "")
    assert said == "no worker knows gret; did you mean greet?\nno workers\n"


def test_queues_are_listed_with_what_is_due_in_each(shell: Shell) -> None:
    async def lead_elsewhere(docket: Docket) -> None:
        await route(docket.storage, {"sleep": "slow"})

    shell.visit(lead_elsewhere)
    shell.prints("tasks", "trace")
    shell.prints("tasks", "sleep")
    shell.prints("tasks", "sleep", "--delay", "1h")

    done = shell.type("queue", "ls")

    assert done.stdout.splitlines() == [
        "NAME     DUE OR RUNNING  PAUSED  UNTIL",
        "default  1",
        "slow     1",
    ]
    assert done.stderr == "1 more wait for their time, or for a slot of a limit\n"
