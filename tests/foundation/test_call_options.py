"""Options of a call are checked where it is made, and come back from its record as they were."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket.errors import InvalidName, InvalidOption
from docket.foundation.call_options import NO_OPTIONS, CallOptions, Options, with_priorities

MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678_000, timezone.utc)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "bulk", "priority": "high", "timeout": SECOND, "tags": ["a", "b"], "once": True},
        {"expires": SECOND, "once": timedelta(hours=1)},
        {"expires": MOMENT},
        {},
    ],
    ids=str,
)
def test_a_record_keeps_them_as_they_were_given(options: Options) -> None:
    checked = CallOptions.of(options)

    assert CallOptions.read(checked.text) == checked
    assert bool(checked.text) == bool(options)


@pytest.mark.parametrize(
    ("options", "lane"),
    [
        ({}, ""),
        ({"queue": "bulk"}, "bulk"),
        ({"queue": "default"}, "default"),
        ({"priority": "low"}, "/low"),
        ({"queue": "bulk", "priority": "high"}, "bulk/high"),
        ({"queue": "bulk", "priority": "normal"}, "bulk"),
    ],
)
def test_queue_and_priority_say_where_it_waits(options: Options, lane: str) -> None:
    assert CallOptions.of(options).lane == lane


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": 5}, "expected the name of a queue, found 5"),
        ({"priority": 10}, 'expected the priority "high", "normal" or "low", found 10'),
        ({"expires": datetime(2030, 1, 1)}, "expected an aware datetime as expires"),
        (
            {"expires": timedelta()},
            "expected an aware datetime, or a timedelta of 1 ms or more as exp",
        ),
        ({"timeout": 5}, "expected a timedelta of 1 ms or more as timeout, found 5"),
        ({"tags": "urgent"}, "expected a list of tags, found 'urgent'"),
        ({"tags": ["x" * 65]}, "expected printable tags of at most 64 bytes"),
        ({"tags": [5]}, "expected printable tags"),
        ({"tags": [*map(str, range(17))]}, "expected at most 16 tags, found 17"),
        ({"once": timedelta()}, "expected True, or a timedelta of 1 ms or more as once"),
    ],
)
def test_one_that_cannot_be_is_refused(options: Any, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        CallOptions.of(options)


def test_a_queue_has_a_name_and_an_option_is_one_that_there_is() -> None:
    with pytest.raises(InvalidName, match=r"queue '\\n'"):
        CallOptions.of({"queue": "\n"})
    unknown: Any = {"prio": "high"}
    with pytest.raises(TypeError, match=r"expected options of a call \(queue, .*\), found prio"):
        CallOptions.of(unknown)
    nothing: Options = {"queue": None, "expires": None, "timeout": None, "once": None, "tags": ()}
    assert CallOptions.of(nothing) == NO_OPTIONS


@pytest.mark.parametrize("text", ["{", "[1]", '{"timeout":"x"}', '{"timeout":1e300}', '{"tags":1}'])
def test_what_somebody_has_damaged_is_as_if_there_were_none(text: str) -> None:
    assert CallOptions.read(text) == NO_OPTIONS


def test_a_worker_serves_the_priorities_that_were_used_beside_its_queues() -> None:
    queues = ("mail", "default", "mail/low")

    assert with_priorities(queues, {"mail/high", "default/low", "bulk/high"}) == (
        *("mail/high", "mail", "mail/low"),
        *("default", "default/low"),
    )
