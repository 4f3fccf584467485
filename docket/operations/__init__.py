"""Acts on a docket for people on call: retries dead letters, or deletes them.

It owns the deeds, each of which reports an outcome for every key. How they are done atomically is the
storage's; ``insights`` answers questions.
"""

from __future__ import annotations

from ..storage.dead import Deed, Done
from .operations import Operations

__all__ = ["Deed", "Done", "Operations"]
