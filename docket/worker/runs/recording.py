"""A task that knows how often others have cancelled it."""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override


class RecordingTask(asyncio.Task[None]):
    """A task that counts the cancellations from outside of it, so that its end shows who has asked for it.

    A ``CancelledError`` alone says nothing: it also comes out of a future that was cancelled, and a task
    can raise it. What the task asks of itself does not count, and ``uncancel`` takes a request back, as
    timeouts do. On Python 3.10 only this class has ``uncancel``, and libraries do not call it: there a
    timeout that has struck and was caught still counts. It is made as any task is.
    """

    _requests = 0
    _has_begun = False

    def begin(self) -> None:
        """Note that it has taken its first step; what was asked of it before reaches it now."""
        self._has_begun = True
        if self._requests:
            super().cancel()

    @property
    def is_cancelled_by_others(self) -> bool:
        """True if others want it to end, and have not taken that back."""
        return self._requests > 0

    @override
    def cancel(self, msg: Any | None = None) -> bool:
        if asyncio.current_task(self.get_loop()) is not self:
            self._requests += 1
        # A task that is cancelled before its first step never runs: its end would go unnoticed.
        return super().cancel(msg) if self._has_begun else not self.done()

    def uncancel(self) -> int:
        """Take one request back: the one that has made it deals with it."""
        self._requests = max(0, self._requests - 1)
        uncancel: Any = getattr(super(), "uncancel", None)
        return self._requests if uncancel is None else uncancel()
