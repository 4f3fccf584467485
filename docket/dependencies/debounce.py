"""Many calls in a short time become one."""

from __future__ import annotations

import copy
from datetime import timedelta

from typing_extensions import Self, override

from ..execution import Execution
from ..storage.limits import Question
from .admission import Gate, window


class Debounce(Gate["Debounce"]):
    """A wait for quiet: the first of many calls runs when no further one has come for a while.

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
    def question(self, execution: Execution) -> Question | None:
        if execution.attempt > 1:
            return None
        longest = 0 if self.max_wait is None else window(self.max_wait)
        return Question("debounce", self.name(execution), window(self.settle), longest)

    @override
    def reason(self, execution: Execution) -> str:
        return f"debounce ({self.settle}) on {self.name(execution)}"

    @override
    async def __aenter__(self) -> Self:
        await self.ask()
        return copy.copy(self)
