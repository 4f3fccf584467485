"""So many starts in a while, and no more."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

from typing_extensions import Self, override

from ..execution import Execution
from .admission import Gate, owner
from .base import AdmissionBlocked, current_docket, current_execution


class RateLimit(Gate["RateLimit"]):
    """Lets at most ``limit`` calls start in any window; the others start when there is room, or are dropped.

    It is a sliding log, in which a call that has to wait is given the next free moment, for which it
    is scheduled: waiting costs nothing.

    Arguments:
        limit: starts per window.
        per: the window.
        drop: drop what is too many.
        scope: sets limits of the same name apart.

    Example:
        >>> async def send(to: str, rate: RateLimit = RateLimit(100, per=timedelta(minutes=1))): ...
    """

    def __init__(
        self, limit: int, *, per: timedelta, drop: bool = False, scope: str | None = None
    ) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self.limit = limit
        self.per = per
        self.drop = drop
        self.scope = scope

    @override
    async def __aenter__(self) -> Self:
        await self._count(current_execution.get())
        return self

    async def _count(self, execution: Execution) -> None:
        name = self.name(execution)
        wait = await current_docket.get().storage.limits.count(
            name, execution.key, _start(execution), self.limit, self.per, self.drop
        )
        reason = f"rate limit ({self.limit}/{self.per}) on {name}"
        if wait is None:
            raise AdmissionBlocked(execution, reason, reschedule=False)
        if wait:
            raise AdmissionBlocked(execution, reason, retry_delay=wait)

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # As in Cooldown: another gate has kept the task from starting.
        if isinstance(exc_value, AdmissionBlocked):
            execution = current_execution.get()
            limits = current_docket.get().storage.limits
            await limits.undo_count(self.name(execution), _start(execution))


def _start(execution: Execution) -> str:
    """One start: each attempt counts, however often it is delivered."""
    return f"{owner(execution)}:{execution.attempt}"
