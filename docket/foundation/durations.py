"""``"90s"`` and ``timedelta``: one notation for TOML, the command line and the logs."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Final

EXPECTED: Final = 'expected a duration such as "500ms", "90s" or "1h30m"'

_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_NUMBER: Final = r"\d+(?:\.\d+)?"
_PART: Final = re.compile(rf"({_NUMBER})(ms|[smhdw])", re.ASCII)
_PARTS: Final = re.compile(rf"(?:{_NUMBER}(?:ms|[smhdw]))+", re.ASCII)
_CLOCK: Final = re.compile(r"(?:(\d+):(?=[0-5]?\d:))?(\d+):([0-5]\d)", re.ASCII)
_SECONDS: Final = re.compile(_NUMBER, re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``500ms``, ``90s``, ``1h30m``, ``45`` (seconds), ``5:00`` or ``1:30:00``.

    Raises:
        ValueError: the text is not a duration, or a longer one than Python can represent.

    Example:
        >>> parse_duration("1h30m")
        datetime.timedelta(seconds=5400)
    """
    try:
        duration = _read(text.strip())
    except OverflowError:
        raise ValueError(
            f"expected a duration of at most {timedelta.max.days}d, found {text!r}"
        ) from None
    if duration is None:
        raise ValueError(f"{EXPECTED}, found {text!r}")
    return duration


def read_duration(written: object) -> timedelta:
    """Read a duration of a file or a variable: whole milliseconds are what Redis keeps.

    Raises:
        ValueError: it is not a duration.
    """
    duration = parse_duration(written) if isinstance(written, str) else None
    if duration is None or duration.microseconds % 1000:
        raise ValueError(f"{EXPECTED}, found {written!r}")
    return duration


@lru_cache(maxsize=1024)
def format_duration(duration: timedelta) -> str:
    """Write a duration exactly, as ``parse_duration`` reads it; a negative one with a sign, for logs only.

    Example:
        >>> format_duration(timedelta(minutes=90))
        '1h30m'
    """
    if duration < timedelta():
        return f"-{format_duration(-duration)}"
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, duration = divmod(duration, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if duration:
        parts.append(f"{duration / _UNITS['ms']:g}ms")
    return "".join(parts) or "0s"


@lru_cache(maxsize=1024)
def _read(text: str) -> timedelta | None:
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=float(text))
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if _PARTS.fullmatch(text):
        parts = _PART.findall(text)
        return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())
    return None
