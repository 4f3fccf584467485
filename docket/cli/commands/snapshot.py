"""``docket snapshot``: how a docket stands at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..parameters.objects import STANDARD, register
from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.descriptions import EXECUTIONS, WORKERS, of_execution, of_workers, text, when
from ..terminal.listings import LISTED, LOOKED_AT, MOST, Limit, pick
from ..terminal.output import (
    VERSION,
    Column,
    Form,
    Output,
    distance,
    dump,
    moment,
    note,
    say,
    show,
)

if TYPE_CHECKING:
    from ...docket import Docket
    from ...execution import Execution
    from ...insights.snapshot import DocketSnapshot

STATS_TITLE: Final = "Task Count Statistics by Function"
STATS: Final = (
    text("task"),
    Column("TOTAL", lambda item: str(item["total"])),
    Column("RUNNING", lambda item: str(item["running"])),
    Column("QUEUED", lambda item: str(item["queued"])),
    when("oldest_queued"),
    when("latest_queued"),
)


def snapshot(
    *,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            envvar="DOCKET_TASKS",
            metavar="MODULE:ATTRIBUTE",
            help="A collection of tasks, whose logged arguments are then shown.",
            show_default=STANDARD,
        ),
    ] = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    stats: Annotated[bool, typer.Option("--stats", help="Also count by task.")] = False,
    limit: Limit = MOST,
    output: Output = Form.TABLE,
) -> None:
    """Show what is due, what runs, and who works."""

    is_json = output in (Form.JSON, Form.JSONL)
    # To count takes no room.
    most = max(limit, LOOKED_AT) if stats or is_json else limit

    async def look(docket: Docket) -> tuple[DocketSnapshot, int]:
        for path in tasks or [STANDARD]:
            register(docket.registry, path)
        return await _taken(docket, most)

    taken, running = visit(Place(docket, url, config), look)
    shown = _cut(taken, limit)
    if is_json:
        document = _document(shown) | {"stats": task_stats(taken)}
        typer.echo(dump(document, indent=2 if output is Form.JSON else None))
    else:
        say(_summary(taken, running))
        for kind, items, columns in (
            ("executions", [*map(of_execution, [*shown.running, *shown.future])], EXECUTIONS),
            ("workers", of_workers(taken.workers), WORKERS),
            *([("stats", task_stats(taken), STATS)] if stats else []),
        ):
            if items:
                typer.echo()
                if kind == "stats":
                    typer.echo(STATS_TITLE)
                show(kind, items, columns, output)
    if (total := taken.total_tasks) > limit:
        note(f"{total - limit} more; --limit {total} lists them, too")
    if (stats or is_json) and total > most:
        note(f"the statistics are of the first {most} of {total}; --limit {total} counts all")


async def _taken(docket: Docket, most: int) -> tuple[DocketSnapshot, int]:
    """Take a snapshot, or the beginning of a long one, and count what runs."""
    from ...insights.snapshot import snapshot_of  # noqa: PLC0415 - --help needs none of it

    executions = docket.storage.executions
    stock = await executions.stock()
    total = sum(stock)
    if total <= most:
        whole = await docket.snapshot()
        return whole, len(whole.running)
    now = datetime.now(timezone.utc)

    async def count() -> int:
        return total

    picked = await pick(executions.listed(LISTED, most + 1), most, count)
    found = snapshot_of(docket, picked.records, await docket.workers(), now)
    return replace(found, total_tasks=total), stock.running


def _cut(taken: DocketSnapshot, limit: int) -> DocketSnapshot:
    """Cut a snapshot to this many executions, running ones first."""
    running = taken.running[:limit]
    return replace(taken, running=running, future=taken.future[: limit - len(running)])


def task_stats(taken: DocketSnapshot) -> list[dict[str, Any]]:
    """Return the executions of a snapshot, counted by task; those with most of them first."""
    names = {one.function_name for one in [*taken.running, *taken.future]}
    counted = [
        _stats(
            name,
            sum(one.function_name == name for one in taken.running),
            [one for one in taken.future if one.function_name == name],
        )
        for name in names
    ]
    return sorted(counted, key=lambda item: (-item["total"], item["task"]))


def _stats(task: str, running: int, waiting: Sequence[Execution]) -> dict[str, Any]:
    moments = [one.when for one in waiting]
    return {
        "task": task,
        "total": running + len(waiting),
        "running": running,
        "queued": len(waiting),
        "oldest_queued": min(moments, default=None),
        "latest_queued": max(moments, default=None),
    }


def _document(taken: DocketSnapshot) -> dict[str, Any]:
    return {
        "version": VERSION,
        "kind": "snapshot",
        "taken": taken.taken,
        "total_tasks": taken.total_tasks,
        "running": [*map(of_execution, taken.running)],
        "future": [*map(of_execution, taken.future)],
        "workers": of_workers(taken.workers),
    }


def _summary(taken: DocketSnapshot, running: int) -> str:
    oldest = min((one.when for one in taken.future), default=None)
    # Scripts read it: as pydocket says it, one or many.
    counts = (
        f"{len(taken.workers)} workers, {running}/{taken.total_tasks} running as of "
        f"{moment(taken.taken)}"
    )
    return f"{counts}; the oldest is due {distance(oldest)}" if oldest else counts
