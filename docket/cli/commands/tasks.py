"""``docket tasks``: adds one of the tasks that every docket knows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.times import duration_option, later
from ..terminal.output import say

if TYPE_CHECKING:
    from ...docket import Docket

Message = Annotated[str, typer.Argument(help="The message.")]
Delay = Annotated[
    timedelta,
    duration_option("--delay", help="How long to wait before the run.", show_default="0s"),
]

app = typer.Typer(
    help="Add one of the tasks that every docket knows, to try things out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def trace(
    *,
    message: Message = "Howdy!",
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    delay: Delay = timedelta(),
) -> None:
    """Add a task that writes a message to the log of its worker."""
    _add(Place(docket, url, config), "trace", delay, message)


@app.command()
def fail(
    *,
    message: Message = "Howdy!",
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    delay: Delay = timedelta(),
) -> None:
    """Add a task that fails, twice."""
    _add(Place(docket, url, config), "fail", delay, message)


@app.command()
def sleep(
    *,
    seconds: Annotated[float, typer.Argument(min=0, help="The time in seconds.")] = 1,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    delay: Delay = timedelta(),
) -> None:
    """Add a task that holds a slot of a worker for some seconds."""
    _add(Place(docket, url, config), "sleep", delay, seconds)


def _add(place: Place, task: str, delay: timedelta, *arguments: Any) -> None:
    async def add(docket: Docket) -> tuple[str, str]:
        execution = await docket.add(task, when=later(delay))(*arguments)
        return execution.key, docket.name

    key, name = visit(place, add)
    say(f"Added {task} task {key!r} to the docket {name!r}")
