"""``docket task ls``, ``stats`` and ``get`` of what has ended."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket
from docket.cli.terminal.endings import parse_since, parse_where, told_reach
from docket.cli.terminal.exit_codes import Misused
from docket.storage.configurations import RevisionChange, RevisionEntry
from docket.storage.history import Reach

from .conftest import Shell

pytestmark = pytest.mark.fleet


@pytest.fixture
def ended(shell: Shell) -> Shell:
    """A docket in which two calls have ended."""

    async def add(docket: Docket) -> None:
        await docket.add("greet", key="good", tags=["vip"])("Jane")
        await docket.add("break_down", key="bad")()

    shell.visit(add)
    shell.work()
    return shell


def commit_a_revision(shell: Shell) -> None:
    """Have a supervisor commit a configuration."""

    async def commit(docket: Docket) -> None:
        configurations = docket.storage.configurations
        await configurations.beat("ours", "here:1", 0, {"owner": "ours"})
        entry = RevisionEntry("digest", "text", None, "here", "applied")
        await configurations.commit("ours", 0, entry, 20, RevisionChange())

    shell.visit(commit)


def test_what_has_ended_is_listed_by_what_is_known_of_it(ended: Shell) -> None:
    for words, keys in (
        (("--since", "1h", "--task", "greet"), ["good"]),
        (("--state", "failed"), ["bad"]),
        (("--where", "name==Jane"), ["good"]),
        (("--tag", "vip", "--until", "2999-01-01T00:00Z"), ["good"]),
        (("--error", "RuntimeError"), ["bad"]),
    ):
        lines = ended.prints("task", "ls", *words, "-o", "jsonl").splitlines()
        assert [json.loads(line)["key"] for line in lines] == keys

    done = ended.type("task", "ls", "--since", "yesterday", "--limit", "1")
    assert "KEY" in done.stdout
    assert "the history reaches back to " in done.stderr
    cursor = done.stderr.rpartition("--cursor ")[2].split()[0]
    rest = ended.prints("task", "ls", "--cursor", cursor, "-o", "wide")
    assert {"good", "bad"} & {*done.stdout.split()} != {"good", "bad"} & {*rest.split()}
    document = json.loads(ended.prints("task", "ls", "--since", "1h", "--tag", "vip", "-o", "json"))
    assert document["kind"] == "ended executions"
    assert document["items"][0]["args"] == {"name": "Jane"}


def test_what_waits_has_no_end_to_be_chosen_by(shell: Shell) -> None:
    done = shell.type("task", "ls", "--state", "queued", "--error", "KeyError")

    assert done.exit_code == 2
    assert "found --state queued" in done.stderr


def test_ends_are_counted_by_task(ended: Shell) -> None:
    commit_a_revision(ended)
    done = ended.type("task", "stats", "--since", "2h")

    def told(*words: str) -> list[tuple[str, dict[str, int], str]]:
        lines = ended.prints("task", "stats", *words, "-o", "jsonl").splitlines()
        items: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [(one["task"], one["counts"], one["source"]) for one in items]

    assert done.stdout.splitlines()[0].split()[:3] == ["TASK", "COMPLETED", "FAILED"]
    first, mark = done.stderr.splitlines()
    assert first.startswith("from the series since ")
    assert first.endswith(", in steps of 1m; p50 and p95 are estimates")
    assert mark.startswith("revision 1 of ours is active since ")
    assert told() == [
        ("break_down", {"failed": 1}, "series"),
        ("greet", {"completed": 1}, "series"),
    ]
    assert told("--task", "greet", "--since", "2h") == [("greet", {"completed": 1}, "series")]
    for filters in (
        ("--tag", "vip"),
        ("--where", "name==Jane"),
        ("--state", "completed"),
        ("--task", "greet", "--since", "30d", "--until", "2999-01-01T00:00Z"),
        ("--task", "greet", "--since", "30d"),
    ):
        assert told(*filters) == [("greet", {"completed": 1}, "history")]
    assert ended.type("task", "stats", "--error", "RuntimeError").stderr.startswith(
        "from the history; the history reaches back to "
    )


def test_counts_say_if_they_are_not_of_all(ended: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docket.insights.history.COUNTED", 1)
    monkeypatch.setattr("docket.insights.history.SLICE", 1)

    assert "only what ended since " in ended.type("task", "stats", "--since", "30d").stderr


def test_what_has_no_record_any_more_is_shown_from_the_history(ended: Shell) -> None:
    async def forget(docket: Docket) -> None:
        async with docket.redis() as client:
            any_client: Any = client
            await any_client.delete(docket.runs_key("bad"))

    ended.visit(forget)

    shown = ended.type("task", "get", "bad")
    explained = ended.prints("task", "explain", "bad")

    assert "fingerprint" in shown.stdout
    assert shown.stderr == "Its record is gone; this is from the history\n"
    assert explained.startswith("It failed for good ")
    assert ended.type("task", "get", "nobody").exit_code == 3


def test_times_are_typed_as_people_say_them() -> None:
    now = datetime.now(timezone.utc)

    assert parse_since(None) is None
    assert abs((parse_since("2h") or now) - (now - timedelta(hours=2))) < timedelta(minutes=1)
    assert parse_since("2026-07-01T12:00Z") == datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
    today, yesterday = parse_since("today"), parse_since("yesterday")
    assert today is not None
    assert yesterday == today - timedelta(days=1)
    with pytest.raises(Misused, match="found 'soon'"):
        parse_since("soon")


def test_a_comparison_has_a_name_and_a_value() -> None:
    (where,) = parse_where(["amount >= int:5"])

    assert (where.name, where.comparison, where.value) == ("amount", ">=", 5)
    with pytest.raises(Misused, match="found 'amount=5'"):
        parse_where(["amount=5"])


def test_it_is_said_how_far_back_it_reaches_and_why() -> None:
    moment = datetime(2026, 7, 1, tzinfo=timezone.utc)

    assert told_reach(Reach(None)) == "the history is empty"
    assert told_reach(Reach(moment, "memory")).endswith("`history.max_memory` is used up")
    assert told_reach(Reach(moment, "age")).endswith("(`history.keep`)")
