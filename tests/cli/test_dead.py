"""``docket dead``."""

from __future__ import annotations

import json

import pytest

from docket import Docket

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _break_down(shell: Shell, *keys: str) -> None:
    async def add(docket: Docket) -> None:
        for key in keys:
            await docket.add("break_down", key=key)()

    shell.visit(add)
    shell.work()


def test_dead_letters_are_listed_the_last_one_first(shell: Shell) -> None:
    _break_down(shell, "one")
    _break_down(shell, "two")
    shell.prints("tasks", "trace")
    shell.work()

    done = shell.program("dead", "ls", "-o", "jsonl")

    dead = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [(one["key"], one["task"], one["error"]) for one in dead] == [
        ("two", "break_down", "RuntimeError: the till is empty"),
        ("one", "break_down", "RuntimeError: the till is empty"),
    ]
    assert shell.prints("dead", "ls").splitlines()[0].split() == ["KEY", "TASK", "DIED", "ERROR"]


def test_dead_letters_are_listed_by_task(shell: Shell) -> None:
    _break_down(shell, "one")

    assert "one" in shell.prints("dead", "ls", "--task", "break_down")
    assert shell.type("dead", "ls", "--task", "trace").stderr == "no dead letters\n"


def test_a_dead_letter_is_shown_with_its_traceback(shell: Shell) -> None:
    _break_down(shell, "one")

    shown = shell.prints("dead", "show", "one")
    document = json.loads(shell.prints("dead", "show", "one", "-o", "json"))

    assert "error         RuntimeError: the till is empty\n" in shown
    assert "\n\nTraceback (most recent call last):\n" in shown
    assert "shop.py" in shown
    assert document["kind"] == "dead letter"
    assert document["item"]["traceback"].startswith("Traceback (most recent call last):")


def test_a_dead_letter_without_its_error_is_shown_without_a_traceback(shell: Shell) -> None:
    _break_down(shell, "one")

    async def forget(docket: Docket) -> None:
        async with docket.redis() as client:
            await client.delete(docket.key("results:one"))

    shell.visit(forget)

    assert "Traceback" not in shell.prints("dead", "show", "one")


def test_what_is_not_dead_exits_3(shell: Shell) -> None:
    key = shell.prints("tasks", "trace").split("'")[1]

    nobody, alive = shell.type("dead", "show", "nobody"), shell.type("dead", "show", key)

    assert (nobody.exit_code, alive.exit_code) == (3, 3)
    assert f"expected a dead letter 'nobody' in docket '{shell.name}', found nothing; " in (
        nobody.stderr
    )
    assert "found one that is queued; " in alive.stderr
