"""Limits of how many runs start within a window."""

from __future__ import annotations

from datetime import timedelta

from typing_extensions import Self, override

from ..execution import Execution
from ..storage.limits import Question
from .admission import Gate, window


class RateLimit(Gate["RateLimit"]):
    """A limit of ``limit`` starts in any window; the other calls start when there is room, or are dropped.

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
    def question(self, execution: Execution) -> Question | None:
        name = self.name(execution)
        return Question("rate", name, self.limit, window(self.per), int(self.drop))

    @override
    def reason(self, execution: Execution) -> str:
        return f"rate limit ({self.limit}/{self.per}) on {self.name(execution)}"

    @override
    async def __aenter__(self) -> Self:
        await self.ask()
        return self
