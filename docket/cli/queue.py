"""``docket queue``: how much waits where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from .output import Column, Form, Output, note, show
from .place import Config, Name, Place, Url, visit
from .tell import text

if TYPE_CHECKING:
    from ..docket import Docket

QUEUES: Final = (text("name"), Column("DUE OR RUNNING", lambda item: str(item["due_or_running"])))

app = typer.Typer(
    help="Look at the queues.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def queue() -> None:
    """Look at the queues."""


@app.command("ls")
def list_queues(
    *, docket: Name = None, url: Url = None, config: Config = None, output: Output = Form.TABLE
) -> None:
    """List the queues, and how much is due or running in each."""

    async def look(docket: Docket) -> tuple[list[dict[str, Any]], int]:
        backlog = await docket.storage.executions.backlog()
        items = [{"name": name, "due_or_running": due} for name, due in backlog.due.items()]
        return items, backlog.future + backlog.waiting

    items, future = visit(Place(docket, url, config), look)
    show("queues", items, QUEUES, output)
    note(f"{future} more wait for their time, or for a slot of a limit")
