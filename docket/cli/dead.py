"""``docket dead``: what has failed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..plain import plain_lines
from .exits import NotFound
from .listing import MOST, Limit, pick
from .output import Form, Output, note, say, show, show_one
from .place import Config, Name, Place, Url, visit
from .tell import of_execution, text, when, wide

if TYPE_CHECKING:
    from ..docket import Docket

DEAD: Final = (
    text("key"),
    text("task"),
    when("completed_at", "DIED"),
    wide("attempt"),
    wide("worker"),
    wide("reason"),
    text("error"),
)

app = typer.Typer(
    help="Look at executions that failed for good.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("ls")
def list_dead(
    *,
    task: Annotated[str | None, typer.Option(help="Only executions of this task.")] = None,
    limit: Limit = MOST,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """List the dead letters that are still kept, the last one first."""

    async def look(docket: Docket) -> tuple[list[dict[str, Any]], str]:
        from ..execution import Execution  # noqa: PLC0415 - --help needs none of it

        executions = docket.storage.executions
        picked = await pick(executions.dead(limit + 1), limit, executions.count_dead, task=task)
        found = [of_execution(Execution.of(docket, record)) for record in picked.records]
        return found, picked.rest

    found, rest = visit(Place(docket, url, config), look)
    show("dead letters", found, DEAD, output)
    if rest:
        note(rest)


@app.command("show")
def show_dead(
    *,
    key: Annotated[str, typer.Argument(help="The key of the dead letter.")],
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Show one dead letter, with the traceback of its error if it was kept."""

    async def look(docket: Docket) -> tuple[dict[str, Any], str]:
        import asyncio  # noqa: PLC0415 - --help needs none of it

        execution = await docket.get_execution(key)
        if execution is None or execution.state.value != "failed":
            found = "nothing" if execution is None else f"one that is {execution.state.value}"
            raise NotFound(
                f"expected a dead letter {key!r} in docket {docket.name!r}, found {found}; "
                "`docket dead ls` lists them"
            )
        (error,) = await asyncio.gather(execution.get_result(), return_exceptions=True)
        return of_execution(execution), _traceback(error)

    item, traceback = visit(Place(docket, url, config), look)
    if output in (Form.JSON, Form.JSONL):
        item["traceback"] = traceback
    show_one("dead letter", item, output)
    if traceback and "traceback" not in item:
        say("\n" + plain_lines(traceback, "  "))


def _traceback(error: object) -> str:
    """Return where an exception was raised, if that was kept beside it."""
    return str(getattr(error, "__cause__", None) or "").strip()
