"""The first call of a while runs, the others are dropped."""

from __future__ import annotations

import copy
from datetime import timedelta
from types import TracebackType

from typing_extensions import Self, override

from .admission import Gate, owner
from .base import AdmissionBlocked, current_docket, current_execution


class Cooldown(Gate["Cooldown"]):
    """Drops calls that come within a window after the start of another one.

    Further attempts of an execution that has started are let through.

    Arguments:
        window: how long others are kept out.
        scope: sets limits of the same name apart.

    Example:
        >>> async def sync(customer_id: Annotated[int, Cooldown(timedelta(seconds=30))]) -> None: ...
    """

    def __init__(self, window: timedelta, *, scope: str | None = None) -> None:
        self.window = window
        self.scope = scope
        self._taken: str | None = None

    @override
    async def __aenter__(self) -> Self:
        execution = current_execution.get()
        bound = copy.copy(self)
        if execution.attempt == 1:
            await bound.take()
        return bound

    async def take(self) -> None:
        """Start the window, or be kept out by one.

        Raises:
            AdmissionBlocked: another call has started within it.
        """
        execution = current_execution.get()
        name = self.name(execution)
        limits = current_docket.get().storage.limits
        if not await limits.start(name, owner(execution), self.window):
            reason = f"cooldown ({self.window}) on {name}"
            raise AdmissionBlocked(execution, reason, reschedule=False)
        self._taken = name

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Another gate has kept the task from starting: its window must not.
        if isinstance(exc_value, AdmissionBlocked) and self._taken is not None:
            execution = current_execution.get()
            limits = current_docket.get().storage.limits
            await limits.undo_start(self._taken, owner(execution))
