"""Names that a shell proposes for what is being typed: those that the docket knows."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

import typer

from .place import Place, visit, would_start

if TYPE_CHECKING:
    from ...docket import Docket

PATIENCE: Final = 2.0
"""Seconds that somebody who has typed a tab may have to wait, at most."""


def task_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the tasks that living workers know, as far as they begin so."""

    async def look(docket: Docket) -> Iterable[str]:
        return {task for worker in await docket.workers() for task in worker.tasks}

    return _names(context, incomplete, look)


def queue_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the queues that have had work or a route, as far as they begin so."""

    async def look(docket: Docket) -> Iterable[str]:
        return await docket.storage.executions.queues()

    return _names(context, incomplete, look)


def schedule_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the schedules of all owners, as far as they begin so."""

    async def look(docket: Docket) -> Iterable[str]:
        from ...schedules.timetable import Timetable  # noqa: PLC0415 - --help needs none of it

        return {entry.known.name for entry in await Timetable(docket).entries()}

    return _names(context, incomplete, look)


def _names(
    context: typer.Context, incomplete: str, look: Callable[[Docket], Awaitable[Iterable[str]]]
) -> list[str]:
    """Return what is found in time; whatever is wrong is for the command to say, when it is run."""

    async def looking(docket: Docket) -> Iterable[str]:
        import asyncio  # noqa: PLC0415 - --help needs none of it

        return await asyncio.wait_for(look(docket), PATIENCE)

    typed = context.params
    names: Iterable[str] = ()
    with contextlib.suppress(Exception):
        place = Place(typed.get("docket"), typed.get("url"), typed.get("config"))
        if not would_start(place.found().url):
            names = visit(place, looking)
    return sorted(name for name in names if name.startswith(incomplete))
