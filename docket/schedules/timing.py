"""Timings, repeated or single: functions from a moment to the first due time after it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

from ..foundation.units import milliseconds

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

NextAfter: TypeAlias = Callable[[datetime], "datetime | None"]
"""The first due time after a moment, None if there is none."""


def every(period: timedelta, anchor: datetime) -> NextAfter:
    """Return the timing that is due at the anchor plus whole periods, before it as well as after it.

    Anchored this way, no reload, restart or host shifts a schedule.

    Arguments:
        period: from one due time to the next.
        anchor: one of them.
    """

    def next_after(moment: datetime) -> datetime:
        return anchor + ((moment - anchor) // period + 1) * period

    return next_after


def rolling(period: timedelta) -> NextAfter:
    """Return the timing that is due a period after any moment: the caller decides where it counts from.

    Arguments:
        period: from the moment to the due time.
    """

    def next_after(moment: datetime) -> datetime:
        return moment + period

    return next_after


def once(due: datetime) -> NextAfter:
    """Return the timing that is due at a moment, and never again.

    Arguments:
        due: the moment.
    """

    def next_after(moment: datetime) -> datetime | None:
        return due if moment < due else None

    return next_after


def delayed(timing: NextAfter, pause: timedelta) -> NextAfter:
    """Return the timing that is due some time after another one.

    Arguments:
        timing: the other one.
        pause: how long after it.
    """

    def next_after(moment: datetime) -> datetime | None:
        due = timing(moment - pause)
        return None if due is None else due + pause

    return next_after


def within(timing: NextAfter, start: datetime | None, end: datetime | None) -> NextAfter:
    """Return the timing that is due like another one, from a moment on and before another one.

    Arguments:
        timing: the other one.
        start: the first moment that counts; None is the beginning of time.
        end: the first moment that does not; None is its end.
    """

    def next_after(moment: datetime) -> datetime | None:
        if start is not None and moment < start:
            # The start itself counts, and due times are whole milliseconds.
            moment = start - timedelta(microseconds=1)
        due = timing(moment)
        return None if due is None or (end is not None and due >= end) else due

    return next_after


def jitter_of(seed: str, longest: timedelta) -> timedelta:
    """Return a pause below the longest one, in whole milliseconds, the same for the same seed.

    Arguments:
        seed: what it is computed from.
        longest: what it stays below.
    """
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    most = milliseconds(longest)
    return timedelta(milliseconds=number % most if most else 0)


def latest(timing: NextAfter, first: datetime, now: datetime, count: int) -> list[datetime]:
    """Return the last ``count`` due times up to now, none before ``first``, the earliest first.

    Looks back in windows that double, so that years of missed seconds cost no more than a few steps.

    Arguments:
        timing: when it is due.
        first: a due time that is not after now.
        now: the moment.
        count: how many are wanted.
    """
    window = timedelta(seconds=1)
    while True:
        start = max(first, now - window)
        found = deque([start] if start == first else [], count)
        due = timing(start)
        while due is not None and due <= now:
            found.append(due)
            due = timing(due)
        if len(found) == count or start == first:
            return list(found)
        window *= 2


def count_between(timing: NextAfter, first: datetime, end: datetime, most: int) -> int:
    """Count the due times from one of them on and before a moment, up to a limit.

    Arguments:
        timing: the timing.
        first: the first due time that counts.
        end: the moment.
        most: where counting ends.
    """
    count = 0
    due: datetime | None = first
    while due is not None and due < end and count < most:
        count, due = count + 1, timing(due)
    return count
