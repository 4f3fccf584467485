"""``docket-supervisor --check``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from docket import __version__
from docket.cli import app
from docket.cli import main as docket_main
from docket.cli.commands import supervisor

GOOD = '[tasks.t]\nfunction = "m:f"\n'
SURPRISING = '[tasks.t]\nfunction = "m:f"\nqueue = "nobody\'s"\n'


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, *options: str) -> int:
    file = tmp_path / "docket.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(
        "sys.argv", ["docket-supervisor", "--config", str(file), "--check", *options]
    )
    with pytest.raises(SystemExit) as stopped:
        supervisor.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (GOOD, (), 0),
        (GOOD, ("--strict",), 0),
        ("[tasks.t]\nfunctoin = 1\n", (), 7),
        (None, (), 2),
        (SURPRISING, (), 0),
        (SURPRISING, ("--strict",), 9),
    ],
)
def test_the_exit_code_says_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    options: tuple[str, ...],
    code: int,
) -> None:
    assert check(tmp_path, monkeypatch, text, *options) == code


def test_a_valid_file_is_counted_and_a_bad_one_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, monkeypatch, GOOD)
    assert "valid (1 task, 0 schedules, 1 pool, 0 strikes)" in capsys.readouterr().out
    check(tmp_path, monkeypatch, "[tasks.t]\nfunctoin = 1\n")
    assert 'did you mean "function"?' in capsys.readouterr().err
    check(tmp_path, monkeypatch, SURPRISING)
    assert "warning:" in capsys.readouterr().err


def test_the_version_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert CliRunner().invoke(app, ["version"]).output == f"{__version__}\n"
    monkeypatch.setattr("sys.argv", ["docket-supervisor", "--version"])
    with pytest.raises(SystemExit) as ended:
        supervisor.main()
    assert (ended.value.code, capsys.readouterr().out) == (0, f"{__version__}\n")


def test_the_help_of_both_programs_looks_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["docket-supervisor", "--help"])
    with pytest.raises(SystemExit):
        supervisor.main()
    shown = capsys.readouterr().out
    assert "  --check " in shown
    assert "<bool>" not in shown
    assert "│" not in shown


def test_a_noun_is_loaded_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["docket", "server", "--help"])
    with pytest.raises(SystemExit):
        docket_main()
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("start", "stop", "status"))
