"""``docket strike``, ``docket restore`` and ``docket strikes``."""

from __future__ import annotations

import getpass
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.foundation.lifecycle import Disposition
from docket.strikelist import Rule

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _rules(shell: Shell) -> list[Rule]:
    return shell.visit(lambda docket: docket.strikes())


def _disposition(shell: Shell, *args: Any) -> Disposition:
    async def add(docket: Docket) -> Disposition:
        return (await docket.add("greet")(*args)).disposition

    return shell.visit(add)


def test_strike_and_restore_take_function_parameter_operator_and_value(shell: Shell) -> None:
    words = ("greet", "times", ">=", "int:5", "--docket", shell.name, "--url", shell.url)
    struck = shell.program("strike", *words, DOCKET_NAME="another", DOCKET_URL="memory://")

    assert (struck.returncode, struck.stdout) == (
        0,
        f"Struck greet(times >= 5) in docket '{shell.name}'\n",
    )
    assert struck.stderr == "no worker knows a task greet\n"
    assert _disposition(shell, "Jane", 5) is Disposition.STRUCK
    assert _disposition(shell, "Jane", 4) is Disposition.SCHEDULED

    restored = shell.program("restore", *words)

    assert (restored.returncode, restored.stdout) == (
        0,
        f"Restored greet(times >= 5) in docket '{shell.name}'\n",
    )
    assert _disposition(shell, "Jane", 5) is Disposition.SCHEDULED


def test_strike_takes_a_star_for_any_function_and_a_bare_value_for_a_text(shell: Shell) -> None:
    shell.prints("strike", "*", "name", "==", "Jane")

    assert _disposition(shell, "Jane") is Disposition.STRUCK
    assert _disposition(shell, "John") is Disposition.SCHEDULED


def test_strike_takes_a_function_alone(shell: Shell) -> None:
    assert shell.prints("strike", "greet") == f"Struck greet() in docket '{shell.name}'\n"

    assert _disposition(shell, "Jane") is Disposition.STRUCK


def test_strike_between_two_values(shell: Shell) -> None:
    shell.prints("strike", "greet", "times", "between", "int:2,4")

    assert _disposition(shell, "Jane", 3) is Disposition.STRUCK
    assert _disposition(shell, "Jane", 5) is Disposition.SCHEDULED


@pytest.mark.parametrize("command", ["strike", "restore"])
@pytest.mark.parametrize("words", [(), ("*",), ("*", "*", "==", "int:5")])
def test_neither_function_nor_parameter_exits_2(
    shell: Shell, command: str, words: tuple[str, ...]
) -> None:
    done = shell.type(command, *words)

    assert done.exit_code == 2
    assert done.stderr == "Must provide either a function and/or a parameter\n"


@pytest.mark.parametrize("command", ["strike", "restore"])
def test_a_dotted_name_in_the_place_of_a_type_is_not_called(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "called"

    done = shell.program(command, "greet", "name", "==", f"os.system:touch {file}")

    assert done.returncode == 2
    assert "unknown type 'os.system'" in done.stderr
    assert not file.exists()
    assert _rules(shell) == []


def test_an_unknown_operator_exits_2(shell: Shell) -> None:
    done = shell.type("strike", "greet", "name", "=", "Jane")

    assert done.exit_code == 2
    assert "'=='" in done.stderr


def test_a_strike_tells_why_by_whom_and_how_long(shell: Shell) -> None:
    shell.prints("strike", "greet", "--reason", "too loud", "--for", "1h", "--park")

    (rule,) = _rules(shell)

    assert (rule.reason, rule.author, rule.action) == ("too loud", getpass.getuser(), "park")
    assert rule.expires is not None
    assert rule.since is not None
    assert (rule.expires - rule.since).total_seconds() == 3600


def test_a_strike_may_put_off_what_it_hits(shell: Shell) -> None:
    shell.prints("strike", "greet", "--delay", "15m")

    (rule,) = _rules(shell)
    assert (rule.action, rule.delay) == ("delay", timedelta(minutes=15))
    assert "delay 15m" in shell.prints("strikes", "ls")


def test_a_strike_does_not_keep_and_put_off(shell: Shell) -> None:
    done = shell.type("strike", "greet", "--delay", "15m", "--park")

    assert (done.exit_code, _rules(shell)) == (2, [])
    assert "one of the two" in done.stderr


def test_a_strike_may_be_in_the_name_of_somebody_else(shell: Shell) -> None:
    shell.prints("strike", "greet", "--author", "the night shift")

    assert [rule.author for rule in _rules(shell)] == ["the night shift"]


def test_a_strike_says_what_may_have_been_meant_by_a_task_that_nobody_knows(shell: Shell) -> None:
    done = shell.type("strike", "trac")

    assert done.exit_code == 0
    assert done.stderr == "no worker knows a task trac; did you mean trace?\n"


def test_a_dry_run_counts_what_a_strike_would_hit_and_strikes_nothing(shell: Shell) -> None:
    shell.prints("tasks", "trace", "one")
    shell.prints("tasks", "trace", "two", "--delay", "1h")
    _disposition(shell, "Jane")

    whole = shell.prints("strike", "trace", "--dry-run")
    some = shell.prints("strike", "*", "name", "==", "Jane", "--dry-run")

    place = f"in docket '{shell.name}': "
    assert whole == (
        f"Would strike trace() {place}1 scheduled, 1 queued, 0 running (those go on)\n"
    )
    assert some == (
        f"Would strike *(name == 'Jane') {place}0 scheduled, 0 queued, 0 running (those go on); "
        "1 more have arguments that cannot be read here\n"
    )
    assert _rules(shell) == []


def test_restore_tells_what_is_struck_if_that_was_not(shell: Shell) -> None:
    nothing = shell.prints("restore", "greet")
    shell.prints("strike", "greet", "times", "==", "int:5")
    another = shell.prints("restore", "greet", "times", "==", "5")

    said = f"was not struck in docket '{shell.name}'; struck are:"
    assert nothing == f"greet() {said} nothing\n"
    assert another == f"greet(times == '5') {said} greet(times == 5)\n"


def test_strikes_are_listed(shell: Shell) -> None:
    assert shell.type("strikes", "ls").stderr == "no strikes\n"
    shell.prints("strike", "greet", "times", "==", "int:5", "--reason", "too loud")

    header, line = shell.prints("strikes", "ls").splitlines()
    listed = json.loads(shell.prints("strikes", "ls", "-o", "json"))

    assert header.split() == ["STRUCK", "ACTION", "REASON", "AUTHOR", "SINCE", "ENDS"]
    assert line.startswith("greet(times == 5)  drop    too loud")
    (item,) = listed.pop("items")
    assert listed == {"version": 1, "kind": "strikes"}
    assert item["task"] == "greet"
    assert item["conditions"] == [{"parameter": "times", "operator": "==", "value": "5"}]
