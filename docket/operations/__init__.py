"""Acts on a docket for people on call: retries, cancels or deletes work, runs it now, pauses queues.

It owns the deeds, each of which reports an outcome for every key and is written to the audit. How they are
done atomically is the storage's; ``insights`` answers questions.
"""

from __future__ import annotations

from ..foundation.names import EVERY_QUEUE
from ..storage.checks import Mismatch
from ..storage.dead import Deed, Done
from ..storage.queues import QueuePause
from .audit import Audit
from .mismatches import Check
from .operations import Operations, new_deed
from .selection import Found, Match, Selection

__all__ = [
    "EVERY_QUEUE",
    "Audit",
    "Check",
    "Deed",
    "Done",
    "Found",
    "Match",
    "Mismatch",
    "Operations",
    "QueuePause",
    "Selection",
    "new_deed",
]
