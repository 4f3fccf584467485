"""The meaning of a value, regardless of how it was written: one digest for one meaning."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any, Final, cast

_PLAIN: Final = frozenset({bool, int, str, type(None)})
"""Kinds of values that JSON tells from each other: nearly all that there are."""


def digest(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of a value made of plain values, arrays and tables.

    Tables that differ in the order of their keys mean the same; ``1``, ``1.0``, ``true`` and ``"1"`` do not.
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """Return the one spelling of a value."""
    return json.dumps(_tagged(value), sort_keys=True, separators=(",", ":"))


def _tagged(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {
            key: item if type(item) in _PLAIN else _tagged(item)
            for key, item in cast(dict[str, Any], value).items()
        }
    if isinstance(value, (list, tuple)):
        return ["array", *(_tagged(item) for item in cast(list[Any], value))]
    # The tag distinguishes a date from its text, and repr nan, -0.0 and 1.0 from each other and from 1.
    if isinstance(value, float):
        return ["float", repr(float(value))]
    is_moment = isinstance(value, (dt.date, dt.time, dt.timedelta))
    return [type(value).__name__, repr(value)] if is_moment else value
