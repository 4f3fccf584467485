"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from docket.cli.terminal.output import Column, Form, distance, dump, moment, plain, show, show_one

from .conftest import Shell

COLUMNS = (
    Column("NAME", lambda item: item["name"]),
    Column("NOTE", lambda item: item["note"], is_wide=True),
)
ITEMS = [{"name": "one", "note": "x" * 200}, {"name": "t\x1bwo", "note": ""}]


def test_a_table_has_its_important_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show("things", ITEMS, COLUMNS, Form.TABLE)

    assert capsys.readouterr().out == "NAME\none\nt\\x1bwo\n"


def test_a_wide_table_has_all_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show("things", ITEMS, COLUMNS, Form.WIDE)

    header, first, second = capsys.readouterr().out.splitlines()
    assert header == "NAME     NOTE"
    assert first == f"one      {'x' * 200}"
    assert second == "t\\x1bwo"


def test_json_says_its_version_and_what_it_lists(capsys: pytest.CaptureFixture[str]) -> None:
    show("things", ITEMS, COLUMNS, Form.JSON)

    assert json.loads(capsys.readouterr().out) == {"version": 1, "kind": "things", "items": ITEMS}


def test_jsonl_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show("things", ITEMS, COLUMNS, Form.JSONL)

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ITEMS


def test_an_empty_list_is_a_note_for_people_and_a_document_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show("things", [], COLUMNS, Form.TABLE)
    assert capsys.readouterr() == ("", "no things\n")

    show("things", [], COLUMNS, Form.JSON)
    assert json.loads(capsys.readouterr().out)["items"] == []


def test_one_thing_is_shown_a_field_a_line_without_the_empty_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_one("thing", {"name": "one", "worker": None, "error": "", "many": [1, 2]}, Form.TABLE)

    assert capsys.readouterr().out == "name  one\nmany  [1, 2]\n"


def test_moments_are_iso_texts_in_json_and_what_else_there_is_is_text() -> None:
    when = datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2)))

    assert json.loads(dump({"when": when, "price": Decimal("1.10")})) == {
        "when": "2026-07-01T12:00:00+00:00",
        "price": "1.10",
    }


def test_moments_are_told_by_their_distance() -> None:
    now = datetime.now(timezone.utc)

    assert distance(None) == moment(None) == ""
    assert distance(now) == "now"
    assert distance(now + timedelta(hours=1, seconds=0.3)) == "in 1h"
    assert distance(now - timedelta(seconds=90)) == "1m30s ago"


def test_what_would_steer_a_terminal_is_escaped() -> None:
    assert plain("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    assert plain("früh") == "früh"


@pytest.mark.fleet
@pytest.mark.parametrize(("environ", "is_bold"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_bold_titles_unless_it_wants_no_colour(
    shell: Shell, environ: dict[str, str], is_bold: bool
) -> None:
    shell.prints("tasks", "trace")

    code, shown = shell.on_terminal("task", "ls", COLUMNS="40", **environ)

    header, line = shown.splitlines()
    assert code == 0
    assert header.startswith("\x1b[1mKEY") is is_bold
    assert len(line) == 40
