"""When a failed attempt is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from docket.foundation.policy import RetryPolicy

ERROR = RuntimeError()


def test_without_a_policy_there_is_one_attempt() -> None:
    assert RetryPolicy().pause_after(1, ERROR) is None


def test_pauses_stay_as_they_are_until_the_attempts_are_spent() -> None:
    policy = RetryPolicy(attempts=3, delay=timedelta(seconds=2))

    assert [policy.pause_after(attempt, ERROR) for attempt in (1, 2, 3)] == [
        timedelta(seconds=2), timedelta(seconds=2), None,
    ]  # fmt: skip


def test_pauses_double_up_to_the_longest_one() -> None:
    policy = RetryPolicy(
        attempts=None,
        delay=timedelta(seconds=1),
        max_delay=timedelta(seconds=5),
        backoff="exponential",
    )

    pauses = [policy.pause_after(attempt, ERROR) for attempt in (1, 2, 3, 4, 10_000)]

    assert pauses == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 5, 5)]


def test_jitter_moves_a_pause_by_its_share_at_most() -> None:
    policy = RetryPolicy(attempts=None, delay=timedelta(seconds=10), jitter=0.2)

    pauses = [policy.pause_after(1, ERROR) for _ in range(200)]

    assert all(pause is not None and 8 <= pause.total_seconds() <= 12 for pause in pauses)
    assert len(set(pauses)) > 100


@pytest.mark.parametrize(("error", "is_tried"), [(KeyError(), False), (ValueError(), True)])
def test_errors_that_no_attempt_mends_are_not_tried_again(error: Exception, is_tried: bool) -> None:
    policy = RetryPolicy(attempts=9, never_on=(LookupError,))

    assert (policy.pause_after(1, error) is not None) is is_tried
