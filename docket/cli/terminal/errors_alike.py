"""Dead letters that failed alike, counted: for ``docket dead ls --group error``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from .descriptions import text, when, wide
from .output import Column

if TYPE_CHECKING:
    from ...docket import Docket

_NUMBERS: Final = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b0x[0-9a-f]+\b|\d+",
    re.IGNORECASE,
)
"""Parts of a message that differ from one failure to the next: UUIDs, addresses, numbers."""

ERRORS: Final = (
    Column("COUNT", lambda item: str(item["count"])),
    text("task"),
    when("first", "FIRST"),
    when("last", "LAST"),
    text("error"),
    wide("key"),
)


def alike(error: str) -> str:
    """Return what errors of one kind have in common.

    Example:
        >>> alike("KeyError: 'order 17'")
        "KeyError: 'order #'"
    """
    return _NUMBERS.sub("#", error)


async def by_error(docket: Docket, task: str | None) -> list[dict[str, Any]]:
    """Return how many dead letters there are of each kind, the most frequent first.

    Arguments:
        docket: where.
        task: only those of this task; None is any.
    """
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    async for record in docket.storage.executions.dead():
        if task not in (None, record.task):
            continue
        kind = record.task, alike(record.error or record.reason or "")
        # The last one comes first.
        about = {"count": 0, "task": kind[0], "error": kind[1], "key": record.key}
        group = groups.setdefault(kind, {**about, "last": record.completed_at})
        group["count"] += 1
        group["first"] = record.completed_at
    return sorted(groups.values(), key=lambda group: -group["count"])
