"""Texts of errors are there, bounded, and put the cause first."""

from __future__ import annotations

import logging
from typing import NoReturn

import pytest

from docket.annotations import Logged
from docket.dependencies.resolution import ExceptionGroup
from docket.foundation.error_text import LONGEST, cut, is_unwieldy, line_of, message_of
from docket.instrumentation.events import Observer, Observers
from docket.instrumentation.logs import WorkerLog


class Mute(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit(1)

    @property
    def exceptions(self) -> NoReturn:
        raise KeyboardInterrupt


def test_a_text_that_is_too_long_ends_with_how_much_was_cut() -> None:
    assert cut("short") == "short"
    assert cut("x" * LONGEST) == "x" * LONGEST
    shortened = cut("x" * 1_000_000)
    assert len(shortened.encode()) <= LONGEST
    assert shortened.endswith("of 1000000 characters]")
    assert len(cut("ä" * LONGEST).encode()) <= LONGEST
    assert len(cut("\ud800" * LONGEST).encode()) <= LONGEST
    assert len(cut("x" * 1000, 100)) <= 100


def test_half_a_character_is_shown_by_its_number() -> None:
    assert cut("a\ud800b") == "a\\ud800b"


def test_an_error_that_cannot_speak_is_told_of() -> None:
    assert message_of(Mute()) == "<not printable: SystemExit>"
    assert line_of(Mute()) == "Mute: <not printable: SystemExit>"


def test_the_cause_of_a_group_comes_first() -> None:
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("why")]), KeyError("x")])
    assert line_of(group) == ("ValueError: why (ExceptionGroup: outer (2 sub-exceptions))")


def test_what_only_looks_like_a_group_is_none() -> None:
    class Pretends(Exception):
        exceptions = 5

    assert line_of(Pretends("no")) == "Pretends: no"


def test_a_group_without_a_bottom_has_a_line_all_the_same() -> None:
    class Endless(Exception):
        @property
        def exceptions(self) -> tuple[Exception, ...]:
            return (self,)

    endless = Endless("again")
    assert line_of(endless) == "Endless: again"
    assert not is_unwieldy(endless)


@pytest.mark.parametrize("text", ["x" * (LONGEST + 1), "\ud800"])
def test_an_error_that_says_too_much_is_logged_in_one_line(
    caplog: pytest.LogCaptureFixture, text: str
) -> None:
    error = RuntimeError("on top")
    error.__cause__ = ValueError(text)
    assert is_unwieldy(error)
    with caplog.at_level(logging.ERROR):
        WorkerLog().failed("task", lambda: "task()", error, None)
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == (
        "↩ task() failed for good: RuntimeError: on top",
        None,
    )


def test_an_argument_that_cannot_be_shown_does_not_stop_what_is_logged() -> None:
    class Shy:
        def __repr__(self) -> NoReturn:
            raise RuntimeError

    assert Logged().format(Shy()) == "<not printable: RuntimeError>"
    assert len(Logged().format("x" * 1_000_000)) <= LONGEST
    assert (repr(Logged()), repr(Logged(length_only=True))) == (
        "Logged()",
        "Logged(length_only=True)",
    )


def test_an_observer_that_fails_is_told_of_and_the_others_hear_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    class Fails(Observer):
        def recovered(self) -> None:
            raise ArithmeticError("an observer's own fault")

    class Hears(Observer):
        def recovered(self) -> None:
            heard.append("recovered")

    Observers([Fails(), Hears()]).recovered()

    assert heard == ["recovered"]
    assert "an observer's own fault" in caplog.text
