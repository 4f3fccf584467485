"""``docket events``: ends of executions and deeds of operators as JSON lines, in the order of time."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import AsyncIterator
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.audited import of_audited
from ..terminal.endings import of_ended, parse_since
from ..terminal.exit_codes import Misused
from ..terminal.output import dump, note

if TYPE_CHECKING:
    from ...docket import Docket
    from ...insights import Event

EVERY: Final = 1.0
"""Seconds between two looks, where the last one has found nothing more."""


def events(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")
    ] = False,
    after: Annotated[
        str | None,
        typer.Option("--from", metavar="ID", help="Go on after the event of this id."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="What happened after that: 2h ago, yesterday, or a moment."
        ),
    ] = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Print how executions have ended, and what operators have done, as JSON lines, the earliest first.

    Without --from and --since, --follow begins with what comes next.

    Example: docket events -f --since 10m
    """
    if after and since:
        raise Misused("expected --from or --since, found both: an id says where it goes on")
    begins = parse_since(since)

    async def tell(docket: Docket) -> None:
        from ...insights.events import cursor_at, cursor_of, lost_after  # noqa: PLC0415 - --help needs none of it

        streams = docket.storage.events
        if not docket.storage.history.limits.words:
            note("[history] is off: there are deeds of operators only, and no ends of executions")
        if after and (lost := await lost_after(docket.storage, after)):
            note(f"older entries go: some after that id may be gone, of {', '.join(lost)}")
        if follow and not after and begins is None:
            start = cursor_of(await streams.last())
        else:
            start = after or cursor_at(begins)
        async for event in _events(docket, start, follow=follow):
            typer.echo(dump(_item(event)))

    try:
        visit(Place(docket, url, config), tell)
    except KeyboardInterrupt:
        # Interrupting it is how it ends.
        pass
    except BrokenPipeError:
        _forget_output()


async def _events(docket: Docket, cursor: str, *, follow: bool) -> AsyncIterator[Event]:
    import asyncio  # noqa: PLC0415 - --help needs none of it

    while True:
        page = await docket.insights.events(cursor)
        for event in page.events:
            yield event
        cursor = page.cursor
        if not page.is_last:
            continue
        if not follow or is_deaf(sys.stdout):
            return
        await asyncio.sleep(EVERY)


def _item(event: Event) -> dict[str, Any]:
    if event.ended is not None:
        return {**of_ended(event.ended), "id": event.id, "at": event.at, "event": "ended"}
    assert event.deed is not None
    return {**of_audited(event.deed), "id": event.id, "event": "deed"}


def is_deaf(stream: IO[str]) -> bool:
    """Return True if nobody reads a pipe any more: what is written next would only find that out.

    Arguments:
        stream: the end that is written to; anything else than a pipe is always heard.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(state & select.POLLERR for _, state in poll.poll(0))


def _forget_output() -> None:
    """Have nothing more written to a pipe that nobody reads, at the end of the program neither."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
