"""What a command is told of its worker's environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from docket.runners.command import command_task
from docket.runners.environment import ALWAYS, allowed

ROOT = Path(__file__).parents[2]

WORKER = {
    "PATH": "/bin",
    "LC_ALL": "C",
    "DOCKET_URL": "redis://:secret@host",
    "PGHOST": "db",
    "PGPASSWORD": "secret",
    "pghost": "other",
}


def test_a_command_gets_what_says_where_it_is_and_no_secrets() -> None:
    assert allowed(WORKER) == {"PATH": "/bin", "LC_ALL": "C"}


def test_what_is_named_comes_along() -> None:
    assert allowed(WORKER, ["PGHOST", "MISSING"]) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PGHOST": "db",
    }
    assert set(allowed(WORKER, ["PG*"])) == {"PATH", "LC_ALL", "PGHOST", "PGPASSWORD"}


def test_what_every_command_gets_is_said_in_the_documentation() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()

    assert ", ".join(f"`{name}`" for name in ALWAYS) in " ".join(page.split())


async def test_a_command_sees_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKET_SIGNING_KEY", "secret")
    monkeypatch.setenv("SHOP", "north")
    words = [sys.executable, "-c", "import os; print(*sorted(os.environ))"]

    seen = (await command_task("show", words, ["SH*"])())["output"].split()

    assert "SHOP" in seen
    assert "PATH" in seen
    assert "DOCKET_SIGNING_KEY" not in seen
