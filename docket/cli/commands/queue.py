"""``docket queue``: how much waits where, and which queues are paused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...foundation.names import EVERY_QUEUE
from ...foundation.plain import plain
from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.completion import queue_names
from ..parameters.many import DryRun, Yes
from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.selections import cancel_found
from ..parameters.times import duration_option
from ..terminal.descriptions import text, when, wide
from ..terminal.exit_codes import CommandRefused, Misused
from ..terminal.output import Column, Form, Output, note, say, show
from ..terminal.pauses import pause_fields

if TYPE_CHECKING:
    from ...docket import Docket
    from ...storage.queues import QueuePause

QUEUES: Final = (
    text("name"),
    Column("DUE OR RUNNING", lambda item: str(item["due_or_running"])),
    text("paused"),
    when("paused_until", "UNTIL"),
    wide("reason"),
)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[QUEUE]...", help="The queues.", autocompletion=queue_names),
]
All = Annotated[bool, typer.Option("--all", help="Every queue, also those to come.")]

app = typer.Typer(
    help="Look at the queues, pause, resume and purge them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def queue() -> None:
    """Look at the queues, pause, resume and purge them."""


@app.command("ls")
def list_queues(
    *, docket: Name = None, url: Url = None, config: Config = None, output: Output = Form.TABLE
) -> None:
    """List the queues, how much is due or running in each, and which are paused."""

    async def look(docket: Docket) -> tuple[list[dict[str, Any]], int]:
        backlog = await docket.storage.executions.backlog()
        pauses = await docket.storage.queues.paused()
        names = dict.fromkeys(
            [*backlog.due, *(one.queue for one in pauses if one.queue != EVERY_QUEUE)]
        )
        items = [
            {"name": name, "due_or_running": backlog.due.get(name, 0), **pause_fields(name, pauses)}
            for name in names
        ]
        return items, backlog.future + backlog.waiting

    items, future = visit(Place(docket, url, config), look)
    show("queues", items, QUEUES, output)
    note(f"{future} more wait for their time, or for a slot of a limit")


@app.command()
def pause(
    *,
    queues: Names = None,
    every: All = False,
    lasting: Annotated[
        timedelta | None, duration_option("--for", help="Time after which it goes on by itself.")
    ] = None,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Start nothing of some queues from now on; what runs goes on, and what is added waits."""
    by = me(author)
    names = _meant(queues, every=every)

    async def work(docket: Docket) -> str:
        await docket.operations.pause_queues(*names, lasting=lasting, author=by, reason=reason)
        return f"Paused {_told(names)} of docket {docket.name!r}"

    say(visit(Place(docket, url, config), work))


@app.command()
def resume(
    *,
    queues: Names = None,
    every: All = False,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Start work of queues again that were paused by hand; --all resumes every one of them."""
    by = me(author)
    names = _meant(queues, every=every)

    async def work(docket: Docket) -> str:
        pauses = await docket.storage.queues.paused()
        wanted = names
        if every:
            wanted = [one.queue for one in pauses if not one.file] or names
        resumed = await docket.operations.resume_queues(*wanted, author=by, reason=reason)
        files = _by_files(names, pauses)
        if not resumed:
            raise CommandRefused(
                files or f"nobody has paused {_told(names)} of docket {docket.name!r}"
            )
        if files:
            note(files)
        return f"Resumed {_told(resumed)} of docket {docket.name!r}"

    say(visit(Place(docket, url, config), work))


@app.command()
def purge(
    *,
    queue: Annotated[str, typer.Argument(help="The queue.", autocompletion=queue_names)],
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel all that waits in a queue, also for its time or parked; what runs goes on."""
    by = me(author)

    async def work(docket: Docket) -> str:
        from ...foundation.lifecycle import LIVE, ExecutionState  # noqa: PLC0415 - --help needs none of these
        from ...operations import Selection  # noqa: PLC0415

        waiting = Selection(queue=queue, states=LIVE - {ExecutionState.RUNNING})
        return await cancel_found(
            docket,
            waiting,
            verb="queue purge",
            author=by,
            reason=reason,
            dry_run=dry_run,
            yes=yes,
        )

    say(visit(Place(docket, url, config), work))


def _meant(queues: Sequence[str] | None, *, every: bool) -> list[str]:
    if bool(queues) == every:
        found = "both" if every else "none of them"
        raise Misused(f"expected names of queues, or --all, found {found}")
    return [EVERY_QUEUE] if every else [*dict.fromkeys(queues or ())]


def _by_files(queues: Sequence[str], pauses: Sequence[QueuePause]) -> str:
    """Return which files pause these queues, and what ends that; empty if none does."""
    found = [
        f"the file of {plain(one.file)} pauses {_told([one.queue])}: take `paused` out of its table in "
        "docket.toml"
        for one in pauses
        if one.file and any(queue == EVERY_QUEUE or one.holds_back(queue) for queue in queues)
    ]
    return "; ".join(found)


def _told(queues: Sequence[str]) -> str:
    return "all queues" if EVERY_QUEUE in queues else ", ".join(map(plain, queues))
