"""Times in the units of Redis, whole milliseconds, and in those of Python: the one place that converts.

Moments are Unix times of aware ``datetime`` values; durations are ``timedelta`` values.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Final

MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FURTHEST: Final = 1e18
"""Ms beyond the end of every calendar."""
_EXACT: Final = 8_000_000_000_000
"""Ms, in the year 2223, up to which a float of seconds distinguishes each ms."""


def milliseconds(duration: timedelta) -> int:
    """Return the whole ms of a duration, rounded towards zero."""
    return int(duration / MILLISECOND)


def to_milliseconds(moment: datetime) -> int:
    """Return the Unix time in ms of an aware moment, rounded up: nothing falls due before its time."""
    return -((_EPOCH - moment) // MILLISECOND)


def from_milliseconds(unix: bytes | str | float) -> datetime:
    """Return the aware moment of a Unix time in ms; the nearest one, if the calendar does not go so far."""
    if type(unix) is int and 0 <= unix < _EXACT:
        return datetime.fromtimestamp(unix / 1000, timezone.utc)
    return _moment(_whole(unix) * 1000)


def from_time(reply: Iterable[bytes | str | int]) -> int:
    """Return the Unix time in ms that a server has replied to TIME: seconds, and µs of the second."""
    seconds, microseconds = map(int, reply)
    return seconds * 1000 + microseconds // 1000


def to_due(moment: datetime) -> tuple[int, str]:
    """Return a due time as the scripts take it: in ms, and in µs if that is not a whole ms.

    Zero is now; what was due before 1970 is due since then.
    """
    due = max(to_milliseconds(moment), 1)
    exact = (moment - _EPOCH) // _MICROSECOND
    return due, "" if exact == due * 1000 else str(exact)


def from_due(due: bytes | str | float, when: bytes | str | None) -> datetime:
    """Return the moment of a due time that ``to_due`` has returned."""
    return _moment(int(when)) if when else from_milliseconds(due)


def _whole(unix: bytes | str | float) -> int:
    """Return whole ms; a score of a sorted set may be infinite."""
    return int(max(-_FURTHEST, min(float(unix), _FURTHEST)))


def _moment(microseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        furthest = datetime.max if microseconds > 0 else datetime.min
        return furthest.replace(tzinfo=timezone.utc)
