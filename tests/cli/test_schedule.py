"""``docket schedule``."""

from __future__ import annotations

import asyncio
import getpass
import json
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from docket import Docket, ExecutionState, Perpetual, Worker
from docket.config.load import parse
from docket.schedules.desired import desired_schedules
from docket.schedules.reconciler import reconcile
from tests.conformance.conftest import until, working

from .conftest import Shell

pytestmark = pytest.mark.fleet

NIGHTLY = (
    '[schedules.nightly]\ntask = "report"\ncron = "30 2 * * *"\ntimezone = "Europe/Paris"\n'
    'args = [1]\nkwargs = { a = 2 }\nnotes = "for Ann"\n'
)


@pytest.fixture
def nightly(shell: Shell) -> Shell:
    """A docket where a schedule is in force."""
    _declare(shell, NIGHTLY)
    return shell


def _declare(shell: Shell, text: str) -> None:
    desired = desired_schedules(parse(f'[tasks.report]\nfunction = "m:f"\n{text}').configuration)

    async def declare(docket: Docket) -> None:
        await reconcile(docket.storage.schedules, "ours", desired)

    shell.visit(declare)


def test_schedules_are_listed_with_when_they_are_due(nightly: Shell) -> None:
    done = nightly.program("schedule", "ls", "-o", "json")
    shown = nightly.prints("schedule", "ls")

    (item,) = json.loads(done.stdout)["items"]
    assert (item["name"], item["owner"], item["task"]) == ("nightly", "ours", "report")
    assert item["times"] == "30 2 * * * (Europe/Paris)"
    assert datetime.fromisoformat(item["next"]) > datetime.now(timezone.utc)
    assert shown.split()[:7] == ["NAME", "TASK", "TIMES", "NEXT", "LAST", "OUTCOME", "PAUSED"]


def test_without_schedules_it_says_so(shell: Shell) -> None:
    done = shell.type("schedule", "ls")

    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no schedules\n")


async def poll(every: Perpetual = Perpetual(timedelta(hours=1), automatic=True)) -> None: ...


def test_a_task_that_keeps_itself_up_is_listed_and_is_no_schedule(shell: Shell) -> None:
    async def look(docket: Docket) -> list[subprocess.CompletedProcess[str]]:
        docket.register(poll)
        async with Worker(docket) as worker, working(worker):
            await until(lambda: _is_to_run_again(docket))
            return [
                await asyncio.to_thread(shell.program, "schedule", *words)
                for words in (("ls", "-o", "json"), ("pause", "poll"))
            ]

    listed, paused = shell.visit(look)

    (item,) = json.loads(listed.stdout)["items"]
    assert (item["name"], item["owner"], item["times"]) == ("poll", "task", "perpetual")
    assert item["outcome"] == "scheduled"
    assert datetime.fromisoformat(item["next"]) > datetime.now(timezone.utc)
    assert paused.returncode == 3
    assert "`docket strike poll` pauses it" in paused.stderr


async def _is_to_run_again(docket: Docket) -> bool:
    execution = await docket.get_execution("poll")
    return execution is not None and execution.state is ExecutionState.SCHEDULED


def test_one_is_shown_with_what_became_of_it(nightly: Shell) -> None:
    key = nightly.prints("schedule", "trigger", "nightly").strip()
    shown = nightly.prints("schedule", "show", "nightly")
    item = json.loads(nightly.prints("schedule", "show", "ours/nightly", "-o", "json"))["item"]

    assert key.startswith("nightly@manual-")
    assert "for Ann" in shown
    assert shown.splitlines()[-1].split()[-3:] == ["triggered", "1", key]
    assert (item["args"], item["kwargs"]) == ([1], {"a": 2})
    assert [(one["outcome"], one["key"]) for one in item["history"]] == [("triggered", key)]


def test_a_name_that_is_not_known_is_told(nightly: Shell) -> None:
    done = nightly.type("schedule", "show", "nighty")

    assert done.exit_code == 3
    assert done.stderr == "there is no schedule 'nighty'; did you mean 'nightly'?\n"


def test_due_times_to_come_are_shown_on_their_clock(nightly: Shell) -> None:
    items = json.loads(nightly.prints("schedule", "next", "nightly", "-n", "400", "-o", "json"))
    explained = nightly.prints("schedule", "next", "nightly", "-n", "400", "--explain")

    dues = [datetime.fromisoformat(item["wall"]) for item in items["items"]]
    assert len(dues) == 400
    assert {(due.hour, due.minute) for due in dues} == {(2, 30), (3, 0)}
    assert "the clocks jump from 02:00 to 03:00: 02:30 is made up for at once" in explained
    assert "NOTE" not in nightly.prints("schedule", "next", "nightly")


def test_due_times_are_shown_as_a_file_declares_them_without_a_server(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "docket.toml"
    file.write_text(f'[tasks.report]\nfunction = "m:f"\n{NIGHTLY}')
    words = ("schedule", "next", "--declared", "--config", str(file))

    shown = shell.program(*words, "nightly", "-n", "3", DOCKET_URL="redis://127.0.0.1:1")
    unknown = shell.type(*words, "other")

    assert len(shown.stdout.splitlines()) == 4
    assert unknown.exit_code == 3
    assert unknown.stderr.endswith("declares no schedule 'other'; it declares nightly\n")


def test_one_is_paused_and_resumed(nightly: Shell) -> None:
    paused = nightly.prints(
        "schedule", "pause", "nightly", "--reason", "INC-7", "--author", "ann", "--for", "1h"
    )
    (item,) = json.loads(nightly.prints("schedule", "ls", "-o", "json"))["items"]
    told = nightly.type("schedule", "next", "nightly")
    resumed = nightly.prints("schedule", "resume", "nightly")
    again = nightly.type("schedule", "resume", "nightly")

    assert (paused, resumed) == ("Paused ours/nightly\n", "Resumed ours/nightly\n")
    assert item["paused"].startswith("ann: INC-7, until ")
    assert told.stderr.startswith("it is paused by ann: INC-7")
    assert (again.exit_code, again.stderr) == (4, "no operator has paused ours/nightly\n")


def test_who_pauses_is_you_where_nobody_else_is_named(nightly: Shell) -> None:
    nightly.prints("schedule", "pause", "nightly")
    (item,) = json.loads(nightly.prints("schedule", "ls", "-o", "json"))["items"]

    assert item["paused"] == getpass.getuser()


def test_what_the_file_has_paused_is_resumed_in_the_file(shell: Shell) -> None:
    _declare(shell, NIGHTLY + "paused = true\n")

    done = shell.type("schedule", "resume", "nightly")

    assert (done.exit_code, done.stderr) == (
        4,
        "no operator has paused ours/nightly; the file has paused it\n",
    )


def test_the_next_run_is_skipped(nightly: Shell) -> None:
    assert nightly.prints("schedule", "skip-next", "nightly").startswith(
        "ours/nightly is not run at 2"
    )


def test_what_is_paused_has_nothing_to_skip(shell: Shell) -> None:
    _declare(shell, NIGHTLY + "paused = true\n")

    done = shell.type("schedule", "skip-next", "nightly")

    assert (done.exit_code, done.stderr) == (
        4,
        "ours/nightly has no due time that could be skipped\n",
    )


def test_due_times_that_have_passed_are_run_when_that_is_wanted(nightly: Shell) -> None:
    words = ("schedule", "backfill", "nightly", "--from", "2026-03-01", "--to", "2026-03-04")

    would = nightly.prints(*words, "--dry-run")
    ran = json.loads(nightly.prints(*words, "--yes", "-o", "json"))["items"]
    again = json.loads(nightly.prints(*words, "-o", "json"))["items"]
    code, asked = nightly.on_terminal(*words[:-1], "2026-03-05", typed="n\n")

    assert would.count("would") == 3
    assert [item["key"] for item in ran] == [
        f"nightly@2026-03-0{day}T01:30:00Z" for day in (1, 2, 3)
    ]
    assert {item["result"] for item in ran} == {"fired"}
    assert {item["result"] for item in again} == {"already"}
    assert code == 4
    assert "This runs ours/nightly 1 times." in asked


def test_up_to_now_is_run_where_no_end_is_given(nightly: Shell) -> None:
    start = (datetime.now(timezone.utc) - timedelta(days=2)).isoformat()

    assert nightly.prints("schedule", "backfill", "nightly", "--from", start).count("fired") == 2


def test_what_is_no_moment_is_refused(nightly: Shell) -> None:
    done = nightly.type("schedule", "backfill", "nightly", "--from", "monday")

    assert done.exit_code == 2
    assert done.stderr == ("--from: expected a moment such as 2026-03-01T00:00Z, found 'monday'\n")


def test_too_many_are_refused(shell: Shell) -> None:
    _declare(shell, '[schedules.often]\ntask = "report"\nevery = "1s"\n')

    done = shell.type("schedule", "backfill", "often", "--from", "2026-03-01")

    assert done.exit_code == 4
    assert done.stderr.startswith("expected 1000 due times at most")


def test_what_is_struck_is_not_run(nightly: Shell) -> None:
    nightly.prints("strike", "report")

    now = nightly.type("schedule", "trigger", "nightly")
    then = nightly.type(
        "schedule", "backfill", "nightly", "--from", "2026-03-01", "--to", "2026-03-02"
    )

    assert (now.exit_code, then.exit_code) == (4, 6)
    assert now.stderr.startswith("a strike forbids report")
    assert then.stderr.startswith("a strike forbids 1 of them")
