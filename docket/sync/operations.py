"""The deeds that can be done to a docket, for code that does not await."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..docket import Docket
from ..operations import Check, Done, Found, Match, Selection
from .bridge import Bridge


class SyncOperations:
    """Acts on what stands in a docket, as ``Operations``; each call returns when it is done.

    Arguments:
        docket: the docket.
        bridge: where they are done.
    """

    def __init__(self, docket: Docket, bridge: Bridge) -> None:
        self._docket = docket
        self._bridge = bridge

    def retry(
        self,
        *keys: str,
        changes: Mapping[str, Any] | None = None,
        author: str = "",
        reason: str = "",
        deed: str = "",
        rate: float | None = None,
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Run dead letters once more, as ``Operations.retry``; return the outcome for each key."""
        return self._bridge.wait(
            lambda: self._docket.operations.retry(
                *keys,
                changes=changes,
                author=author,
                reason=reason,
                deed=deed,
                rate=rate,
                chosen_by=chosen_by,
            )
        )

    def find(self, selection: Selection) -> Found:
        """Find the executions that a selection means, as ``Operations.find``."""
        return self._bridge.wait(lambda: self._docket.operations.find(selection))

    def cancel(
        self,
        *executions: str | Match,
        author: str = "",
        reason: str = "",
        deed: str = "",
        verb: str = "cancel",
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Cancel executions for good, as ``Operations.cancel``; return the outcome for each."""
        return self._bridge.wait(
            lambda: self._docket.operations.cancel(
                *executions,
                author=author,
                reason=reason,
                deed=deed,
                verb=verb,
                chosen_by=chosen_by,
            )
        )

    def release(
        self,
        *executions: str | Match,
        author: str = "",
        reason: str = "",
        deed: str = "",
        dry_run: bool = False,
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Queue parked executions again, as ``Operations.release``; return the outcome for each."""
        return self._bridge.wait(
            lambda: self._docket.operations.release(
                *executions,
                author=author,
                reason=reason,
                deed=deed,
                dry_run=dry_run,
                chosen_by=chosen_by,
            )
        )

    def run_now(self, *keys: str, author: str = "", reason: str = "", deed: str = "") -> list[Done]:
        """Run what is scheduled for later at once, as ``Operations.run_now``."""
        return self._bridge.wait(
            lambda: self._docket.operations.run_now(*keys, author=author, reason=reason, deed=deed)
        )

    def discard(
        self,
        *keys: str,
        author: str = "",
        reason: str = "",
        deed: str = "",
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Delete dead letters for good; return the outcome for each key."""
        return self._bridge.wait(
            lambda: self._docket.operations.discard(
                *keys, author=author, reason=reason, deed=deed, chosen_by=chosen_by
            )
        )

    def pause_queues(
        self,
        *queues: str,
        lasting: timedelta | None = None,
        author: str = "",
        reason: str = "",
    ) -> None:
        """Start nothing of these queues from now on, as ``Operations.pause_queues``."""
        self._bridge.wait(
            lambda: self._docket.operations.pause_queues(
                *queues, lasting=lasting, author=author, reason=reason
            )
        )

    def resume_queues(self, *queues: str) -> list[str]:
        """Start work of these queues again; return those that were paused."""
        return self._bridge.wait(lambda: self._docket.operations.resume_queues(*queues))

    def check(self, *, repair: bool = False) -> Check:
        """Compare the records with whatever refers to them, as ``Operations.check``."""
        return self._bridge.wait(lambda: self._docket.operations.check(repair=repair))
