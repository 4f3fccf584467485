"""A collection of calls to schedule together, or spread over a time."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, ParamSpec, TypeVar, overload

from .calls.registry import TaskFunction
from .docket import Docket
from .execution import Execution

P = ParamSpec("P")
R = TypeVar("R")


class AgendaItem(NamedTuple):
    """One call that waits on an agenda."""

    function: TaskFunction | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: str | None


class Agenda:
    """Calls that are collected first and scheduled later, as often as wanted.

    Example:
        >>> agenda = Agenda()
        >>> for shop in shops:
        ...     agenda.add(sync_shop)(shop)
        >>> await agenda.scatter(docket, over=timedelta(minutes=30))
    """

    def __init__(self) -> None:
        self._items: list[AgendaItem] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[AgendaItem]:
        return iter(self._items)

    @overload
    def add(
        self, function: Callable[P, Awaitable[R]], key: str | None = None
    ) -> Callable[P, None]: ...

    @overload
    def add(self, function: Callable[P, R], key: str | None = None) -> Callable[P, None]: ...

    @overload
    def add(self, function: str, key: str | None = None) -> Callable[..., None]: ...

    def add(
        self, function: Callable[..., Any] | str, key: str | None = None
    ) -> Callable[..., None]:
        """Put a call on the agenda.

        Arguments:
            function: the task, or the name of one that the docket knows when it is scattered.
            key: what it is known by; a new unique key each time, if left out.
        """

        def collect(*args: Any, **kwargs: Any) -> None:
            self._items.append(AgendaItem(function, args, kwargs, key))

        return collect

    def clear(self) -> None:
        """Empty the agenda."""
        self._items.clear()

    async def scatter(
        self,
        docket: Docket,
        over: timedelta,
        start: datetime | None = None,
        jitter: timedelta | None = None,
    ) -> list[Execution]:
        """Schedule everything on the agenda, spread evenly, in few round trips.

        Arguments:
            docket: where to.
            over: the time to spread it over; a single call goes to the middle, several ones take both
                ends.
            start: when that time begins; now, if left out.
            jitter: how far chance may move each call; never before the start.

        Raises:
            ValueError: the time is not positive.
            KeyError: a name is not registered; nothing is scheduled then.
        """
        if over <= timedelta():
            raise ValueError("'over' parameter must be a positive duration")
        begin = start or datetime.now(timezone.utc)
        moments = _spread(len(self._items), begin, over, jitter)
        calls = [
            docket.call(item.function, when=when, key=item.key)(*item.args, **item.kwargs)
            for item, when in zip(self._items, moments, strict=True)
        ]
        return await docket.add_many(calls)


def _spread(
    count: int, start: datetime, over: timedelta, jitter: timedelta | None
) -> list[datetime]:
    if count == 1:
        moments = [start + over / 2]
    else:
        moments = [start + over * index / (count - 1) for index in range(count)]
    if jitter is None:
        return moments
    return [max(start, moment + jitter * random.uniform(-1, 1)) for moment in moments]  # noqa: S311
