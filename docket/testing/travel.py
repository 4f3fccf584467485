"""Runs of what is due in a test, now or within a span of time that does not have to pass."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from ..calls.registry import TaskFunction
from ..docket import Docket
from ..errors import ImmovableTime
from ..foundation.units import from_milliseconds, milliseconds, to_milliseconds
from .runner import Ran, Runner, Traveller

MOST = 10_000
"""Number of runs after which work counts as endless."""


async def advance(docket: Docket, by: timedelta, *, most: int = MOST, **worker: Any) -> list[Ran]:
    """Move the time of a docket, and run everything that falls due on the way, without waiting.

    Time goes from one due time to the next and stands still while what is due there runs, so that each run
    begins at its own due time, and what it schedules within the span runs as well: next runs of perpetual
    tasks and crons, further attempts, tasks that tasks add. Afterwards time goes on from where it was moved
    to. What fails raises nothing here. No other worker should work on the docket meanwhile.

    Arguments:
        docket: a docket at ``memory://``.
        by: how far; zero runs what is due now.
        most: after more runs it gives up.
        worker: further arguments of ``Worker``: ``concurrency``, ``dependencies``,
            ``schedule_automatic_tasks``.

    Returns:
        the runs, in the order of their starts.

    Raises:
        ImmovableTime: the docket is not at ``memory://``, or its time is being moved already.
        EndlessWork: there were more than ``most`` runs.
        ValueError: the span is negative.

    Example:
        >>> await docket.add(remind, when=in_two_hours)("Jane")
        >>> [ran.task for ran in await advance(docket, timedelta(hours=3))]
        ['remind']
    """
    if by < timedelta(0):
        raise ValueError(f"expected a span of zero or more, found {by}: time moves forwards only")
    async with _standing_still(docket):
        start = (await docket.storage.clock.look()).now
        end = start + milliseconds(by)

        def next_stop(due: int | None) -> int | None:
            stops = [*_ends_of_strikes(docket), *([] if due is None else [due])]
            return min((stop for stop in stops if stop <= end), default=None)

        ran = await _travel(docket, most, next_stop, worker)
        await _move(docket, end)
        return ran


async def drain(
    docket: Docket, *tasks: TaskFunction, future: bool = False, most: int = MOST, **worker: Any
) -> list[Ran]:
    """Run everything that is due now, with a worker of its own, and return the runs.

    What it schedules for now runs as well; what is in the future stays there. What fails raises nothing
    here.

    Arguments:
        docket: the docket with the work.
        tasks: tasks to register first.
        future: run what is in the future, too, each at its own time, until nothing is left. That moves the
            time, which only a docket at ``memory://`` allows.
        most: after more runs it gives up.
        worker: further arguments of ``Worker``: ``concurrency``, ``dependencies``,
            ``schedule_automatic_tasks``.

    Returns:
        the runs, in the order of their starts.

    Raises:
        ImmovableTime: the future is asked for, and the docket is not at ``memory://``; or its time is being
            moved already.
        EndlessWork: there were more than ``most`` runs.

    Example:
        >>> await docket.add(greet)("Jane")
        >>> (ran,) = await drain(docket, greet)
        >>> ran.outcome, ran.result
        ('completed', 'Hello, Jane')
    """
    for task in tasks:
        docket.register(task)
    if not (future or docket.storage.clock.is_movable):
        async with Runner(docket, most, **await _options(docket, worker)) as runner:
            await runner.work()
        return runner.ran
    async with _standing_still(docket):
        return await _travel(docket, most, lambda due: due if future else None, worker)


async def now(docket: Docket) -> datetime:
    """Return the time of a docket: its server's, moved as far as ``advance`` has moved it.

    Arguments:
        docket: the docket.

    Example:
        >>> await docket.add(remind, when=await now(docket) + timedelta(hours=1))("Jane")
    """
    return from_milliseconds((await docket.storage.clock.look()).now)


@asynccontextmanager
async def _standing_still(docket: Docket) -> AsyncGenerator[None, None]:
    """Let time stand still for the length of a block, and go on from the point that it was moved to."""
    clock = docket.storage.clock
    if not clock.is_movable:
        raise ImmovableTime(
            f"expected a docket at memory://, whose time is not shared, found {docket.name} at "
            f"{docket.storage.connection.url}; give the test a Docket(url='memory://tests')"
        )
    if not await clock.stop():
        raise ImmovableTime(
            f"the time of {docket.name} is being moved already; advance() and drain() work one after the "
            "other, and not from within a task that they run"
        )
    try:
        await _look_at_strikes(docket)
        yield
    finally:
        await clock.go_on()


async def _travel(
    docket: Docket, most: int, next_stop: Callable[[int | None], int | None], worker: dict[str, Any]
) -> list[Ran]:
    async def move(to: int) -> None:
        await _move(docket, to)

    options = await _options(docket, worker)
    async with Traveller(docket, most, next_stop, move, **options) as traveller:
        await traveller.work()
    return traveller.ran


def _ends_of_strikes(docket: Docket) -> list[int]:
    """Return the times at which strikes end by themselves, and release what they keep back."""
    ends = (rule.expires for rule in docket.strike_list.rules.values())
    return [to_milliseconds(at) for at in ends if at is not None]


async def _move(docket: Docket, to: int) -> None:
    await docket.storage.clock.move(to)
    await _look_at_strikes(docket)


async def _look_at_strikes(docket: Docket) -> None:
    """Look at the strikes, as some of them may be over by now."""
    if docket.strike_list.rules:
        await docket.strike_list.refresh()


async def _options(docket: Docket, worker: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the worker; it serves all queues, unless the test names some."""
    return {"queues": await docket.storage.executions.queues(), **worker}
