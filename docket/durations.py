"""``"90s"`` and ``timedelta``: one notation for TOML, the command line and the logs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_WHOLE: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d+):(\d{2})")
_SECONDS: Final = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``500ms``, ``90s``, ``1h30m``, ``45`` (seconds), ``5:00`` or ``1:30:00``.

    Raises:
        ValueError: the text is no duration; the message shows the notation.

    Example:
        >>> parse_duration("1h30m")
        datetime.timedelta(seconds=5400)
    """
    stripped = text.strip()
    if _SECONDS.fullmatch(stripped):
        return timedelta(seconds=float(stripped))
    if clock := _CLOCK.fullmatch(stripped):
        hours, minutes, seconds = clock.groups()
        return timedelta(hours=int(hours or 0), minutes=int(minutes), seconds=int(seconds))
    if _WHOLE.fullmatch(stripped):
        parts = _PART.findall(stripped)
        return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())
    raise ValueError(f'expected a duration such as "500ms", "90s" or "1h30m", found {text!r}')


def format_duration(duration: timedelta) -> str:
    """Write a duration in the shortest exact notation that ``parse_duration`` reads.

    Example:
        >>> format_duration(timedelta(minutes=90))
        '1h30m'
    """
    milliseconds = round(duration / timedelta(milliseconds=1))
    if milliseconds == 0:
        return "0s"
    sign, milliseconds = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    parts: list[str] = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, round(_UNITS[unit] / timedelta(milliseconds=1)))
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)
