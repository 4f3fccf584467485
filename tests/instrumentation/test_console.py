"""What log messages look like."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from docket.instrumentation.console import set_up_logging, set_up_worker_logging


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_plain_lines_tell_when_what_who(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "plain")
    logging.getLogger("docket.test").info("something happened")
    logging.getLogger("docket.test").debug("not this")

    (line,) = capsys.readouterr().err.splitlines()
    assert "INFO" in line
    assert line.endswith("docket.test  something happened")


def test_json_lines_can_be_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning", "json")
    try:
        raise ValueError("no good")
    except ValueError:
        logging.getLogger("docket.test").exception("it failed for %s", "Jürgen")

    fields = json.loads(capsys.readouterr().err)
    assert (fields["level"], fields["logger"], fields["message"]) == (
        "error", "docket.test", "it failed for Jürgen",
    )  # fmt: skip
    assert "ValueError: no good" in fields["exception"]


def test_a_terminal_gets_colours_and_a_file_gets_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_logging("info", "auto")
    logging.getLogger("docket.test").info("to a file")
    assert "docket.test" in capsys.readouterr().err

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    set_up_logging("info", "auto")
    logging.getLogger("docket.test").info("to a terminal")
    assert "to a terminal" in capsys.readouterr().err


def test_a_worker_of_its_own_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_worker_logging("info", "plain")
    logging.getLogger("docket.test").info("something happened")

    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[[-\d]+ [:\d]+\] INFO - docket.test - something happened", line)


def test_its_json_has_the_fields_of_pydocket(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_worker_logging("info", "json")
    logging.getLogger("docket.test").info("it works", extra={"order": 7}, stack_info=True)
    try:
        raise ValueError("no good")
    except ValueError:
        logging.getLogger("docket.test").exception("it failed")

    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert good.pop("asctime")
    assert good.pop("stack_info").startswith("Stack (most recent call last)")
    assert good == {
        "name": "docket.test", "levelname": "INFO", "message": "it works", "exc_info": None, "order": 7,
    }  # fmt: skip
    assert bad["levelname"] == "ERROR"
    assert bad["exc_info"].endswith("ValueError: no good")


def test_the_watcher_of_files_is_quiet() -> None:
    set_up_logging("debug", "plain")

    assert logging.getLogger("watchfiles").level == logging.WARNING


def test_a_standard_error_that_a_task_has_closed_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    set_up_logging("info", "plain")
    closed.close()

    logging.getLogger("docket.test").info("heard by nobody")


FORGED = "line one\n2026-01-01 00:00:00,000 CRITICAL 1 docket  forged\x1b]0;pwned\x07\x9b2J"


@pytest.mark.parametrize("form", ["plain", "json", "rich"])
def test_what_an_error_says_steers_no_terminal_and_forges_no_line(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    set_up_logging("info", form)
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("docket.test").exception("it failed: %s", FORGED)

    text = capsys.readouterr().err
    assert text.replace("\n", "").isprintable()
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())
    if form == "json":
        fields = json.loads(text)
        assert fields["message"] == f"it failed: {FORGED}"
