"""Times in ms and in Python's types: one module converts, in both directions."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import docket
from docket.foundation.units import (
    from_due,
    from_milliseconds,
    from_time,
    milliseconds,
    to_due,
    to_milliseconds,
)

MOMENT = datetime(2026, 11, 28, 12, 0, 0, 1_001, tzinfo=timezone.utc)
EXACT = 1_795_867_200_001
SECOND_CONVERTERS = re.compile(
    r"timedelta\(milliseconds=1\)|seconds\) ?\* ?1000|seconds \* 1000 \+"
)


def test_a_moment_is_rounded_up_so_that_nothing_falls_due_before_its_time() -> None:
    assert to_milliseconds(MOMENT) == EXACT + 1
    assert to_milliseconds(MOMENT.replace(microsecond=1_000)) == EXACT
    assert from_milliseconds(EXACT) == MOMENT.replace(microsecond=1_000)


def test_a_due_time_keeps_its_microseconds_only_where_it_has_some() -> None:
    due, exact = to_due(MOMENT)
    assert from_due(due, exact) == MOMENT
    assert to_due(MOMENT.replace(microsecond=1_000)) == (EXACT, "")
    assert to_due(datetime(1969, 1, 1, tzinfo=timezone.utc))[0] == 1


@pytest.mark.parametrize(
    ("unix", "moment"),
    [
        (b"1500", datetime(1970, 1, 1, 0, 0, 1, 500_000, timezone.utc)),
        ("inf", datetime.max.replace(tzinfo=timezone.utc)),
        (float("-inf"), datetime.min.replace(tzinfo=timezone.utc)),
    ],
)
def test_what_redis_replies_is_a_moment_within_the_calendar(
    unix: bytes | str | float, moment: datetime
) -> None:
    assert from_milliseconds(unix) == moment


def test_the_reply_to_time_has_seconds_and_microseconds() -> None:
    assert from_time([b"1500", b"2999"]) == 1_500_002


def test_a_duration_has_whole_milliseconds() -> None:
    assert milliseconds(timedelta(seconds=1, microseconds=1_999)) == 1_001


def test_no_other_module_converts() -> None:
    package = Path(docket.__file__).parent
    files = [
        file for file in package.rglob("*.py") if file.name not in ("units.py", "durations.py")
    ]
    assert files
    assert [file for file in files if SECOND_CONVERTERS.search(file.read_text("utf-8"))] == []
