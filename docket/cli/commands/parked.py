"""``docket parked``: what waits for an operator, or for a worker that knows its task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...foundation.plain import plain
from ..parameters.author import author as me
from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.selections import cancel_found
from ..terminal.descriptions import known_tasks, of_execution, text, when, wide
from ..terminal.exit_codes import CommandRefused, Partial
from ..terminal.listings import MOST, Limit, pick
from ..terminal.output import Form, Output, note, say, show
from .clear import DryRun, Yes, ask

if TYPE_CHECKING:
    from ...docket import Docket
    from ...storage.parked import Group

STRUCK: Final = "struck"
"""Reason of executions that a strike keeps back; they are released with the strike, and no other way."""

PARKED: Final = (
    text("key"),
    text("task"),
    text("reason"),
    when("when", "DUE"),
    wide("queue"),
    wide("attempt"),
    wide("call"),
)

Task = Annotated[str | None, typer.Option("--task", help="Only executions of this task.")]

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
    task: Task = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Queue again what is parked, but for what a strike keeps back."""

    async def work(docket: Docket) -> str:
        free, struck = await _parked(docket, task)
        told = f"{_counted(free)} of docket {docket.name!r}"
        if dry_run:
            return f"Would release {told}"
        if not yes:
            ask(f"This releases {told}.")
        await _wonder(docket, free)
        released = await _release(docket, free)
        _complain(struck, released)
        return f"Released {released} of docket {docket.name!r}"

    say(visit(Place(docket, url, config), work))


@app.command()
def discard(
    *,
    task: Task = None,
    reason: Annotated[str, typer.Option(help="Why, for those who wonder.")] = "",
    author: Annotated[str | None, typer.Option(help="Who wants it so.", show_default="you")] = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel what is parked."""
    by = me() if author is None else author

    async def work(docket: Docket) -> str:
        from ...foundation.lifecycle import ExecutionState  # noqa: PLC0415 - --help needs none of these
        from ...operations import Selection  # noqa: PLC0415

        parked = Selection(task=task, states=frozenset({ExecutionState.PARKED}))
        return await cancel_found(
            docket, parked, author=by, reason=reason, dry_run=dry_run, yes=yes
        )

    say(visit(Place(docket, url, config), work))


async def _parked(docket: Docket, task: str | None) -> tuple[Mapping[Group, int], int]:
    """Count what can be released, by group, and what a strike keeps back."""
    groups = await docket.storage.workers.parked_by_group()
    struck = 0
    for group, count in groups.items():
        if group.reason == STRUCK:
            struck += count if task is None else await _struck(docket, group, count, task)
    free = {
        group: count
        for group, count in groups.items()
        if group.reason != STRUCK and task in (None, group.task)
    }
    return free, struck


async def _struck(docket: Docket, group: Group, count: int, task: str) -> int:
    """Count the executions of a task that one rule keeps back."""
    kind, _, name = group.task.partition(":")
    if kind == "task":
        return count if name == task else 0
    # A rule on arguments may be one for several tasks.
    records = docket.storage.executions.parked(group=group)
    return sum([record.task == task async for record in records])


async def _release(docket: Docket, groups: Iterable[Group]) -> int:
    tasks: dict[str, list[str]] = {}
    for group in groups:
        tasks.setdefault(group.reason, []).append(group.task)
    released = [
        await docket.storage.workers.unpark(reason, names) for reason, names in tasks.items()
    ]
    return sum(len(done.released) for done in released)


async def _wonder(docket: Docket, groups: Iterable[Group]) -> None:
    unknown = {group.task for group in groups} - await known_tasks(docket)
    if unknown:
        note(
            f"no worker knows {plain(', '.join(sorted(unknown)))}: the next one that finds them parks them "
            "again; start a worker with their code, and it releases them by itself"
        )


def _complain(struck: int, released: int) -> None:
    if not struck:
        return
    kind = Partial if released else CommandRefused
    raise kind(
        f"Released {released}; {struck} stay parked, because they are struck: `docket strikes ls` "
        "lists the strikes, `docket restore` takes one back and releases what it has parked"
    )


def _counted(groups: Mapping[Group, int]) -> str:
    return (
        ", ".join(
            f"{count} × {plain(group.task)} ({plain(group.reason)})"
            for group, count in groups.items()
        )
        or "nothing"
    )
