"""Changes in words, for the log and for ``docket config plan``."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, cast

from ...foundation.durations import format_duration
from ..planning.diff import Change
from ..reading.keypath import dotted, written
from ..reading.secrecy import HIDDEN


def sentence(change: Change, effect: str) -> str:
    """Return one change and its effect, such as ``workers.default.concurrency: 10 → 20 (live)``."""
    return f"{dotted(change.path)}: {_what(change)} ({effect})"


def _what(change: Change) -> str:
    if change.is_added:
        return "added" if isinstance(change.new, dict) else f"added {shown(change.new)}"
    if change.is_removed:
        return "removed"
    if change.new in (HIDDEN, change.old):
        return "changed"
    return f"{shown(change.old)} → {shown(change.new)}"


def shown(value: Any) -> str:
    """Return a value as TOML writes it, durations without quotes; nothing is ``none``."""
    match value:
        case str() if value == HIDDEN:
            return HIDDEN
        case None:
            return "none"
        case dt.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case dt.timedelta():
            return format_duration(value)
        case dict():
            table = cast(dict[str, Any], value)
            return "{" + ", ".join(f"{written(k)} = {shown(v)}" for k, v in table.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(shown(item) for item in cast(list[Any], value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=not value.isprintable())
        case bool():
            return str(value).lower()
        case _:
            return str(value)
