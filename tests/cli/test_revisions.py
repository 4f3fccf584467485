"""``docket config history | diff | rollback | plan --out | apply``, beside a supervisor."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from tests.cli.supervised import Desk, desk, nowhere, speaking, supervised, typed

__all__ = ["desk", "nowhere", "supervised"]

pytestmark = pytest.mark.fleet


def revision(desk: Desk) -> int:
    """The one in force."""
    told = json.loads(desk.prints("config", "history", "-o", "json"))
    return int(told["items"][0]["revision"])


def test_history_lists_the_revisions_the_one_in_force_first(desk: Desk) -> None:
    first = revision(desk)
    desk.write("concurrency = 5", "concurrency = 6")
    desk.prints("reload", "--wait")
    items = json.loads(desk.prints("config", "history", "-o", "json"))["items"]
    assert [one["revision"] for one in items[:2]] == [first + 1, first]
    assert items[0]["why"] == "applied"
    assert "REVISION" in desk.prints("config", "history")


def test_a_diff_says_what_differs_between_two_revisions(desk: Desk) -> None:
    first = revision(desk)
    desk.write("concurrency = 5", "concurrency = 6")
    desk.prints("reload", "--wait")
    told = desk.prints("config", "diff", str(first), str(first + 1))
    assert told == "workers.default.concurrency: 5 → 6 (live)\n"
    assert desk.prints("config", "diff", str(first)) == told
    item = json.loads(desk.prints("config", "diff", str(first), "-o", "json"))["item"]
    assert (item["from"]["revision"], item["to"]["revision"]) == (first, first + 1)
    assert [one["path"] for one in item["changes"]] == ["workers.default.concurrency"]
    same = desk.type("config", "diff", str(first), str(first))
    assert (same.exit_code, same.stderr) == (0, "both mean the same\n")
    gone = desk.type("config", "diff", "999")
    assert gone.exit_code == 3
    assert "there is no revision 999; those that are kept are " in gone.stderr


def test_secrets_are_only_said_to_differ(desk: Desk) -> None:
    desk.write("drain = ", 'env = { TOKEN = "one" }\ndrain = ')
    desk.prints("reload", "--wait")
    first = revision(desk)
    desk.write("drain = ", 'env = { TOKEN = "two" }\ndrain = ')
    planned = desk.type("config", "plan", "--detailed-exitcode")
    assert (planned.exit_code, planned.stdout) == (2, "secrets differ; what they are is not kept\n")
    desk.prints("reload", "--wait")
    result = desk.type("config", "diff", str(first), str(first + 1))
    assert (result.stdout, result.stderr) == ("", "both mean the same, but for secrets\n")
    assert "one" not in desk.prints("config", "history", "-o", "json")


def test_a_rollback_runs_an_earlier_revision_again_as_a_new_one(desk: Desk) -> None:
    first = revision(desk)
    desk.write("concurrency = 5", "concurrency = 9")
    desk.prints("reload", "--wait")
    result = desk.type("config", "rollback", str(first))
    assert result.exit_code == 0
    assert result.stdout == (
        f"workers.default.concurrency: 9 → 5 (live)\napplied: revision {first + 2} runs\n"
    )
    assert "the file is as it was" in result.stderr
    assert desk.type("config", "rollback", "999").exit_code == 4


def test_a_plan_is_made_against_what_is_in_force(desk: Desk) -> None:
    result = desk.type("config", "plan", "--detailed-exitcode")
    assert (result.exit_code, result.stdout) == (0, "unchanged: both mean the same\n")
    desk.write("concurrency = 5", "concurrency = 6")
    assert desk.prints("config", "plan").splitlines() == [
        "workers.default.concurrency: 5 → 6 (live)",
        "1 change",
    ]
    assert "tasks.note: added" in desk.prints("config", "plan", "--offline")


def test_a_plan_counts_what_is_queued_of_the_tasks_that_it_touches(desk: Desk) -> None:
    async def die(number: int) -> None: ...

    async def hold(number: int) -> None: ...

    async def add() -> None:
        async with Docket("supervised", desk.supervised.url) as docket:
            later = datetime.now(timezone.utc) + timedelta(hours=1)
            for number in range(3):
                await docket.add(die, when=later, key=f"planned-{number}")(number)
            await docket.add(hold, when=later, key="planned-hold")(1)

    async def clear() -> None:
        async with Docket("supervised", desk.supervised.url) as docket:
            await docket.clear()

    asyncio.run(add())
    desk.write('[tasks.die]\nfunction = "work:die"\n', "")
    shown = desk.prints("config", "plan")
    assert "tasks.die: 3 queued, scheduled or parked\n" in shown
    assert "tasks.hold: " not in shown
    desk.write('function = "work:hold"', 'function = "work:hold"\nqueue = "slow"')
    item = json.loads(desk.prints("config", "plan", "-o", "json"))["item"]
    assert item["queued"] == {"hold": 1}
    asyncio.run(clear())


def test_a_saved_plan_is_applied_once_and_only_on_what_it_was_made_for(desk: Desk) -> None:
    desk.write("concurrency = 5", "concurrency = 6")
    saved = desk.type("config", "plan", "--out", "plan.json")
    assert saved.exit_code == 0
    assert "docket config apply plan.json carries it out" in saved.stderr
    kept = json.loads(desk.file.with_name("plan.json").read_text())
    assert kept["changes"] == ["workers.default.concurrency: 5 → 6 (live)"]
    assert "workers.default.concurrency: 5 → 6" in desk.prints("config", "apply", "plan.json")
    again = desk.type("config", "apply", "plan.json")
    assert again.exit_code == 4
    assert "runs now; plan again" in again.stderr


def test_a_saved_plan_is_refused_when_the_file_says_something_else(desk: Desk) -> None:
    desk.write("concurrency = 5", "concurrency = 6")
    desk.type("config", "plan", "--out", "plan.json")
    desk.write("concurrency = 5", "concurrency = 7")
    result = desk.type("config", "apply", "plan.json", "--control", ".docket/control.sock")
    assert result.exit_code == 4
    assert "the files no longer say what was planned" in result.stderr


def test_apply_without_a_plan_applies_the_file_with_removals_if_they_are_allowed(
    desk: Desk,
) -> None:
    desk.file.write_text(desk.text.split("[tasks.hold]")[0] + "[workers.default]\n")
    assert desk.type("config", "apply").exit_code == 4
    assert desk.type("config", "apply", "--allow-removals").exit_code == 0
    desk.file.write_text("nmae = 1\n")
    assert desk.type("config", "apply").exit_code == 7


def test_a_plan_of_what_is_not_in_force_can_not_be_saved(nowhere: Path) -> None:
    (nowhere / "docket.toml").write_text('[tasks.t]\nfunction = "work:f"\n')
    result = typed("config", "plan", "--out", "plan.json")
    assert result.exit_code == 4
    assert "there is no active revision that plan.json could change" in result.stderr
    assert not (nowhere / ".docket").exists()


def test_a_plan_that_can_not_be_written_is_told(desk: Desk) -> None:
    result = desk.type("config", "plan", "--out", "gone/plan.json")
    assert (result.exit_code, result.stderr) == (
        4,
        "gone/plan.json cannot be written: No such file or directory\n",
    )


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 3, "plan.json cannot be read: No such file"),
        ("{", 2, "plan.json is not a plan: "),
        ("[]", 2, "plan.json is not a plan of version 1; docket config plan --out makes one"),
        ('{"version": 2, "kind": "plan"}', 2, "plan.json is not a plan of version 1"),
        ('{"version": 1, "kind": "plan", "base": "x"}', 2, "plan.json is not a plan: "),
    ],
)
def test_what_is_no_plan_is_not_applied(
    nowhere: Path, text: str | None, code: int, words: str
) -> None:
    if text is not None:
        (nowhere / "plan.json").write_text(text)
    result = typed("config", "apply", "plan.json")
    assert result.exit_code == code
    assert result.stderr.startswith(words)


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("redis://127.0.0.1:1/0", 5, "--offline plans without Redis"),
        ("memory://here", 2, "is in the memory of one process"),
    ],
)
def test_a_server_that_can_not_be_asked_is_told(
    nowhere: Path, url: str, code: int, words: str
) -> None:
    (nowhere / "docket.toml").write_text(f'url = "{url}"\n[tasks.t]\nfunction = "work:f"\n')
    result = typed("config", "plan")
    assert result.exit_code == code
    assert words in result.stderr
    assert typed("config", "plan", "--offline").exit_code == 0


@pytest.mark.parametrize(
    ("result", "code"),
    [("applied", 0), ("unchanged", 0), ("invalid", 7), ("refused", 4), ("rolled_back", 1)],
)
def test_what_becomes_of_it_is_in_the_exit_code(nowhere: Path, result: str, code: int) -> None:
    answer: dict[str, Any] = {"result": result, "revision": 1, "message": "", "changes": []}
    with speaking(nowhere / "c", answer=answer):
        assert typed("config", "rollback", "1", "--control", "c").exit_code == code


@pytest.mark.usefixtures("nowhere")
def test_a_supervisor_that_does_not_answer_in_time_is_exit_8() -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind("c")
        hanging.listen(1)
        result = typed("config", "rollback", "1", "--control", "c", "--timeout", "50ms")
    assert result.exit_code == 8
    assert "has not answered within 0.05 s" in result.stderr
