"""``docket workers``: who works, and on what."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from ..parameters.completion import task_names
from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.descriptions import WORKERS, known_tasks, meant, of_workers
from ..terminal.output import Form, Output, note, show

if TYPE_CHECKING:
    from ...docket import Docket
    from ...storage.workers import WorkerInfo

app = typer.Typer(
    help="Look at the workers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("ls")
def list_workers(
    *, docket: Name = None, url: Url = None, config: Config = None, output: Output = Form.TABLE
) -> None:
    """List the workers that live."""
    _show(visit(Place(docket, url, config), lambda docket: docket.workers()), output)


@app.command("for-task")
def workers_for_task(
    *,
    task: Annotated[str, typer.Argument(help="The name of the task.", autocompletion=task_names)],
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """List the workers that know a task."""

    async def look(docket: Docket) -> Collection[WorkerInfo]:
        workers = await docket.task_workers(task)
        if not workers:
            note(f"no worker knows {task}{meant(task, await known_tasks(docket) - {task})}")
        return workers

    _show(visit(Place(docket, url, config), look), output)


def _show(workers: Collection[WorkerInfo], form: Form) -> None:
    items = of_workers(workers)
    show("workers", items, WORKERS, form)
    behind = sum(item["is_behind"] for item in items)
    if behind and form not in (Form.JSON, Form.JSONL):
        note(f"{behind} of {len(items)} workers run older code than the newest: `docket restart`")
