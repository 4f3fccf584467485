from __future__ import annotations

import pytest

from docket.config.checking.problems import ConfigurationInvalid, Problem
from docket.config.reading.secrecy import masked_url


def test_a_problem_is_one_line_then_the_line_with_a_caret() -> None:
    problem = Problem(
        "unknown key",
        ("tasks", "send_email", "retry", "attemps"),
        'did you mean "attempts"?',
        "docket.toml",
        48,
        1,
        excerpt="attemps = 3",
        caret=1,
    )
    assert problem.render() == (
        'docket.toml:48:1: tasks.send_email.retry.attemps: unknown key; did you mean "attempts"?\n'
        "    attemps = 3\n"
        "    ^"
    )


def test_a_problem_without_a_place_is_its_message() -> None:
    assert Problem("removes too much").render() == "removes too much"


def test_the_error_tells_all_problems() -> None:
    error = ConfigurationInvalid([Problem("one", file="a.toml"), Problem("two", variable="B")])
    assert str(error) == "a.toml: one\nB: two"
    assert [problem.place for problem in error.problems] == ["a.toml", "B"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://db:6379/0", "redis://db:6379/0"),
        ("redis://app:hunter2@db/0", "redis://***@db/0"),
        ("redis://:p/w?@#x@db", "redis://***@db"),
        ("redis://db?password=hunter2&x=1", "redis://db?password=***&x=1"),
        (
            "redis+sentinel://a,b/main?sentinel_password=x",
            "redis+sentinel://a,b/main?sentinel_password=***",
        ),
        ("unix:///run/docket.sock?db=1", "unix:///run/docket.sock?db=1"),
    ],
)
def test_credentials_are_masked_in_a_url(url: str, shown: str) -> None:
    assert masked_url(url) == shown
