from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docket.foundation.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("0.5ms", timedelta(microseconds=500)),
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("2w1d", timedelta(days=15)),
        ("45", timedelta(seconds=45)),
        ("0.25", timedelta(milliseconds=250)),
        ("5:00", timedelta(minutes=5)),
        ("90:00", timedelta(minutes=90)),
        ("1:30:00", timedelta(minutes=90)),
        (" 1s ", timedelta(seconds=1)),
    ],
)
def test_reads_every_notation(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "s", "5 m", "-5s", "5x", "1h 30m", "5:7", "5:75", "1:90:00", "1e3", "inf", "1.s", "٣s"],
)
def test_says_what_a_duration_looks_like_when_a_text_is_none(text: str) -> None:
    with pytest.raises(ValueError, match='expected a duration such as "500ms"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9999999999d", "9" * 400, "9" * 400 + ":00", "9" * 5000 + "w"])
def test_refuses_what_is_longer_than_python_can_tell(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration of at most 999999999d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(microseconds=1), "0.001ms"),
        (timedelta(milliseconds=1), "1ms"),
        (timedelta(milliseconds=100), "100ms"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(days=15), "15d"),
        (timedelta(seconds=-90), "-1m30s"),
    ],
)
def test_writes_a_duration_in_the_largest_units(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@given(st.timedeltas(min_value=timedelta()))
def test_reads_exactly_what_it_has_written(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_reads_any_text_as_a_duration_or_refuses_it_with_a_value_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert duration >= timedelta()
