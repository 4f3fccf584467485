"""``docket ping``."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from docket import Docket, Worker
from docket.cli.commands.ping import _of
from docket.pinging import Pong
from tests.conformance.conftest import working

from .conftest import Shell

pytestmark = pytest.mark.fleet


def test_each_queue_that_is_served_answers_with_how_long_it_took(shell: Shell) -> None:
    async def ping(docket: Docket) -> str:
        worker = Worker(docket, name="w1", queues=["default", "bulk"])
        async with worker, working(worker):
            return await asyncio.to_thread(shell.prints, "ping", "--timeout", "60s", "-o", "json")

    document = json.loads(shell.visit(ping))

    assert (document["version"], document["kind"]) == (1, "pings")
    assert [one["queue"] for one in document["items"]] == ["bulk", "default"]
    for one in document["items"]:
        assert (one["worker"], one["trouble"], one["advice"]) == ("w1", None, None)
        assert 0 <= one["waited"] <= one["took"] < 60


def test_a_ping_that_took_no_time_took_a_number_of_seconds() -> None:
    shown = _of(Pong("default", took=timedelta(), waited=timedelta()))

    assert (shown["took"], shown["waited"]) == (0.0, 0.0)


def test_one_that_nobody_answers_exits_8_says_why_and_leaves_nothing(shell: Shell) -> None:
    done = shell.type("ping", "--timeout", "50ms")

    assert done.exit_code == 8
    assert done.stdout.splitlines()[1].split(maxsplit=1) == [
        "default",
        "No worker lives that could run it.",
    ]
    assert done.stderr.splitlines() == [
        "default: start one: `docket-supervisor`, or `docket worker --tasks MODULE:ATTRIBUTE`",
        "1 of 1 have not completed in time",
    ]
    assert shell.prints("task", "ls", "-o", "jsonl") == ""


def test_a_queue_that_has_work_and_no_worker_is_looked_at_too(shell: Shell) -> None:
    async def ping(docket: Docket) -> str:
        await docket.storage.workers.register("w1", ["sleep"], docket.silence)
        await docket.add("greet", key="k")("Jane")
        done = await asyncio.to_thread(shell.type, "ping", "--timeout", "50ms")
        return done.stdout

    assert "1 other of queue default will be taken before it." in shell.visit(ping)


def test_one_that_a_strike_forbids_says_so(shell: Shell) -> None:
    shell.prints("strike", "sleep")
    dropped = shell.type("ping", "--queue", "default", "--queue", "default")
    shell.prints("restore", "sleep")
    shell.prints("strike", "sleep", "--park")
    parked = shell.type("ping", "--timeout", "50ms")

    assert (dropped.exit_code, parked.exit_code) == (8, 8)
    assert "A strike forbids the task sleep." in dropped.stdout
    assert "default: `docket restore sleep` takes the strike back\n" in dropped.stderr
    assert "1 of 1 have not" in dropped.stderr
    assert "It is parked by the strike sleep()" in parked.stdout


def test_one_that_is_not_accepted_says_why(shell: Shell) -> None:
    async def damage(docket: Docket) -> None:
        async with docket.redis() as client:
            await client.set(docket.key("stream:odd"), "none of ours")

    shell.visit(damage)

    done = shell.type("ping", "--queue", "odd")

    assert done.exit_code == 8
    assert "It was not accepted: " in done.stdout
