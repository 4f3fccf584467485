"""Values as they are typed: ``int:5``, ``timedelta:90s``, or a plain string.

A type is a word of this list and nothing else: no name that is typed here is ever imported or called.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Hashable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from ...foundation.durations import parse_duration
from ..terminal.exit_codes import Misused

_TYPE: Final = re.compile(r"([A-Za-z_][\w.]*):(.*)", re.ASCII | re.DOTALL)
_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _bool(text: str) -> bool:
    return _WORDS[text.strip().lower()]


def _datetime(text: str) -> datetime:
    # Python 3.10 does not know the Z.
    return datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))


_READERS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "str": (str, "any text"),
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (_bool, "true or false"),
    "decimal": (Decimal, "a decimal number"),
    "datetime": (_datetime, "a moment such as 2026-07-01T12:00:00+02:00"),
    "timedelta": (parse_duration, "seconds, or a duration such as 90s"),
    "uuid": (UUID, "a UUID"),
}
_ALIASES: Final = {
    "decimal.Decimal": "decimal",
    "datetime.datetime": "datetime",
    "datetime.timedelta": "timedelta",
    "uuid.UUID": "uuid",
    **{f"builtins.{name}": name for name in ("str", "int", "float", "bool")},
}


def parse_value(text: str) -> Any:
    """Return the value that was typed as ``TYPE:TEXT``, or as a string without a type.

    Raises:
        Misused: there is no such type, or the text is not one of its values.

    Example:
        >>> parse_value("int:5"), parse_value("acme")
        (5, 'acme')
    """
    typed = _TYPE.fullmatch(text)
    if typed is None:
        return text
    name, rest = typed.groups()
    known = _ALIASES.get(name, name)
    if known not in _READERS:
        raise Misused(_unknown(name, text))
    read, expected = _READERS[known]
    try:
        return read(rest)
    except (ValueError, KeyError, InvalidOperation):
        raise Misused(f"expected {expected} after {name}:, found {rest!r}") from None


def parse_moment(text: str) -> datetime:
    """Return the moment that was typed, with its zone.

    Raises:
        Misused: it is none, or has no zone.
    """
    moment: datetime = parse_value(f"datetime:{text}")
    if moment.tzinfo is None:
        raise Misused(f"expected a moment with a zone, such as {text}+02:00 or {text}Z")
    return moment


def parse_range(text: str) -> tuple[Any, Any]:
    """Return the two ends that were typed as ``LOW,HIGH``; the type of the first holds for both.

    Raises:
        Misused: they are not two, or not values.

    Example:
        >>> parse_range("int:1,10")
        (1, 10)
    """
    low, comma, high = text.partition(",")
    if not comma:
        raise Misused(f"expected two values such as int:1,10 after between, found {text!r}")
    typed = _TYPE.fullmatch(low)
    if typed is not None and _TYPE.fullmatch(high) is None:
        high = f"{typed[1]}:{high}"
    return parse_value(low), parse_value(high)


def parse_compared(text: str | None, operator: str) -> Hashable:
    """Return the value that an argument is compared with; None where none was typed.

    Arguments:
        text: what was typed.
        operator: how it will be compared; ``between`` needs two values.

    Raises:
        Misused: it is not a value.
    """
    if text is None:
        return None
    return parse_range(text) if operator == "between" else parse_value(text)


def parse_argument(text: str) -> Any:
    """Return the argument of a task that was typed as a value, or as ``json:TEXT``.

    Raises:
        Misused: it is neither.

    Example:
        >>> parse_argument('json:["a", 1]')
        ['a', 1]
    """
    kind, colon, rest = text.partition(":")
    if kind != "json" or not colon:
        return parse_value(text)
    try:
        return json.loads(rest)
    except ValueError as error:
        raise Misused(f"expected JSON after json:, found {rest!r} ({error})") from None


def _unknown(name: str, text: str) -> str:
    close = difflib.get_close_matches(name, [*_READERS, *_ALIASES], 1)
    meant = f"; did you mean {close[0]}:?" if close else ";"
    return (
        f"unknown type {name!r}{meant} expected one of {', '.join(_READERS)}; "
        f"write str:{text} for the text itself"
    )
