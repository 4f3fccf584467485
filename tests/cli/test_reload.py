"""``docket reload``: what becomes of a reload is in the exit code."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.cli.supervised import Desk, desk, nowhere, speaking, supervised, typed

__all__ = ["desk", "nowhere", "supervised"]

pytestmark = pytest.mark.fleet


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("name", "name", 0, "unchanged: revision "),
        ("concurrency = 5", "concurrency = 6", 0, "workers.default.concurrency: 5 → 6 (live)"),
        ("concurrency = 5", "concurrency = 0", 7, "invalid: revision "),
        ("concurrency", "[[[", 7, "invalid: revision "),
        ('name = "supervised"', 'name = "x"', 4, "refused: revision "),
    ],
)
def test_what_becomes_of_a_reload_is_in_the_exit_code(
    desk: Desk, old: str, new: str, code: int, words: str
) -> None:
    desk.write(old, new)
    result = desk.type("reload", "--wait")
    assert result.exit_code == code, result.output
    assert words in result.stdout


def test_a_reload_whose_workers_can_not_work_is_rolled_back(desk: Desk) -> None:
    work = desk.file.with_name("work.py")
    text = work.read_text()
    # The probe does not see what only a worker process lacks.
    work.write_text(
        text + "\nimport sys\nif 'docket.supervisor.processes.child' not in sys.modules:\n"
        "    def absent(): ...\n"
    )
    desk.write("[workers.default]", '[tasks.absent]\nfunction = "work:absent"\n[workers.default]')
    result = desk.type("reload", "--wait")
    work.write_text(text)
    assert result.exit_code == 1, result.output
    assert result.stdout.startswith("rolled back: revision ")
    assert "absent" in result.stderr


def test_what_removes_too_much_is_refused_unless_it_is_allowed(desk: Desk) -> None:
    desk.file.write_text(desk.text.split("[tasks.hold]")[0] + "[workers.default]\n")
    refused = desk.type("reload", "--wait")
    assert refused.exit_code == 4
    assert "removes 4 of 6 tasks, schedules and pools" in refused.stderr
    assert desk.type("reload", "--wait", "--allow-removals").exit_code == 0


def test_programs_read_the_outcome_as_json(desk: Desk) -> None:
    desk.write("concurrency = 5", "concurrency = 7")
    told = json.loads(desk.prints("reload", "--wait", "-o", "json"))
    assert (told["version"], told["kind"]) == (1, "outcome")
    assert told["item"]["result"] == "applied"
    assert told["item"]["changes"] == ["workers.default.concurrency: 5 → 7 (live)"]


def test_without_waiting_it_only_asks(desk: Desk) -> None:
    desk.write("concurrency = 5", "concurrency = 8")
    assert desk.prints("reload").startswith("asked; `docket reload --wait` reports")
    desk.supervised.until_logged("workers.default.concurrency: 5 → 8")
    assert json.loads(desk.prints("reload", "-o", "json"))["item"] == {"result": "asked"}


@pytest.mark.usefixtures("nowhere")
def test_a_supervisor_that_does_not_answer_in_time_is_exit_8() -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind("c")
        hanging.listen(1)
        result = typed(*["reload", "--control", "c", "--wait", "--timeout", "50ms"])
    assert result.exit_code == 8
    assert "has not answered within 0.05 s" in result.stderr


@pytest.mark.usefixtures("nowhere")
def test_without_a_supervisor_it_is_exit_5() -> None:
    result = typed("reload", "--wait")
    assert result.exit_code == 5
    assert "start one with docket-supervisor" in result.stderr


def test_a_supervisor_that_will_not_is_exit_4(nowhere: Path) -> None:
    with speaking(nowhere / "c", error={"kind": "refused", "message": "it stops"}):
        result = typed("reload", "--wait", "--control", "c")
    assert (result.exit_code, result.stderr) == (4, "it stops\n")


def test_a_reload_that_fails_is_exit_1(nowhere: Path) -> None:
    answer = {"result": "failed", "revision": 3, "message": "Redis is away", "changes": []}
    with speaking(nowhere / "c", answer=answer):
        result = typed("reload", "--wait", "--control", "c")
    assert (result.exit_code, result.stderr) == (1, "Redis is away\n")
    assert result.stdout == "failed: revision 3 runs\n"
