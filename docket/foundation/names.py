"""Valid names: printable ones, whose keys in Redis are not those of others."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidName

LONGEST_NAME: Final = 200
"""Bytes of a name."""

EVERY_QUEUE: Final = "*"
"""The name that stands for all queues, also for those to come."""

KEYS: Final = frozenset(
    {
        *(
            "answers",
            "audit",
            "bell",
            "cancellations",
            "clock",
            "codecs",
            "configuration",
            "cooldown",
            "dead",
            "death",
            "debounce",
        ),
        *(
            "evicted",
            "expiring",
            "fence",
            "format",
            "history",
            "holding",
            "kept",
            "leader",
            "leases",
            "limits",
            "lost",
            "moments",
        ),
        *(
            "orphans",
            "outcomes",
            "parked",
            "parked-groups",
            "paused",
            "paused-queues",
            "pending",
            "progress",
        ),
        *(
            "quarantine",
            "queue",
            "queues",
            "ran",
            "rate",
            "removing",
            "requests",
            "results",
            "revisions",
        ),
        *(
            "routes",
            "runs",
            "schedule",
            "schedules",
            "schemas",
            "series",
            "sizes",
            "slots",
            "staged",
        ),
        *(
            "staging",
            "state",
            "stored",
            "stream",
            "strikes",
            "supervisors",
            "suspects",
            "task-workers",
            "trimmed",
        ),
        *(
            "waiters",
            "waiting",
            "worker-code",
            "worker-queues",
            "worker-shapes",
            "worker-tasks",
            "workers",
        ),
        *("none", "none2"),
    }
)
"""Endings of a docket's keys, after its name."""


def trouble_with_docket(name: str) -> str:
    """Return why a docket cannot have this name; empty if it can."""
    if trouble := trouble_with(name):
        return trouble
    if "{" in name or "}" in name:
        return "expected a name without braces, which have a meaning in the keys of a cluster"
    taken = [part for part in name.split(":")[1:] if part in KEYS]
    if taken:
        return (
            f"expected a name whose keys belong to no other docket, found {taken[0]!r} after a colon: "
            f"{name.partition(':')[0]!r} has such keys"
        )
    return ""


def trouble_with(name: str) -> str:
    """Return why nothing can have this name; empty if something can."""
    if not name or not name.isprintable():
        return "expected a name of printable characters"
    if name != name.strip():
        return "expected a name without a space at its ends"
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        return f"expected a name of at most {LONGEST_NAME} bytes"
    return ""


def check_name(what: str, name: str) -> str:
    """Return the name, if something can be called so.

    Raises:
        InvalidName: it cannot.
    """
    trouble = trouble_with_docket(name) if what == "docket" else trouble_with(name)
    if trouble:
        raise InvalidName(f"{what} {name[:80]!r}: {trouble}")
    return name
