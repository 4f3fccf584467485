"""``docket dead``."""

from __future__ import annotations

import json
import re

import pytest

from docket import Docket
from docket.cli.terminal.errors_alike import alike

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _break_down(shell: Shell, *keys: str) -> None:
    async def add(docket: Docket) -> None:
        for key in keys:
            await docket.add("break_down", key=key)()

    shell.visit(add)
    shell.work()


def test_dead_letters_are_listed_the_last_one_first(shell: Shell) -> None:
    _break_down(shell, "one")
    _break_down(shell, "two")
    shell.prints("tasks", "trace")
    shell.work()

    done = shell.program("dead", "ls", "-o", "jsonl")

    dead = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [(one["key"], one["task"], one["error"]) for one in dead] == [
        ("two", "break_down", "RuntimeError: the till is empty"),
        ("one", "break_down", "RuntimeError: the till is empty"),
    ]
    assert shell.prints("dead", "ls").splitlines()[0].split() == ["KEY", "TASK", "DIED", "ERROR"]


def test_dead_letters_are_counted_by_their_error(shell: Shell) -> None:
    _break_down(shell, "one", "two")
    shell.prints("tasks", "fail")
    shell.work()

    document = json.loads(shell.prints("dead", "ls", "--group", "error", "-o", "json"))
    table = shell.prints("dead", "ls", "--group", "error", "--task", "break_down")

    assert document["kind"] == "errors"
    assert [(one["count"], one["task"]) for one in document["items"]] == [
        (2, "break_down"),
        (1, "fail"),
    ]
    assert table.splitlines()[0].split() == ["COUNT", "TASK", "FIRST", "LAST", "ERROR"]
    assert len(table.splitlines()) == 2
    assert alike("E: order 17 at 0xFF00 of 01234567-89ab-cdef-0123-456789abcdef") == (
        "E: order # at # of #"
    )


def test_what_a_bulk_retry_has_not_begun_is_taken_back(shell: Shell) -> None:
    _break_down(shell, "one", "two")

    done = shell.type("dead", "retry", "--task", "break_down", "--yes")
    (deed,) = re.findall(r"--deed (\S+)`", done.stderr)
    back = shell.prints("task", "cancel", "--deed", deed, "--yes")

    assert back.startswith("Cancelled 2 executions")


def test_dead_letters_are_listed_by_task(shell: Shell) -> None:
    _break_down(shell, "one")

    assert "one" in shell.prints("dead", "ls", "--task", "break_down")
    assert shell.type("dead", "ls", "--task", "trace").stderr == "no dead letters\n"


def test_a_dead_letter_is_shown_with_its_traceback(shell: Shell) -> None:
    _break_down(shell, "one")

    shown = shell.prints("dead", "show", "one")
    document = json.loads(shell.prints("dead", "show", "one", "-o", "json"))

    assert "error         RuntimeError: the till is empty\n" in shown
    assert "\n\nTraceback (most recent call last):\n" in shown
    assert "shop.py" in shown
    assert document["kind"] == "dead letter"
    assert document["item"]["traceback"].startswith("Traceback (most recent call last):")


def test_a_dead_letter_without_its_error_is_shown_without_a_traceback(shell: Shell) -> None:
    _break_down(shell, "one")

    async def forget(docket: Docket) -> None:
        async with docket.redis() as client:
            await client.delete(docket.key("results:one"))

    shell.visit(forget)

    assert "Traceback" not in shell.prints("dead", "show", "one")


def test_what_is_not_dead_exits_3(shell: Shell) -> None:
    key = shell.prints("tasks", "trace").split("'")[1]

    nobody, alive = shell.type("dead", "show", "nobody"), shell.type("dead", "show", key)

    assert (nobody.exit_code, alive.exit_code) == (3, 3)
    assert f"expected a dead letter 'nobody' in docket '{shell.name}', found nothing; " in (
        nobody.stderr
    )
    assert "found one that is queued; " in alive.stderr


def test_a_dead_letter_is_retried_by_its_key(shell: Shell) -> None:
    _break_down(shell, "one", "two")

    told = shell.prints("dead", "retry", "one", "--reason", "INC-12", "--author", "ann")
    item = json.loads(shell.prints("task", "get", "one", "-o", "json"))["item"]

    assert told == "Retried 1 dead letter\n"
    assert item["state"] == "queued"
    assert [(one["author"], one["why"]) for one in item["retries"]] == [("ann", "INC-12")]
    assert [*map(_key, shell.prints("dead", "ls", "-o", "jsonl").splitlines())] == ["two"]


def _key(line: str) -> str:
    return json.loads(line)["key"]


def test_dead_letters_are_retried_by_task_error_and_age(shell: Shell) -> None:
    _break_down(shell, *(f"k{number}" for number in range(8)))

    for words in (("--task", "other"), ("--error", "no till"), ("--since", "0s")):
        assert shell.prints("dead", "retry", *words, "--yes") == "Retried 0 dead letters\n"
    none = shell.type("dead", "retry", "--task", "other", "--dry-run")
    assert none.stderr == f"Would retry 0 dead letters of docket {shell.name!r}\n"
    dry = shell.type("dead", "retry", "--task", "break_down", "--dry-run")
    assert dry.stdout == ""
    assert dry.stderr.startswith(f"Would retry 8 dead letters of docket {shell.name!r}\n")
    assert dry.stderr.endswith("and 3 more\n")
    words = ("--task", "break_down", "--error", "the till", "--since", "1h")
    unasked = shell.type("dead", "retry", *words)
    assert unasked.exit_code == 2
    assert "expected --yes, as no terminal can be asked" in unasked.stderr
    told = shell.prints("dead", "retry", *words, "--rate", "40/s", "--yes")

    assert told == "Retried 8 dead letters\n"


def test_an_argument_is_changed_by_its_name(shell: Shell) -> None:
    _break_down(shell, "one")

    refused = shell.type("dead", "retry", "one", "--set", "colour=red")

    assert refused.exit_code == 4
    assert "Retried 0 dead letters, and left 1 dead letter alone" in refused.stderr
    assert "one: no worker says what break_down can be called with" in refused.stderr


def test_what_is_not_retried_is_named(shell: Shell) -> None:
    _break_down(shell, "one")

    some, none = shell.type("dead", "retry", "one", "nobody"), shell.type("dead", "retry", "nobody")
    again = shell.type("dead", "retry", "one")

    assert (some.exit_code, none.exit_code, again.exit_code) == (6, 3, 4)
    assert "nobody: there is no such execution" in some.stderr
    assert "one: it is not a dead letter, it is queued" in again.stderr


def test_a_struck_dead_letter_is_left_alone(shell: Shell) -> None:
    _break_down(shell, *(f"k{number}" for number in range(7)))
    shell.prints("strike", "break_down")

    refused = shell.type("dead", "retry", "--task", "break_down", "--yes")

    assert refused.exit_code == 4
    assert "a strike on its task keeps it" in refused.stderr
    assert refused.stderr.endswith("and 2 more\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "expected which dead letters are meant"),
        (("one", "--task", "t"), "found both; give one kind"),
        (("one", "--set", "amount"), "expected NAME=VALUE such as amount=int:5"),
        (("one", "--rate", "often"), "expected a rate such as 10/s or 30/m, found 'often'"),
        (("one", "--rate", "0/s"), "expected a rate such as 10/s"),
        (("one", "--rate", "1/y"), "expected a rate such as 10/s"),
    ],
)
def test_a_retry_that_has_no_meaning_is_refused(
    shell: Shell, words: tuple[str, ...], expected: str
) -> None:
    refused = shell.type("dead", "retry", *words)

    assert refused.exit_code == 2
    assert expected in refused.stderr


def test_dead_letters_are_discarded(shell: Shell) -> None:
    _break_down(shell, "one", "two")

    code, asked = shell.on_terminal("dead", "discard", "--task", "break_down", typed="n\n")
    assert code == 4
    assert "This would discard 2 dead letters" in asked
    assert (
        "2 dead letters"
        in shell.type("dead", "discard", "--task", "break_down", "--dry-run").output
    )
    shell.prints("dead", "discard", "one")
    shell.prints("dead", "discard", "--task", "break_down", "--yes")

    assert shell.type("dead", "ls").stderr == "no dead letters\n"
