"""The progress of a task, for its watchers."""

from __future__ import annotations

import copy

from typing_extensions import Self, override
from uncalled_for import Dependency

from ..execution import ExecutionProgress
from .base import current_execution


class Progress(Dependency["Progress"]):
    """The progress that a task reports.

    Example:
        >>> async def export(rows: int, progress: Progress = Progress()) -> None:
        ...     await progress.set_total(rows)
        ...     for _ in range(rows):
        ...         await progress.increment()
    """

    is_tied = True

    def __init__(self) -> None:
        self.of_run: ExecutionProgress | None = None

    @override
    async def __aenter__(self) -> Self:
        bound = copy.copy(self)
        bound.of_run = current_execution.get().progress
        return bound

    @property
    def current(self) -> int | None:
        """The value reached so far; None before the first one."""
        return self._known.current

    @property
    def total(self) -> int:
        """The value at which ``current`` is complete."""
        return self._known.total

    @property
    def message(self) -> str | None:
        """The last message."""
        return self._known.message

    async def set_total(self, total: int) -> None:
        """Set the value at which ``current`` is complete.

        Raises:
            ValueError: the total is less than 1.
        """
        await self._known.set_total(total)

    async def increment(self, amount: int = 1) -> None:
        """Increase the current value.

        Raises:
            ValueError: the amount is less than 1.
        """
        await self._known.increment(amount)

    async def set_message(self, message: str | None) -> None:
        """Set the message; None removes it."""
        await self._known.set_message(message)

    @property
    def _known(self) -> ExecutionProgress:
        assert self.of_run is not None, "Progress is known while a task runs"
        return self.of_run
