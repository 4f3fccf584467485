"""A shell completes what is typed: commands, options, and the names that a docket knows."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docket import Docket, Worker
from docket.config.load import parse
from docket.schedules.desired import desired_schedules
from docket.schedules.reconciler import reconcile
from tests.compat.conftest import working

from .conftest import Shell

pytestmark = pytest.mark.fleet

ASKED = """
eval "$(_DOCKET_COMPLETE=source_bash docket)"
COMP_WORDS=({words}) COMP_CWORD={place}
_docket_completion docket
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
NIGHTLY = """
[tasks.restock]
function = "shop:restock"

[schedules.nightly]
task = "restock"
cron = "30 2 * * *"
"""


def completed(*words: str) -> list[str]:
    """What a real bash proposes for the last of these words."""
    typed = " ".join(map(shlex.quote, ("docket", *words)))
    programs = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "--norc", "-c", ASKED.format(words=typed, place=len(words))],
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_verbs_and_options_are_completed() -> None:
    assert completed("ta") == ["task", "tasks"]
    assert completed("task", "st") == ["stats", "stack"]
    assert completed("task", "ls", "--st") == ["--state"]
    assert completed("ping", "--q") == ["--queue"]
    assert "snapshot" in completed("nonsense", "")


def test_tasks_queues_and_schedules_are_completed_from_the_docket(shell: Shell) -> None:
    async def prepare(docket: Docket) -> None:
        await docket.add("trace", queue="bulk")("hello")
        desired = desired_schedules(parse(NIGHTLY).configuration)
        await reconcile(docket.storage.schedules, "ours", desired)
        async with Worker(docket, queues=["other"]) as worker, working(worker):
            found = await asyncio.to_thread(completed, "task", "ls", "--task", "tr")
            assert found == ["trace"]

    shell.visit(prepare)

    assert completed("queue", "pause", "") == ["bulk", "default", "other"]
    assert completed("schedule", "show", "n") == ["nightly"]


def test_nothing_is_proposed_or_started_where_no_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKET_URL", "redis://127.0.0.1:1/0")
    assert completed("queue", "pause", "d") == []

    monkeypatch.setenv("DOCKET_URL", "embedded://.docket")
    assert completed("queue", "pause", "d") == []
    assert not Path(".docket").exists()
