"""Dependencies that all tasks of a worker share: made on first use, undone when the worker ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from uncalled_for import SharedContext


class SharedScope:
    """The values that ``Shared`` factories have given to one worker.

    ``uncalled_for.SharedContext`` opens and closes its scope in one context. A worker may be entered and
    left in different ones, and its runs live in contexts of their own: each run steps into the scope.
    """

    def __init__(self) -> None:
        self._resolved: dict[Any, Any] = {}
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()

    def step_in(self) -> None:
        """Make the scope that of the current context."""
        SharedContext.resolved.set(self._resolved)
        SharedContext.lock.set(self._lock)
        SharedContext.stack.set(self._stack)

    async def close(self) -> None:
        """Undo what the factories have done, the last one first."""
        self._resolved.clear()
        await self._stack.aclose()
