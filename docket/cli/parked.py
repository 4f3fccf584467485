"""``docket parked``: what waits for an operator, or for a worker that knows its task."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..plain import plain
from .clear import DryRun, Yes, ask
from .exits import Partial, Refused
from .listing import MOST, Limit, pick
from .output import Form, Output, note, say, show
from .place import Config, Name, Place, Url, visit
from .tell import known_tasks, of_execution, text, when, wide

if TYPE_CHECKING:
    from ..docket import Docket
    from ..storage.executions import Record

STRUCK: Final = "struck"
"""Why those are parked that a strike keeps back; they come free with it, and no other way."""

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
    help="Look at what is parked, and release it.",
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
        from ..execution import Execution  # noqa: PLC0415 - --help needs none of it

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
        parked = await _parked(docket, task)
        free = [record for record in parked if record.reason != STRUCK]
        told = f"{_counted(free)} of docket {docket.name!r}"
        if dry_run:
            return f"Would release {told}"
        if not yes:
            ask(f"This releases {told}.")
        await _wonder(docket, free)
        released = await _release(docket, free)
        _complain(len(parked) - len(free), released)
        return f"Released {released} of docket {docket.name!r}"

    say(visit(Place(docket, url, config), work))


async def _parked(docket: Docket, task: str | None) -> list[Record]:
    found = docket.storage.executions.parked()
    return [record async for record in found if task in (None, record.task)]


async def _release(docket: Docket, records: list[Record]) -> int:
    tasks: dict[str, set[str]] = {}
    for record in records:
        tasks.setdefault(record.reason or "", set()).add(record.task)
    released = [
        await docket.storage.workers.unpark(reason, sorted(names))
        for reason, names in tasks.items()
    ]
    return sum(len(done.released) for done in released)


async def _wonder(docket: Docket, records: list[Record]) -> None:
    unknown = {record.task for record in records} - await known_tasks(docket)
    if unknown:
        note(
            f"no worker knows {plain(', '.join(sorted(unknown)))}: the next one that finds them parks them "
            "again; start a worker with their code, and it releases them by itself"
        )


def _complain(struck: int, released: int) -> None:
    if not struck:
        return
    kind = Partial if released else Refused
    raise kind(
        f"Released {released}; {struck} stay parked, because they are struck: `docket strikes ls` "
        "lists the strikes, `docket restore` takes one back and releases what it has parked"
    )


def _counted(records: list[Record]) -> str:
    counts = Counter((record.task, record.reason) for record in records)
    return (
        ", ".join(
            f"{count} × {plain(task)} ({plain(str(reason))})"
            for (task, reason), count in counts.items()
        )
        or "nothing"
    )
