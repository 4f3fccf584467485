"""``docket top``: live on a terminal, once elsewhere."""

from __future__ import annotations

import json

import pytest

from docket import Docket

from .conftest import Shell
from .supervised import on_terminal

pytestmark = pytest.mark.fleet


@pytest.fixture
def busy(shell: Shell) -> Shell:
    """A docket in which work has ended, and work waits."""

    async def add(docket: Docket) -> None:
        await docket.add("greet", key="good")("Jane")
        await docket.add("break_down", key="bad")()

    async def add_more(docket: Docket) -> None:
        for queue in ("default", "q1", "q2", "q3"):
            await docket.add("greet", queue=queue)("Jane")
        await docket.operations.pause_queues("q1", author="ann")
        workers = docket.storage.workers
        now = await workers.register("w1", ["greet"], docket.silence, code="c0de", slots=4)
        # It is not silent before the end of the test.
        await workers.beat("w1", now + 3_600_000)

    shell.visit(add)
    shell.work()
    shell.visit(add_more)
    return shell


def test_without_a_terminal_it_looks_once(busy: Shell) -> None:
    head, ended, _, titles, *lines = busy.prints("top").splitlines()
    (item,) = [json.loads(busy.prints("top", "-o", "json"))["item"]]

    assert head.endswith("  0 scheduled, 0 wait for a limit, 0 parked, 1 dead")
    assert ended.endswith(" minutes: 2 ends, 1 failures")
    assert titles.split() == ["QUEUE", "DUE", "OR", "RUNNING", "OLDEST", "PAUSED"]
    assert lines[1].split() == ["q1", "1", "0s", "yes"] or lines[1].startswith("q1 ")
    assert [one["task"] for one in item["tasks"]] == [
        "break_down",
        "greet",
    ]  # who fails comes first
    assert item["tasks"][0]["failed"] == 1
    assert [one["is_paused"] for one in item["queues"]] == [False, True, False, False]
    assert [(one["name"], one["running"], one["slots"]) for one in item["workers"]] == [
        ("w1", 0, 4)
    ]
    assert lines[-1].split()[:2] == ["w1", "0/4"]
    assert item["schedules"] == []


def test_on_a_terminal_it_is_drawn_again_until_q_or_ctrl_c(busy: Shell) -> None:
    code, shown = busy.on_terminal("top", typed="q", LINES="20")
    interrupted = on_terminal("top", "--every", "50ms", enough=b"QUEUE", typed=b"x")

    assert code == 0
    assert shown.count("\x1b[2J\x1b[H") >= 1
    assert "and 2 more queues" in shown
    assert "Traceback" not in shown + interrupted
    assert interrupted.count("\x1b[2J\x1b[H") >= 2
