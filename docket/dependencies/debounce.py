"""Many calls in a short time become one."""

from __future__ import annotations

import copy
from datetime import timedelta

from typing_extensions import Self, override

from .admission import Gate
from .base import AdmissionBlocked, current_docket, current_execution


class Debounce(Gate["Debounce"]):
    """Runs the first of many calls when no further one has come for a while, and drops the others.

    Arguments:
        settle: how long it must be quiet.
        max_wait: after which it runs in any case, counted from the first call.
        scope: sets limits of the same name apart.

    Example:
        >>> async def reindex(shop_id: Annotated[int, Debounce(timedelta(seconds=5))]) -> None: ...
    """

    single = True

    def __init__(
        self, settle: timedelta, *, scope: str | None = None, max_wait: timedelta | None = None
    ) -> None:
        self.settle = settle
        self.max_wait = max_wait
        self.scope = scope

    @override
    async def __aenter__(self) -> Self:
        execution = current_execution.get()
        if execution.attempt == 1:
            await self._wait_for_quiet()
        return copy.copy(self)

    async def _wait_for_quiet(self) -> None:
        execution = current_execution.get()
        name = self.name(execution)
        wait = await current_docket.get().storage.limits.settle_down(
            name, execution.key, self.settle, self.max_wait
        )
        reason = f"debounce ({self.settle}) on {name}"
        if wait is None:
            raise AdmissionBlocked(execution, reason, reschedule=False)
        if wait:
            raise AdmissionBlocked(execution, reason, retry_delay=wait)
