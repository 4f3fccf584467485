"""A docket for code that does not await: the same calls, and each returns when it is done."""

from __future__ import annotations

from .bridge import Bridge
from .docket import SyncDocket
from .execution import SyncExecution, SyncExecutionProgress
from .snapshot import SyncDocketSnapshot, SyncRunningExecution

__all__ = [
    "Bridge",
    "SyncDocket",
    "SyncDocketSnapshot",
    "SyncExecution",
    "SyncExecutionProgress",
    "SyncRunningExecution",
]
