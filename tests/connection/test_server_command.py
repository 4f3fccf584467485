"""``docket server start | stop | status``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from docket.cli.commands.server import EXIT_FAILED, EXIT_NOT_RUNNING, app
from docket.connection.embedded import EmbeddedServer
from docket.errors import ServerUnavailable

pytestmark = pytest.mark.fleet


def _run(command: str, directory: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [command, "--directory", str(directory)])
    return result.exit_code, result.output


def test_a_server_is_started_shown_and_stopped(tmp_path: Path) -> None:
    assert _run("status", tmp_path) == (EXIT_NOT_RUNNING, f"not running: embedded://{tmp_path}\n")

    code, said = _run("start", tmp_path)
    assert code == 0
    assert said.startswith(f"running: embedded://{tmp_path} (process ")

    code, said = _run("status", tmp_path)
    assert code == 0
    assert said.splitlines()[0] == f"running: embedded://{tmp_path}"
    assert said.splitlines()[2] == f"socket: {EmbeddedServer(tmp_path).socket}"

    assert _run("stop", tmp_path) == (0, f"stopped: embedded://{tmp_path}\n")
    assert _run("stop", tmp_path) == (0, f"was not running: embedded://{tmp_path}\n")


def test_a_server_that_can_not_be_started_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKET_SERVER", "/nowhere/server")

    code, said = _run("start", tmp_path)

    assert code == EXIT_FAILED
    assert "DOCKET_SERVER names /nowhere/server" in said


def test_a_server_that_does_not_end_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(server: EmbeddedServer) -> bool:
        raise ServerUnavailable(f"the server in {server.directory} does not exit")

    monkeypatch.setattr(EmbeddedServer, "stop", stop)

    code, said = _run("stop", tmp_path)

    assert code == EXIT_FAILED
    assert "does not exit" in said


@pytest.mark.parametrize("deep", ["", "d" * 120])
@pytest.mark.parametrize("name", [".docket", ".docket/below"])
def test_a_file_in_the_place_of_its_directory_is_told_without_a_traceback(
    tmp_path: Path, deep: str, name: str
) -> None:
    place = tmp_path / deep
    place.mkdir(exist_ok=True)
    (place / ".docket").write_text("a file")

    code, said = _run("start", place / name)

    assert code == EXIT_FAILED
    assert f"{place / name} cannot be the directory of an embedded server" in said
    assert _run("status", place / name)[0] == EXIT_NOT_RUNNING
    assert (place / ".docket").read_text() == "a file"
