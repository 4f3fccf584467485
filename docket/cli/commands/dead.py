"""``docket dead``: what has failed for good."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from ...foundation.plain import plain_lines
from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.completion import task_names
from ..parameters.dead_letters import (
    Choice,
    chosen,
    parse_changes,
    parse_rate,
    summary,
)
from ..parameters.many import DryRun, Yes
from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.times import duration_option
from ..terminal.descriptions import of_execution, text, when, wide
from ..terminal.errors_alike import ERRORS, by_error
from ..terminal.exit_codes import NotFound
from ..terminal.listings import MOST, Limit, pick
from ..terminal.output import Form, Output, note, say, show, show_one

if TYPE_CHECKING:
    from ...docket import Docket

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
    help="Look at dead letters, run them again or delete them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("ls")
def list_dead(
    *,
    task: Annotated[
        str | None, typer.Option(help="Only executions of this task.", autocompletion=task_names)
    ] = None,
    group: Annotated[
        Literal["error"] | None,
        typer.Option(
            help="Count those that failed alike: of one task, by one error, but for numbers."
        ),
    ] = None,
    limit: Limit = MOST,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """List the dead letters that are still kept, the last one first; or how many there are of each error."""
    if group:
        groups = visit(Place(docket, url, config), lambda docket: by_error(docket, task))
        show("errors", groups, ERRORS, output)
        return

    async def look(docket: Docket) -> tuple[list[dict[str, Any]], str]:
        from ...execution import Execution  # noqa: PLC0415 - --help needs none of it

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


Keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="The dead letters.")]
Task = Annotated[str | None, typer.Option(help="All of this task.", autocompletion=task_names)]
Error = Annotated[str | None, typer.Option(help="All whose error has this text in it.")]
Since = Annotated[
    timedelta | None, duration_option("--since", help="All that failed no longer ago than this.")
]


@app.command()
def retry(
    *,
    keys: Keys = None,
    task: Task = None,
    error: Error = None,
    since: Since = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Run it with this argument, such as amount=int:5."
        ),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="How many, at most, in a while: 10/s, 30/m.")
    ] = None,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run dead letters once more, from their first attempt: by key, or all that a filter finds."""
    choice = Choice(keys or (), task, error, since)
    choice.check()
    changed = parse_changes(changes or ())
    most = None if rate is None else parse_rate(rate)
    by = me(author)

    async def work(docket: Docket) -> str:
        from ...operations import Deed, new_deed  # noqa: PLC0415 - --help needs none of it

        deed = new_deed()
        found = await chosen(docket, choice, "retry", dry_run=dry_run, yes=yes)
        if dry_run:
            return ""
        if len(found) > 1:
            note(f"`docket task cancel --deed {deed}` takes back what has not begun")
        done = await docket.operations.retry(
            *found,
            changes=changed,
            author=by,
            reason=reason,
            deed=deed,
            rate=most,
            chosen_by=choice.about,
        )
        return summary(done, Deed.RETRIED, "Retried")

    if told := visit(Place(docket, url, config), work):
        say(told)


@app.command()
def discard(
    *,
    keys: Keys = None,
    task: Task = None,
    error: Error = None,
    since: Since = None,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Take dead letters away for good, with their errors: by key, or all that a filter finds."""
    choice = Choice(keys or (), task, error, since)
    choice.check()
    by = me(author)

    async def work(docket: Docket) -> str:
        from ...operations import Deed  # noqa: PLC0415 - --help needs none of it

        found = await chosen(docket, choice, "discard", dry_run=dry_run, yes=yes)
        if dry_run:
            return ""
        done = await docket.operations.discard(
            *found, author=by, reason=reason, chosen_by=choice.about
        )
        return summary(done, Deed.DISCARDED, "Discarded")

    if told := visit(Place(docket, url, config), work):
        say(told)


def _traceback(error: object) -> str:
    """Return where an exception was raised, if that was kept beside it."""
    return str(getattr(error, "__cause__", None) or "").strip()
