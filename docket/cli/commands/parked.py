"""``docket parked``: what waits for an operator, or for a worker that knows its task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.completion import task_names
from ..parameters.many import DryRun, Yes, ask
from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.releases import (
    ParkedChoice,
    complain_of_struck,
    counted_groups,
    release_groups,
    released,
    warn_of_unknown,
)
from ..parameters.selections import cancel_found
from ..terminal.descriptions import of_execution, text, when, wide
from ..terminal.listings import MOST, Limit, pick
from ..terminal.output import Form, Output, note, say, show

if TYPE_CHECKING:
    from ...docket import Docket

PARKED: Final = (
    text("key"),
    text("task"),
    text("reason"),
    when("when", "DUE"),
    wide("queue"),
    wide("attempt"),
    wide("call"),
)

Task = Annotated[
    str | None,
    typer.Option("--task", help="Only executions of this task.", autocompletion=task_names),
]

app = typer.Typer(
    help="Look at parked executions, release or cancel them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("ls")
def list_parked(
    *,
    task: Task = None,
    limit: Limit = MOST,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """List what is parked, and why; the longest parked first."""

    async def look(docket: Docket) -> tuple[list[dict[str, Any]], str]:
        from ...execution import Execution  # noqa: PLC0415 - --help needs none of it

        storage = docket.storage
        parked = storage.executions.parked(limit + 1)
        picked = await pick(parked, limit, storage.workers.parked, task=task)
        found = [of_execution(Execution.of(docket, record)) for record in picked.records]
        return found, picked.rest

    found, rest = visit(Place(docket, url, config), look)
    show("parked executions", found, PARKED, output)
    if rest:
        note(rest)


@app.command()
def release(
    *,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="The parked executions.")
    ] = None,
    task: Task = None,
    parked_for: Annotated[
        str | None,
        typer.Option(help="Only what is parked for this reason, such as unknown_task."),
    ] = None,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Queue again what is parked, but for what a strike keeps back: by key, or all that a filter finds."""
    choice = ParkedChoice(keys or (), task, parked_for)
    choice.check()
    by = me(author)

    async def named(docket: Docket) -> str:
        done = await docket.operations.release(
            *choice.keys, author=by, reason=reason, dry_run=dry_run
        )
        return released(done, docket.name, "Would release" if dry_run else "Released")

    async def found(docket: Docket) -> str:
        free, struck = await choice.find(docket)
        told = f"{counted_groups(free)} of docket {docket.name!r}"
        if dry_run:
            return f"Would release {told}"
        if not yes:
            ask(f"This releases {told}.")
        await warn_of_unknown(docket, free)
        count, kept = await release_groups(docket, free, by, reason)
        complain_of_struck(struck + kept, count)
        return f"Released {count} of docket {docket.name!r}"

    say(visit(Place(docket, url, config), named if choice.keys else found))


@app.command()
def discard(
    *,
    task: Task = None,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel what is parked."""
    by = me(author)

    async def work(docket: Docket) -> str:
        from ...foundation.lifecycle import ExecutionState  # noqa: PLC0415 - --help needs none of these
        from ...operations import Selection  # noqa: PLC0415

        parked = Selection(task=task, states=frozenset({ExecutionState.PARKED}))
        return await cancel_found(
            docket,
            parked,
            verb="parked discard",
            author=by,
            reason=reason,
            dry_run=dry_run,
            yes=yes,
        )

    say(visit(Place(docket, url, config), work))
