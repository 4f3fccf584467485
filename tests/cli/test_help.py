"""What ``docket`` says of itself, and what that costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import docket
from docket import programs
from docket.cli import COMMANDS, app, main

HEAVY = {
    "redis",
    "rich",
    "croniter",
    "opentelemetry",
    "uncalled_for",
    "cloudpickle",
    "msgpack",
    "asyncio",
    "docket.docket",
    "docket.worker",
}
VERBS = [
    *(
        ["strike"],
        ["restore"],
        ["clear"],
        ["snapshot"],
        ["watch"],
        ["worker"],
        ["doctor"],
        ["fsck"],
        ["audit"],
        ["events"],
    ),
    *(["workers"], ["workers", "ls"], ["workers", "for-task"]),
    *(["tasks"], ["tasks", "trace"], ["tasks", "fail"], ["tasks", "sleep"]),
    *(["task"], ["task", "ls"], ["task", "get"], ["task", "add"], ["task", "cancel"]),
    *(["queue"], ["queue", "ls"], ["strikes", "ls"], ["dead", "ls"], ["dead", "show"]),
    *(["schedule", verb] for verb in ("ls", "show", "next", "pause", "resume", "trigger")),
    *(["schedule", verb] for verb in ("skip-next", "backfill")),
    *(["parked", "ls"], ["parked", "release"], ["server"], ["server", "start"]),
]


def _type(*words: str) -> Result:
    return CliRunner().invoke(app, words, prog_name="docket")


LOADED = """
import json, os, sys

from docket.cli import main

for words in json.loads(sys.argv[1]):
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert status == 0, words
        continue
    sys.argv = ["docket", *words]
    with open(os.devnull, "w") as nowhere:
        sys.stdout = nowhere
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, ended.code
    print(json.dumps(sorted(sys.modules)), file=sys.__stdout__, flush=True)
    os._exit(0)
"""
"""One interpreter for all commands, and a fork of it for each, which prints the modules that it ends with."""


def _loaded_by(*commands: list[str]) -> list[set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(commands)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


def test_help_lists_every_command_without_loading_one() -> None:
    (loaded,) = _loaded_by(["--help"])

    assert loaded & {*HEAVY, "pydantic"} == set()
    assert {
        f"docket.cli.{home.partition(':')[0]}" for home, _ in COMMANDS.values()
    } & loaded == set()
    shown = _type("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name}" in shown
        assert summary in " ".join(shown.split())


@pytest.mark.thorough
def test_help_of_a_command_loads_nothing_heavy() -> None:
    loaded = _loaded_by(*([*words, "--help"] for words in VERBS))

    assert len(loaded) == len(VERBS)
    heavy = [" ".join(words) for words, there in zip(VERBS, loaded, strict=True) if there & HEAVY]
    assert heavy == []


@pytest.mark.parametrize("words", [*VERBS, ["status"], ["reload"], ["dev"]], ids=" ".join)
def test_help_of_a_command_says_how_it_is_called(words: list[str]) -> None:
    shown = _type(*words, "--help").stdout

    assert shown.startswith(f"Usage: docket {' '.join(words)} ")


@pytest.mark.parametrize(
    "noun", ["workers", "tasks", "task", "queue", "strikes", "dead", "parked", "schedule"]
)
def test_a_noun_without_a_verb_shows_its_help(noun: str) -> None:
    assert f"Usage: docket {noun} " in _type(noun).output


def test_docket_without_a_command_shows_its_help() -> None:
    assert "Look after a docket." in _type().output


def test_version_prints_the_version() -> None:
    assert _type("version").stdout == f"{docket.__version__}\n"
    assert _type("--version").stdout == f"{docket.__version__}\n"


@pytest.mark.parametrize(
    "program",
    [[str(Path(sys.executable).parent / "docket")], [sys.executable, "-m", "docket"]],
    ids=["docket", "python -m docket"],
)
def test_docket_and_python_m_docket_are_the_same_program(program: list[str]) -> None:
    done = subprocess.run([*program, "version"], capture_output=True, text=True, check=True)

    assert done.stdout == f"{docket.__version__}\n"


def test_importing_the_program_does_not_run_it() -> None:
    assert importlib.import_module("docket.__main__").docket is programs.docket


def test_a_command_that_is_mistyped_exits_2_and_says_what_may_have_been_meant() -> None:
    done = _type("snapsot")

    assert done.exit_code == 2
    assert "No such command 'snapsot'. Did you mean 'snapshot'?" in done.stderr


def test_main_is_the_entry_point(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["docket", "version"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{docket.__version__}\n"
