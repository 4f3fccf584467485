"""The first call of a while runs, the others are dropped."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

from typing_extensions import Self, override

from ..execution import Execution
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

    @override
    async def __aenter__(self) -> Self:
        execution = current_execution.get()
        if execution.attempt == 1:
            await self._start(execution)
        return self

    async def _start(self, execution: Execution) -> None:
        name = self.name(execution)
        limits = current_docket.get().storage.limits
        if not await limits.start(name, owner(execution), self.window):
            reason = f"cooldown ({self.window}) on {name}"
            raise AdmissionBlocked(execution, reason, reschedule=False)

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Another gate has kept the task from starting, so no window has begun. This object may be that of
        # many runs; whose window it is, the server knows.
        if isinstance(exc_value, AdmissionBlocked):
            execution = current_execution.get()
            limits = current_docket.get().storage.limits
            await limits.undo_start(self.name(execution), owner(execution))
