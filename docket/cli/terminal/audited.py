"""Deeds of operators in the words of the command line."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ...foundation.plain import plain
from .descriptions import text, when, wide
from .output import Column, Item, moment

if TYPE_CHECKING:
    from ...storage.audit import AuditEntry


def of_audited(entry: AuditEntry) -> dict[str, Any]:
    """Return a deed as it is shown."""
    record = entry.record
    return {
        "id": entry.id,
        "at": entry.at,
        "verb": record.verb,
        "author": record.author,
        "reason": record.reason,
        "deed": record.deed,
        "source": record.source,
        "host": record.host,
        "meant": record.meant,
        "done": record.done,
        "refused": record.refused,
        "error": record.error or None,
        "about": record.about,
    }


def told_since(since: datetime | None, why: str) -> str:
    """Say how far back the audit reaches, and why."""
    if since is None:
        return "the audit is empty"
    reasons = {
        "memory": "; what is older is gone because `audit.max_memory` is used up",
        "age": "; what is older is gone because of its age (`audit.keep`)",
    }
    return f"the audit reaches back to {moment(since)}{reasons.get(why, '')}"


def _done(item: Item) -> str:
    told = f"{item['done']} of {item['meant']}"
    return f"{told}, broken off" if item["error"] else told


def _about(item: Item) -> str:
    """Return what was meant in one line; what is listed or a table, as JSON."""
    return " ".join(
        f"{name}={value if isinstance(value, str) else _listed(value)}"
        for name, value in item["about"].items()
    )


def _listed(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):  # pyright: ignore[reportUnknownVariableType]
        return ",".join(value)  # pyright: ignore[reportUnknownArgumentType]
    return json.dumps(value)


def _refused(item: Item) -> str:
    return plain(" ".join(f"{reason}={count}" for reason, count in item["refused"].items()))


AUDIT: Final = (
    when("at", "WHEN"),
    text("author"),
    text("verb"),
    Column("DONE", _done),
    Column("ABOUT", _about),
    text("reason"),
    Column("REFUSED", _refused, is_wide=True),
    wide("error"),
    wide("source"),
    wide("host"),
    wide("deed"),
)
