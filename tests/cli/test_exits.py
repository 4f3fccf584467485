"""What commands end with."""

from __future__ import annotations

from pathlib import Path

import pytest

from docket import errors
from docket.cli import COMMANDS
from docket.cli.terminal.exit_codes import (
    CommandError,
    CommandRefused,
    Misused,
    NotFound,
    Partial,
    exit_code,
)
from tests.fleet.process import ServerProcess, free_port

from .conftest import Shell

pytestmark = pytest.mark.fleet

# A call of every command that visits a docket.
CALLS = [
    *(("strike", "f"), ("restore", "f"), ("clear",), ("snapshot",), ("watch", "k")),
    *(("workers", "ls"), ("workers", "for-task", "f")),
    *(("tasks", "trace"), ("tasks", "fail"), ("tasks", "sleep")),
    *(("task", "explain", "k"), ("schedule", "explain", "s"), ("fsck",)),
    *(("task", "stack", "k"), ("task", "stats"), ("task", "ls", "--since", "1h")),
    *(("task", "ls"), ("task", "get", "k"), ("task", "add", "f"), ("task", "cancel", "k")),
    *(("queue", "ls"), ("strikes", "ls"), ("dead", "ls"), ("dead", "show", "k")),
    *(("parked", "ls"), ("parked", "release"), ("doctor",), ("ping",), ("top",)),
    *(("audit",), ("events",), ("events", "-f")),
    *(("schedule", "ls"), ("schedule", "show", "s"), ("schedule", "next", "s")),
]


def test_every_command_is_called_here() -> None:
    elsewhere = {"worker", "server", "config", "status", "reload", "restart", "dev"}

    assert {call[0] for call in CALLS} >= set(COMMANDS) - elsewhere


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
@pytest.mark.parametrize("url", ["memory://", "memory://mine", "MEMORY://"])
def test_memory_is_refused_with_exit_2_by_every_command_but_worker(
    shell: Shell, call: tuple[str, ...], url: str
) -> None:
    done = shell.type(*call, "--url", url)

    assert done.exit_code == 2
    assert done.stderr.startswith(f"{url} is in the memory of one process, ")


def test_memory_is_refused_wherever_it_is_named(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKET_URL", "memory://")
    assert shell.type("snapshot").exit_code == 2

    monkeypatch.delenv("DOCKET_URL")
    (tmp_path / "docket.toml").write_text('url = "memory://"\n')
    assert shell.type("snapshot", "--config", str(tmp_path / "docket.toml")).exit_code == 2
    monkeypatch.chdir(tmp_path)
    assert shell.type("snapshot").exit_code == 2


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_a_server_that_does_not_answer_exits_5_and_its_secrets_are_masked(
    shell: Shell, call: tuple[str, ...]
) -> None:
    done = shell.type(*call, "--url", f"redis://:hunter2@127.0.0.1:{free_port()}/0")

    assert done.exit_code == 5
    assert done.stderr.startswith("nothing answers at redis://:***@127.0.0.1:")
    assert "hunter2" not in done.output


def test_a_server_that_refuses_exits_4_and_its_secrets_are_masked(
    shell: Shell, own_valkey: ServerProcess
) -> None:
    done = shell.program("snapshot", "--url", f"redis://jane:hunter2@127.0.0.1:{own_valkey.port}/0")

    assert done.returncode == 4
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_url_that_is_none_exits_2_and_its_secrets_are_masked(shell: Shell) -> None:
    done = shell.type("snapshot", "--url", "http://jane:hunter2@db/0?password=hunter3")

    assert done.exit_code == 2
    assert done.stderr.startswith("unknown scheme 'http' in http://jane:***@db/0")
    assert "hunter" not in done.stderr


def test_a_file_that_can_not_be_read_exits_7(shell: Shell, tmp_path: Path) -> None:
    done = shell.type("snapshot", "--config", str(tmp_path / "missing.toml"))

    assert done.exit_code == 7
    assert "missing.toml: cannot be read" in done.stderr


def test_an_option_goes_before_the_environment_and_that_before_the_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "docket.toml"
    file.write_text(f'name = "from-file"\nurl = "{shell.url}"\n')
    monkeypatch.delenv("DOCKET_URL")
    monkeypatch.delenv("DOCKET_NAME")

    def name(*words: str) -> str:
        return shell.prints("clear", *words).split("'")[1]

    assert name("--config", str(file)) == "from-file"
    monkeypatch.setenv("DOCKET_CONFIG", str(file))
    assert name() == "from-file"
    monkeypatch.setenv("DOCKET_NAME", "from-environment")
    assert name() == "from-environment"
    assert name("--docket", "from-option") == "from-option"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError(), 1),
        (Misused(), 2),
        (NotFound(), 3),
        (CommandRefused(), 4),
        (Partial(), 6),
        (errors.DocketError(), 1),
        (errors.InvalidSetting(), 7),
        (errors.InvalidKey(), 2),
        (errors.ServerUnavailable(), 5),
        (errors.ServerMissing(), 5),
        (errors.ServerRefused(), 4),
        (errors.ForeignData(), 4),
        (errors.Undecodable(), 1),
    ],
)
def test_each_kind_of_error_has_its_number(error: errors.DocketError, code: int) -> None:
    assert exit_code(error) == code
