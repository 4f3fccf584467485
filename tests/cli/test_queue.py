"""``docket queue``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from docket import Docket
from docket.storage.configurations import RevisionChange, RevisionEntry

from .conftest import Shell

pytestmark = pytest.mark.fleet


def test_queues_are_paused_listed_and_resumed(shell: Shell) -> None:
    paused = shell.prints(
        "queue", "pause", "bulk", "--for", "1h", "--reason", "INC-7", "--author", "ann"
    )
    (bulk,) = [
        item
        for item in map(json.loads, shell.prints("queue", "ls", "-o", "jsonl").splitlines())
        if item["name"] == "bulk"
    ]
    doctor = shell.type("doctor").output
    resumed = shell.prints("queue", "resume", "bulk")
    again = shell.type("queue", "resume", "bulk")

    assert paused == f"Paused bulk of docket {shell.name!r}\n"
    assert (bulk["paused"], bulk["reason"], bulk["due_or_running"]) == ("by ann", "INC-7", 0)
    assert bulk["paused_until"] > bulk["paused_since"]
    assert "paused by hand: bulk" in doctor
    assert resumed == f"Resumed bulk of docket {shell.name!r}\n"
    assert again.exit_code == 4
    assert "nobody has paused bulk" in again.stderr


def test_all_queues_are_paused_and_resumed(shell: Shell) -> None:
    assert (
        shell.prints("queue", "pause", "--all") == f"Paused all queues of docket {shell.name!r}\n"
    )
    shell.prints("queue", "pause", "bulk")

    listed = [json.loads(line) for line in shell.prints("queue", "ls", "-o", "jsonl").splitlines()]
    assert all(item["paused"] for item in listed)
    assert "paused by hand: all, bulk" in shell.type("doctor").output
    shell.prints("queue", "resume", "--all")

    assert "paused by hand: " not in shell.type("doctor").output
    assert shell.type("queue", "resume", "--all").exit_code == 4


def test_a_pause_of_the_file_is_told_apart_and_is_not_taken_back_by_hand(shell: Shell) -> None:
    async def commit(docket: Docket) -> None:
        entry = RevisionEntry("digest", "", None, "here", "applied")
        change = RevisionChange(paused=["bulk"])
        await docket.storage.configurations.commit("shop", 0, entry, 20, change)

    def listed() -> dict[str, Any]:
        lines = shell.prints("queue", "ls", "-o", "jsonl").splitlines()
        (bulk,) = [item for item in map(json.loads, lines) if item["name"] == "bulk"]
        return {name: bulk[name] for name in ("paused", "paused_by_hand", "paused_by_files")}

    shell.visit(commit)
    file = "the file of shop (revision 1)"
    assert listed() == {
        "paused": f"by {file}",
        "paused_by_hand": False,
        "paused_by_files": ["shop"],
    }
    assert "paused by a file: bulk" in shell.prints("doctor")
    refused = shell.type("queue", "resume", "bulk")
    assert refused.exit_code == 4
    advice = "the file of shop pauses bulk: take `paused` out of its table in docket.toml"
    assert advice in refused.stderr

    shell.prints("queue", "pause", "bulk", "--author", "ann", "--for", "1h")
    assert listed() == {
        "paused": f"by ann, and by {file}",
        "paused_by_hand": True,
        "paused_by_files": ["shop"],
    }
    assert "paused by hand: bulk; paused by a file: bulk" in shell.type("doctor").stdout
    resumed = shell.type("queue", "resume", "--all")
    assert (resumed.exit_code, resumed.stdout) == (0, f"Resumed bulk of docket {shell.name!r}\n")
    assert advice in resumed.stderr


@pytest.mark.parametrize("words", [("pause",), ("resume", "bulk", "--all")])
def test_no_queue_and_two_ways_to_name_them_are_refused(
    shell: Shell, words: tuple[str, ...]
) -> None:
    refused = shell.type("queue", *words)

    assert refused.exit_code == 2
    assert "expected names of queues, or --all" in refused.stderr


def test_all_that_waits_in_a_queue_is_cancelled(shell: Shell) -> None:
    for queue in ("bulk", "default"):
        words = ("trace", "hi", "--queue", queue, "--key", queue, "--delay", "1h")
        shell.prints("task", "add", *words, "--tasks", "docket.tasks:standard_tasks")

    would = shell.prints("queue", "purge", "bulk", "--dry-run")
    code, asked = shell.on_terminal("queue", "purge", "bulk", typed="n\n")
    done = shell.prints("queue", "purge", "bulk", "--yes", "--reason", "INC-7")

    assert would == f"Would cancel 1 execution of docket '{shell.name}'\n"
    assert (code, "This would cancel 1 execution" in asked) == (4, True)
    assert done.startswith("Cancelled 1 execution")
    assert shell.prints("task", "ls").splitlines()[1].startswith("default")
