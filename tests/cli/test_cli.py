"""``docket server``, as people call it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from docket.cli.commands.server import EXIT_FAILED, EXIT_NOT_RUNNING, app
from docket.connection.embedded import EmbeddedServer, find_binary
from tests.supervisor.conftest import until

pytestmark = pytest.mark.fleet


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where a server may be started; it is stopped afterwards."""
    directory = tmp_path / "data"
    yield directory
    EmbeddedServer(directory).stop()


def call(verb: str, directory: Path) -> Result:
    return CliRunner().invoke(app, [verb, "--directory", str(directory)])


def test_a_server_is_started_shown_and_stopped(directory: Path) -> None:
    url = f"embedded://{directory}"

    assert call("status", directory).exit_code == EXIT_NOT_RUNNING
    started = call("start", directory)
    pid = EmbeddedServer(directory).status().pid
    assert started.output == f"running: {url} (process {pid})\n"
    assert call("start", directory).output == started.output
    shown = call("status", directory)
    assert (shown.exit_code, shown.output.splitlines()[:2]) == (
        0,
        [f"running: {url}", f"process: {pid}"],
    )
    assert call("stop", directory).output == f"stopped: {url}\n"
    assert call("stop", directory).output == f"was not running: {url}\n"
    assert call("status", directory).output == f"not running: {url}\n"


def test_a_server_outlives_the_command_that_started_it(directory: Path) -> None:
    script = "from docket.cli import main; main()"
    command = [sys.executable, "-c", script, "server", "start", "-d", str(directory)]

    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    assert EmbeddedServer(directory).status().is_running


def test_a_server_that_can_not_be_started_is_told_of(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKET_SERVER", str(directory / "nothing"))

    result = call("start", directory)

    assert result.exit_code == EXIT_FAILED
    assert result.stderr == (
        f"DOCKET_SERVER names {directory}/nothing, which is not a program; correct it or unset it\n"
    )


def test_a_server_that_does_not_exit_is_told_of(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.connection.embedded.START_TIMEOUT", 0.2)
    directory.mkdir()
    server = EmbeddedServer(directory)
    settings = ["--port", "0", "--save", "", "--unixsocket", str(server.socket)]
    with (
        (directory / "lock").open("w") as lock,
        subprocess.Popen([find_binary(), *settings], stdout=subprocess.DEVNULL) as process,
    ):
        # Whoever holds the lock has not exited yet.
        fcntl.flock(lock, fcntl.LOCK_EX)
        until(lambda: server.status().is_running, "the start of the server")
        result = call("stop", directory)

    assert result.exit_code == EXIT_FAILED
    assert f"(process {process.pid}) does not exit" in result.stderr


def test_without_a_verb_help_is_shown() -> None:
    assert "Start it, unless it runs." in CliRunner().invoke(app, []).output
