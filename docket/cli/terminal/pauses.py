"""Pauses of queues in words: those by hand, and those of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...foundation.plain import plain

if TYPE_CHECKING:
    from ...storage.queues import QueuePause


def pause_fields(queue: str, pauses: Sequence[QueuePause]) -> dict[str, Any]:
    """Return what keeps work of a queue from being started, as fields of its row.

    Arguments:
        queue: its name.
        pauses: the pauses in effect, of all queues.
    """
    found = [one for one in pauses if one.holds_back(queue)]
    by_hand = next((one for one in found if not one.file), None)
    first = by_hand or next(iter(found), None)
    files = list(dict.fromkeys(one.file for one in found if one.file))
    return {
        "paused": ", and ".join(
            dict.fromkeys(f"by {said_by(one.by, one.file, one.revision)}" for one in found)
        )
        or None,
        "paused_by_hand": by_hand is not None,
        "paused_by_files": files,
        "paused_since": first and first.since,
        # What a file pauses does not go on when the pause by hand is over.
        "paused_until": by_hand.until if by_hand and not files else None,
        "reason": by_hand and by_hand.reason,
    }


def said_by(author: str, file: str, revision: int | None) -> str:
    """Return who, or what, has paused a queue.

    Arguments:
        author: who has paused it by hand.
        file: the owner of the file that pauses it; empty if it was paused by hand.
        revision: the revision that began it.
    """
    if not file:
        return plain(author) or "an unknown author"
    since = f" (revision {revision})" if revision else ""
    return f"the file of {plain(file)}{since}"
