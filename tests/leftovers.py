"""What a docket keeps when its work is over: every key must be documented as lasting, or expire.

This names no feature that may have leaked: a key that nobody has written down here is a leak, and so is
everything that stands for work, for a worker that has left, or for somebody who waits.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from docket import Docket
from docket.storage.scripting.replies import pairs
from docket.storage.scripting.retrying import value_of
from tests.properties.snapshot import Snapshot

LASTING = re.compile(
    r"stream(:.+)?|bell(:.+)?|queues"
    r"|dead|fence|clock|format|stored(:.+)?"
    r"|strikes|routes|schemas"
    r"|schedules|paused|(schedule|outcomes|ran):.+|(configuration|revisions):.+"
    r"|supervisors|workers|codecs|worker-queues|worker-code|limits|leases"
    r"|(worker-tasks|worker-shapes|task-workers):.+"
)
"""Keys that may last although no work is left; what they hold is looked at below."""


async def leftovers(docket: Docket, workers: Collection[str] = ()) -> list[str]:
    """Everything that is kept without need once all work is over, a sentence each.

    Arguments:
        docket: where to look.
        workers: the names of the workers that still run.
    """
    connection, keys = docket.storage.connection, docket.storage.keys
    snapshot = await Snapshot.take(connection, keys)
    found = [f"{m.key} is on the stream {m.queue!r}, of {m.consumer}" for m in snapshot.messages]
    for name, kept in snapshot.kept.items():
        if kept.ttl < 0 and not LASTING.fullmatch(name):
            found.append(f"{name} is kept for ever: {kept.value!r:.200}")
    found += _shadows(snapshot)
    for stream in (name for name, kept in snapshot.kept.items() if kept.kind == "stream"):
        (groups,) = await connection.send(
            ("XINFO", "CONSUMERS", keys.named(stream), "docket-workers")
        )
        names = [pairs(consumer)[b"name"].decode() for consumer in _listed(groups)]
        found += [
            f"the consumer {name} of {stream} has left"
            for name in names
            if _name_of(name) not in workers
        ]
    for name in ("workers", "leases"):
        members = [member for member in snapshot.scores(name) if _name_of(member) not in workers]
        found += [f"{member} has left, and is one of {name}" for member in members]
    return found


def _name_of(consumer: str) -> str:
    """The name of a worker, whether it stands alone or as a consumer."""
    return re.sub(r":[0-9a-f]{8}$", "", consumer)


def _listed(reply: Any) -> list[Any]:
    """The consumers of a group; none where there is no group."""
    return [] if isinstance(reply, Exception) else value_of(reply)


def _shadows(snapshot: Snapshot) -> list[str]:
    """What only lasts as long as something else does, and has outlived it."""
    schedules = {name.partition(":")[2] for name in snapshot.hash("schedules")}
    found: list[str] = []
    for kind in ("schedule", "outcomes", "ran"):
        for name, kept in snapshot.named(f"{kind}:").items():
            if kept.ttl < 0 and name not in schedules:
                found.append(f"{kind}:{name} is kept for ever, and there is no such schedule")
    paused = snapshot.kept.get("paused")
    found += [
        f"{name} is paused, and nothing is known of it"
        for name in (member.decode() for member in (paused.value if paused else ()))
        if f"schedule:{name}" not in snapshot.kept
    ]
    gone = (name for name in snapshot.scores("dead") if f"runs:{name}" not in snapshot.kept)
    return found + [f"the index of dead letters names {name}, which is gone" for name in gone]
