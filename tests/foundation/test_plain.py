"""Text from outside as it may be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from docket.foundation.plain import plain, plain_lines


def test_what_is_printable_stays_as_it_is() -> None:
    assert plain("Grüße, 世界 ≥ 0") == "Grüße, 世界 ≥ 0"


def test_escapes_and_line_breaks_are_shown_as_such() -> None:
    assert plain("a\x1b[2J\x07\r\n\x9b\u202e") == r"a\x1b[2J\x07\r\n\x9b\u202e"


def test_lines_stay_lines_and_those_that_follow_are_indented() -> None:
    assert plain_lines("a\r\n\tb\n\x1b\n", "  ") == "a\n          b\n  \\x1b\n  "


@given(st.text())
def test_nothing_in_it_steers_a_terminal(text: str) -> None:
    assert plain(text).isprintable()
    assert all(line.isprintable() for line in plain_lines(text).split("\n"))
