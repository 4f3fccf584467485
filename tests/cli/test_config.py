"""``docket config``: what a file says, and what a change of it would do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docket.cli import main
from docket.cli.commands import supervisor

GOOD = '[tasks.t]\nfunction = "work:f"\n'
SURPRISING = GOOD + 'queue = "nobody\'s"\n'
SCHEDULED = (
    GOOD
    + '[schedules.nightly]\ntask = "t"\ncron = "30 2 * * *"\ntimezone = "Europe/Paris"\n'
    + '[schedules.often]\ntask = "t"\nevery = "1h"\nphase = "5m"\n'
)


class Here:
    """A directory with a docket.toml, and commands that are typed in it."""

    def __init__(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.path = path
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def write(self, text: str, name: str = "docket.toml") -> None:
        """Write a file."""
        (self.path / name).write_text(text)

    def type(self, *words: str) -> tuple[int, str, str]:
        """The exit code of ``docket config``, and what it wrote."""
        self._monkeypatch.setattr("sys.argv", ["docket", "config", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        written = self._capsys.readouterr()
        return int(stopped.value.code or 0), written.out, written.err


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (GOOD, (), 0),
        (GOOD, ("--strict",), 0),
        ("[tasks.t]\nfunctoin = 1\n", (), 7),
        (None, (), 2),
        (SURPRISING, (), 0),
        (SURPRISING, ("--strict",), 9),
        (GOOD, ("--probe",), 7),
        (GOOD, ("--config", "docket.toml", "--config", "gone.toml"), 2),
        (GOOD, ("--profile", "gone"), 7),
        (GOOD, ("--set", "tasks.t.timeout=soon"), 7),
        (GOOD, ("--format", "xml"), 2),
    ],
)
def test_a_check_says_by_its_exit_code_what_is_wrong(
    here: Here, text: str | None, options: tuple[str, ...], code: int
) -> None:
    if text is not None:
        here.write(text)
    assert here.type("check", *options)[0] == code


def test_a_check_tells_people_on_the_side_and_programs_on_the_output(here: Here) -> None:
    here.write(SURPRISING)
    _, out, err = here.type("check")
    assert out == "docket.toml: valid (1 task, 0 schedules, 1 pool, 0 strikes)\n"
    assert err.startswith("warning: docket.toml:3:9: tasks.t.queue: ")
    _, out, err = here.type("check", "--format", "json")
    assert json.loads(out)["problems"][0]["severity"] == "warning"
    here.write("nmae = 1\n")
    _, out, err = here.type("check", "--format", "github")
    assert out.startswith("::error file=docket.toml,line=1,col=1,title=nmae::unknown key")
    assert err == ""


def test_a_check_with_a_probe_imports_the_code(here: Here) -> None:
    here.write(GOOD)
    here.write("def f(): ...\n", "work.py")
    assert here.type("check", "--probe")[0] == 0


def test_the_supervisor_checks_the_same_way(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here.write(GOOD)
    here.write("[tasks.t]\ntimeout = 5\n", "over.toml")
    words = ["--check", "--format", "json", "--config", "docket.toml", "--config", "over.toml"]
    monkeypatch.setattr("sys.argv", ["docket-supervisor", *words])
    with pytest.raises(SystemExit) as stopped:
        supervisor.main()
    assert stopped.value.code == 7
    assert json.loads(capsys.readouterr().out)["problems"][0]["file"] == "over.toml"


def test_show_lists_every_value_and_on_demand_its_origin(here: Here) -> None:
    here.write(GOOD)
    code, out, _ = here.type("show")
    assert code == 0
    assert 'tasks.t.queue = "default"\n' in out
    _, out, _ = here.type("show", "--origins", "--changed", "--set", "name=x")
    assert out.splitlines() == [
        'name = "x"                     # --set name',
        'tasks.t.function = "work:f"    # docket.toml:2',
    ] or out.splitlines() == [
        'name = "x"                   # --set name',
        'tasks.t.function = "work:f"  # docket.toml:2',
    ]
    _, out, _ = here.type("show", "--changed", "-o", "json")
    assert json.loads(out) == {
        "version": 1,
        "kind": "values",
        "items": [{"path": "tasks.t.function", "value": "work:f", "origin": "docket.toml:2"}],
    }
    here.write("version = 1\n")
    assert here.type("show", "--set", "version=1")[0] == 0


def test_a_configuration_that_can_not_be_used_is_not_shown(here: Here) -> None:
    here.write("nmae = 1\n")
    code, out, err = here.type("show")
    assert (code, out) == (7, "")
    assert 'did you mean "name"?' in err


def test_explain_says_what_a_key_is(here: Here) -> None:
    here.write(GOOD)
    code, out, _ = here.type("explain", "tasks.t.function")
    assert code == 0
    assert 'here:     tasks.t.function = "work:f"  # docket.toml:2' in out


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("tasks.t.functoin", "did you mean tasks.t.function?"),
        ("qqqqqqqqqqqqqqq", "docket config show lists what there is"),
        ("no path", "docket config show lists what there is"),
    ],
)
def test_explain_asks_what_was_meant(here: Here, path: str, advice: str) -> None:
    here.write(GOOD)
    code, _, err = here.type("explain", path)
    assert code == 3
    assert err == f"{path}: there is no such key; {advice}\n"


CODE = """
from datetime import timedelta
from typing import Annotated
from docket import ConcurrencyLimit, ExponentialRetry, Timeout

async def f(
    customer: Annotated[str, ConcurrencyLimit(3)],
    retry: ExponentialRetry = ExponentialRetry(attempts=3),
    timeout: Timeout = Timeout(timedelta(seconds=5)),
): ...
"""


def test_explain_says_what_the_code_declares_and_which_of_the_two_counts(
    here: Here, tmp_path: Path
) -> None:
    (tmp_path / "declaring_code.py").write_text(CODE)
    here.write('[tasks.t]\nfunction = "declaring_code:f"\ntimeout = "7s"\n')

    _, whole, _ = here.type("explain", "tasks.t")
    _, retry, _ = here.type("explain", "tasks.t.retry")
    _, other, _ = here.type("explain", "tasks.t.queue")

    assert whole.splitlines()[-3:] == [
        "  code:     Timeout; the file says timeout as well, and wins",
        "  code:     ExponentialRetry; the file says no retry, so it holds",
        "  code:     ConcurrencyLimit; the file says no concurrency, so it holds",
    ]
    assert "code:     ExponentialRetry" in retry
    assert "Timeout" not in retry
    assert "code:" not in other


def test_explain_says_when_the_code_can_not_be_imported(here: Here) -> None:
    here.write('[tasks.t]\nfunction = "nowhere:f"\n[tasks.c]\ncommand = ["true"]\n')

    code, out, _ = here.type("explain", "tasks.t")
    _, command, _ = here.type("explain", "tasks.c")

    assert code == 0
    assert "code:     nowhere:f cannot be imported: ModuleNotFoundError" in out
    assert "code:" not in command


def test_explain_has_nothing_to_say_of_code_where_there_is_none(here: Here) -> None:
    here.write(GOOD)
    code, out, _ = here.type("explain", "supervisor.listen")
    assert code == 0
    assert "code:" not in out


def test_the_schema_is_printed(here: Here) -> None:
    _, out, _ = here.type("schema")
    assert json.loads(out)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_init_writes_a_file_that_is_valid_and_replaces_none(here: Here) -> None:
    assert here.type("init")[0] == 0
    assert here.type("check", "--strict")[0] == 0
    code, _, err = here.type("init")
    assert (code, err) == (4, "docket.toml is there already; --force replaces it\n")
    here.write("")
    assert here.type("init", "--force")[0] == 0
    assert here.type("init", "gone/docket.toml")[0] == 4
    commented = (here.path / "docket.toml").read_text()
    here.write(
        "\n".join(
            line.removeprefix("# ") for line in commented.splitlines() if line[:3] != "# W"
        ).replace("refused, and", "# ")
    )
    assert here.type("check")[0] == 0


def test_a_plan_without_a_base_is_that_of_a_first_start(here: Here) -> None:
    here.write(GOOD)
    code, out, _ = here.type("plan")
    assert code == 0
    assert out.splitlines() == [
        "tasks.t: added (pools roll)",
        "workers.default: added (workers start)",
        "2 changes",
    ]


def test_a_plan_shows_when_schedules_fire_before_and_after(here: Here) -> None:
    here.write(SCHEDULED, "old.toml")
    here.write(SCHEDULED.replace("30 2", "45 3").replace('"5m"', '"6m"\npaused = true'))
    code, out, _ = here.type("plan", "--base", "old.toml", "-o", "json")
    assert code == 0
    plan = json.loads(out)["item"]
    assert plan["verdict"] == "changes"
    nightly, often = plan["schedules"]
    assert len(nightly["before"]) == len(nightly["after"]) == 5
    assert all("T02:30:00+0" in time for time in nightly["before"])
    assert all("T03:45:00+0" in time for time in nightly["after"])
    assert all(":05:00+00:00" in time for time in often["before"])
    assert often["after"] == []
    _, out, _ = here.type("plan", "--base", "old.toml")
    assert 'schedules.nightly.cron: "30 2 * * *" → "45 3 * * *" (schedules reconciled)' in out
    assert "schedules.often fires next\n  before: 20" in out
    assert "  after:  never\n" in out


def test_a_schedule_that_fires_once_has_one_time(here: Here) -> None:
    here.write(GOOD + '[schedules.once]\ntask = "t"\nat = 2999-12-24T18:00:00+01:00\n')
    _, out, _ = here.type("plan")
    assert "  before: never\n  after:  2999-12-24T17:00:00+00:00\n" in out


def test_another_zone_of_the_docket_touches_every_schedule(here: Here) -> None:
    here.write(SCHEDULED, "old.toml")
    here.write('timezone = "Asia/Tokyo"\n' + SCHEDULED)
    _, out, _ = here.type("plan", "--base", "old.toml")
    assert out.count("fires next") == 2
    assert out.endswith("1 change\n")


@pytest.mark.parametrize(
    ("new", "code", "words"),
    [
        (SCHEDULED, 0, "unchanged: both mean the same"),
        (GOOD + "timeout = '5s'\n" + SCHEDULED.removeprefix(GOOD), 2, "1 change"),
        ("name = 'b'\n" + SCHEDULED, 1, "would be refused: name cannot change while everything"),
        ("timezone = 'UTC'\n", 1, "would be refused: removes 3 of 4 tasks, schedules and pools"),
        ("nmae = 1\n", 1, ""),
    ],
)
def test_a_detailed_exit_code_tells_changes_from_none_and_from_what_can_not_be(
    here: Here, new: str, code: int, words: str
) -> None:
    here.write(SCHEDULED, "old.toml")
    here.write(new)
    found, out, err = here.type("plan", "--base", "old.toml", "--detailed-exitcode")
    assert found == code
    assert words in out
    assert bool(err) == (not words)


def test_a_plan_of_what_can_not_be_used_is_told_as_everywhere(here: Here) -> None:
    here.write("nmae = 1\n")
    assert here.type("plan")[0] == 7


def test_an_edit_that_has_no_effect_is_in_the_plan(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKET_TASKS__T__TIMEOUT", "9s")
    here.write(GOOD + "timeout = '5s'\n", "old.toml")
    here.write(GOOD + "timeout = '6s'\n")
    _, out, _ = here.type("plan", "--base", "old.toml")
    assert out.splitlines() == [
        "tasks.t.timeout: the edit has no effect: DOCKET_TASKS__T__TIMEOUT says otherwise (shadowed)",
        "unchanged: both mean the same",
    ]
