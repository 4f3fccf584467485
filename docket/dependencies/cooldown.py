"""The first call of a while runs, the others are dropped."""

from __future__ import annotations

from datetime import timedelta

from typing_extensions import Self, override

from ..execution import Execution
from ..storage.limits import Question
from .admission import Gate, window


class Cooldown(Gate["Cooldown"]):
    """A window after the start of a call in which further ones are dropped.

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
    def question(self, execution: Execution) -> Question | None:
        if execution.attempt > 1:
            return None
        return Question("cooldown", self.name(execution), window(self.window), drops=1)

    @override
    def reason(self, execution: Execution) -> str:
        return f"cooldown ({self.window}) on {self.name(execution)}"

    @override
    async def __aenter__(self) -> Self:
        await self.ask()
        return self
