"""The deeds that can be done to a docket, for code that does not await."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..operations import Done, Operations
from .bridge import Bridge


class SyncOperations:
    """Acts on what stands in a docket, as ``Operations``; each call returns when it is done.

    Arguments:
        operations: the deeds.
        bridge: where they are done.
    """

    def __init__(self, operations: Operations, bridge: Bridge) -> None:
        self._operations = operations
        self._bridge = bridge

    def retry(
        self,
        *keys: str,
        changes: Mapping[str, Any] | None = None,
        author: str = "",
        reason: str = "",
    ) -> list[Done]:
        """Run dead letters once more, as ``Operations.retry``; return the outcome for each key."""
        return self._bridge.wait(
            lambda: self._operations.retry(*keys, changes=changes, author=author, reason=reason)
        )

    def discard(self, *keys: str) -> list[Done]:
        """Delete dead letters for good; return the outcome for each key."""
        return self._bridge.wait(lambda: self._operations.discard(*keys))

    def pause_queues(
        self,
        *queues: str,
        lasting: timedelta | None = None,
        author: str = "",
        reason: str = "",
    ) -> None:
        """Start nothing of these queues from now on, as ``Operations.pause_queues``."""
        self._bridge.wait(
            lambda: self._operations.pause_queues(
                *queues, lasting=lasting, author=author, reason=reason
            )
        )

    def resume_queues(self, *queues: str) -> list[str]:
        """Start work of these queues again; return those that were paused."""
        return self._bridge.wait(lambda: self._operations.resume_queues(*queues))
