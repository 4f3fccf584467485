"""``docket task``: looks at executions, adds and cancels them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ...errors import NotRunning, ResultEvicted, Undecodable, WorkerSilent
from ...foundation.lifecycle import ExecutionState
from ...foundation.plain import plain
from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.call_options import Expires, Once, Priority, Queue, Tags, Timeout, call_options
from ..parameters.completion import queue_names, task_names
from ..parameters.many import DryRun, Yes
from ..parameters.objects import register
from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.selections import cancel_found, parse_where
from ..parameters.times import duration_option, later
from ..parameters.typed_values import parse_argument, parse_moment
from ..terminal.descriptions import known_tasks, meant, of_execution
from ..terminal.endings import of_ended, parse_since
from ..terminal.exit_codes import CommandRefused, Misused, NotFound, Partial, TimedOut
from ..terminal.explanations import show_explanation
from ..terminal.listings import MOST
from ..terminal.output import Form, Output, note, say, show_one
from .task_listing import LIVE_STATES, Asked, list_ended, list_live, show_stats

if TYPE_CHECKING:
    from ...docket import Docket
    from ...execution import Execution
    from ...insights import Explanation, Stack
    from ...operations import Done
    from ...storage.executions import Record

Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="What ended after that: 2h ago, yesterday, or a moment."),
]
Until = Annotated[str | None, typer.Option(metavar="WHEN", help="What ended before that.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME==VALUE", help="What ended with such an argument, of those that are Logged."
    ),
]
Tagged = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only executions with this tag.")
]
ErrorKind = Annotated[
    str | None, typer.Option(help="What failed with this error: its class, or a fingerprint.")
]

app = typer.Typer(
    help="Look at executions, add and cancel them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("ls")
def list_executions(
    *,
    state: Annotated[
        Literal[
            "scheduled",
            "queued",
            "running",
            "completed",
            "failed",
            "retried",
            "cancelled",
            "struck",
            "expired",
            "dropped",
        ]
        | None,
        typer.Option(help="Only executions in this state, or that have ended so."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Only executions of this task.", autocompletion=task_names)
    ] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    tags: Tagged = None,
    error: ErrorKind = None,
    cursor: Annotated[
        str | None, typer.Option(help="Go on where the page before has ended.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="The number of entries to list.", show_default="1000; 50 ended"),
    ] = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """List the executions that wait or run, or what has ended, the latest first.

    Example: docket task ls --since 2h --state failed --where customer==acme
    """
    place = Place(docket, url, config)
    if state in LIVE_STATES or not any((state, since, until, where, error, cursor)):
        if since or until or where or error or cursor:
            raise Misused(
                f"expected --since, --until, --where, --error or --cursor for what has ended, found "
                f"--state {state}"
            )
        list_live(place, state, task, tags[0] if tags else None, limit or MOST, output)
        return
    states = () if state is None else (state,)
    times = parse_since(since), parse_since(until)
    list_ended(
        place, Asked(*times, states, task, where or (), tags or (), error), limit, cursor, output
    )


@app.command()
def stats(
    *,
    task: Annotated[
        str | None, typer.Option(help="Only executions of this task.", autocompletion=task_names)
    ] = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[
        Literal["completed", "failed", "retried", "cancelled", "struck", "expired", "dropped"]
        | None,
        typer.Option(help="Only what has ended so."),
    ] = None,
    where: Where = None,
    tags: Tagged = None,
    error: ErrorKind = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Count how the runs of each task have ended, and how long they took (p50, p95).

    By task and time it counts all runs of up to 7 days, from the series; by anything else, from the history.
    """
    times = parse_since(since), parse_since(until)
    states = () if state is None else (state,)
    asked = Asked(*times, states, task, where or (), tags or (), error)
    show_stats(Place(docket, url, config), asked, output)


@app.command()
def get(
    *,
    key: Annotated[str, typer.Argument(help="The key of the execution.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Also show its arguments and its result.")
    ] = False,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Show one execution in any state."""

    async def look(docket: Docket) -> dict[str, Any]:
        execution = await docket.get_execution(key)
        record, result = await docket.storage.executions.read_with_result(key)
        if execution is None or record is None:
            return await _ended(docket, key)
        progress = execution.progress
        explanation = await docket.insights.explain(key)
        item = of_execution(execution)
        item["why"] = explanation and explanation.sentence
        if retries := execution.retries:
            item["retries"] = [asdict(one) for one in retries]
        item["progress"] = {
            "current": progress.current,
            "total": progress.total,
            "message": progress.message,
        }
        return item | (await _revealed(docket, execution, record, result) if reveal else {})

    show_one("execution", visit(Place(docket, url, config), look), output)


@app.command()
def explain(
    *,
    key: Annotated[str, typer.Argument(help="The key of the execution.")],
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Say why an execution runs, waits or has ended so, and what can be done about it."""

    async def look(docket: Docket) -> Explanation:
        found = await docket.insights.explain(key)
        if found is None:
            raise _not_there(docket, key)
        return found

    show_explanation(visit(Place(docket, url, config), look), output)


@app.command()
def stack(
    *,
    key: Annotated[str, typer.Argument(help="The key of the execution.")],
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Show where a running execution stands now: its worker is asked, your code comes first."""

    async def look(docket: Docket) -> Stack:
        try:
            found = await docket.insights.stack(key)
        except NotRunning as error:
            raise CommandRefused(str(error)) from error
        except WorkerSilent as error:
            raise TimedOut(str(error)) from error
        if found is None:
            raise _not_there(docket, key)
        return found

    found = visit(Place(docket, url, config), look)
    if output in (Form.JSON, Form.JSONL):
        item = asdict(found)
        item["loop_stands"] = found.loop_stands.total_seconds()
        show_one("stack", item, output)
    else:
        say(str(found))


@app.command()
def add(
    *,
    task: Annotated[str, typer.Argument(help="The name of the task.", autocompletion=task_names)],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VALUE|NAME=VALUE]...",
            help='Its arguments: strings, int:5, float:, bool:, datetime:, … or json:["a", 1]',
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The key of the execution.", show_default="a new one")
    ] = None,
    delay: Annotated[
        timedelta,
        duration_option("--delay", help="How long to wait before the run.", show_default="0s"),
    ] = timedelta(),
    when: Annotated[
        str | None, typer.Option(help="When it is due, such as 2026-07-01T12:00:00+02:00.")
    ] = None,
    queue: Queue = None,
    priority: Priority = None,
    expires: Expires = None,
    timeout: Timeout = None,
    tags: Tags = None,
    once: Once = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            metavar="MODULE:ATTRIBUTE",
            help="A collection of tasks; needed for one that no worker knows yet.",
        ),
    ] = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Add a call of a task; prints its key.

    Example: docket task add greet name=Jane times=int:3 --delay 5m
    """
    args, kwargs = _arguments(arguments or [])
    due = later(delay) if when is None else parse_moment(when)
    options = call_options(queue, priority, expires, timeout, tags, once)

    async def work(docket: Docket) -> str:
        for path in tasks or []:
            register(docket.registry, path)
        await _know(docket, task, args, kwargs)
        meant = _meant(docket, task, args, kwargs)
        execution = await docket.add(task, when=due, key=key, **options)(*meant[0], **meant[1])
        _expect_scheduled(execution)
        if execution.disposition.value == "already_done":
            note(f"{plain(execution.key)} is {execution.state.value} already, and runs once only")
        else:
            note(f"Added {task} to docket {docket.name!r}")
        return execution.key

    say(visit(Place(docket, url, config), work))


@app.command()
def cancel(
    *,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="The keys of the executions.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="All of this task.", autocompletion=task_names)
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME==VALUE", help="All with such an argument, as customer==acme."),
    ] = None,
    queue: Annotated[
        str | None, typer.Option(help="All of this queue.", autocompletion=queue_names)
    ] = None,
    tag: Annotated[str | None, typer.Option(help="All with this tag.")] = None,
    older: Annotated[
        timedelta | None, duration_option("--older", help="All that have been due for longer.")
    ] = None,
    deed: Annotated[
        str | None,
        typer.Option(help="All that this deed has had run again, and that have not begun."),
    ] = None,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel executions, by key or all that every filter lets through; running ones are notified.

    Example: docket task cancel --task charge --where customer==acme --older 1h --dry-run
    """
    by = me(author)
    filters = (task, where, queue, tag, older, deed)
    if bool(keys) == any(one is not None and one != [] for one in filters):
        found = "both" if keys else "none"
        raise Misused(
            "expected which executions are meant, by their keys or by --task, --where, --queue, --tag, "
            f"--older, --deed; found {found}"
        )
    conditions = parse_where(where or ())

    async def work(docket: Docket) -> str:
        from ...operations import Selection  # noqa: PLC0415 - --help needs none of it

        if keys and dry_run:
            return f"Would cancel {', '.join(map(plain, keys))}"
        if keys:
            return await _cancel_each(docket, keys, by, reason)
        selection = Selection(task, conditions, queue, tag, older, deed)
        return await cancel_found(
            docket, selection, author=by, reason=reason, dry_run=dry_run, yes=yes
        )

    if told := visit(Place(docket, url, config), work):
        say(told)


@app.command("run-now")
def run_now(
    *,
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="The keys of the executions.")
    ],
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Run what is scheduled for later at once; limits hold as ever."""
    by = me(author)

    async def work(docket: Docket) -> str:
        done = await docket.operations.run_now(*keys, author=by, reason=reason)
        return _summed("Due now", done, "DUE")

    say(visit(Place(docket, url, config), work))


@app.command("retry")
def retry(
    *,
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="The keys of the executions.")
    ],
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Try executions again at once: those that wait for their next attempt, and dead letters."""
    by = me(author)

    async def work(docket: Docket) -> str:
        from ...operations import new_deed  # noqa: PLC0415 - --help needs none of it

        records = await docket.storage.executions.read(*keys)
        waiting = [
            one.key
            for one in records
            if one and one.state is ExecutionState.SCHEDULED and one.attempt > 1
        ]
        others = [key for key in keys if key not in waiting]
        deed = new_deed()
        done = await docket.operations.run_now(*waiting, author=by, reason=reason, deed=deed)
        done += await docket.operations.retry(*others, author=by, reason=reason, deed=deed)
        return _summed("Tried again", done, "DUE", "RETRIED")

    say(visit(Place(docket, url, config), work))


def _summed(verb: str, done: Sequence[Done], *good: str) -> str:
    """Return what was done to which keys.

    Raises:
        NotFound, CommandRefused: it was done to none of them.
        Partial: it was done to some of them only.
    """
    well = [plain(one.key) for one in done if one.deed.name in good]
    rest = [one for one in done if one.deed.name not in good]
    told = f"{verb}: {', '.join(well)}"
    if not rest:
        return told
    words = "\n".join(
        [
            *[told][: len(well)],
            *(f"{plain(one.key)} is left alone: {_why_not(one)}" for one in rest),
        ]
    )
    if well:
        raise Partial(words)
    raise (NotFound if all(one.deed.name == "UNKNOWN" for one in rest) else CommandRefused)(words)


def _why_not(one: Done) -> str:
    if one.deed.name == "UNKNOWN":
        return "there is no such execution"
    if one.deed.name == "STRUCK":
        return "a strike on its task keeps it; `docket strikes ls` lists the strikes"
    return f"it is {plain(one.detail)}" if one.deed.name.startswith("NOT_") else plain(one.detail)


async def _cancel_each(docket: Docket, keys: Sequence[str], by: str, reason: str) -> str:
    failures: list[Exception] = []
    meant: dict[str, str] = {}
    for key in keys:
        try:
            meant[key] = await _cancelled(docket, key)
        except (NotFound, CommandRefused) as failure:
            failures.append(failure)
    await docket.operations.cancel(*meant, author=by, reason=reason)
    for told in meant.values():
        say(told)
    if len(failures) == len(keys) == 1:
        raise failures[0]
    if failures:
        raise Partial("\n".join(map(str, failures)))
    return ""


async def _cancelled(docket: Docket, key: str) -> str:
    """Return what is to be said when an execution is cancelled.

    Raises:
        NotFound, CommandRefused: it cannot be.
    """
    execution = await docket.get_execution(key)
    if execution is None:
        raise _not_there(docket, key)
    if execution.state.is_terminal:
        raise CommandRefused(f"{key!r} cannot be cancelled: it is {execution.state.value} already")
    runs = execution.state.value == "running"
    return f"Cancelled {plain(key)}" + f", which runs on {plain(str(execution.worker))}" * runs


async def _ended(docket: Docket, key: str) -> dict[str, Any]:
    """Return what the history knows of an execution whose record is gone."""
    from ...insights import Choice  # noqa: PLC0415 - --help needs none of it

    page = await docket.insights.history(Choice(key=key), limit=1)
    if not page.entries:
        raise _not_there(docket, key)
    note("Its record is gone; this is from the history")
    return of_ended(page.entries[0])


def _not_there(docket: Docket, key: str) -> NotFound:
    return NotFound(
        f"docket {docket.name!r} holds no execution {key!r}; it may have ended a while ago, "
        "or never have been added; `docket task ls` lists what waits and runs"
    )


async def _revealed(
    docket: Docket, execution: Execution, record: Record, result: bytes | None
) -> dict[str, Any]:
    """Return arguments and result; what cannot be built here without running code is described."""
    from ...calls.results import POINTER  # noqa: PLC0415 - --help needs none of these
    from ...serialization import describe, place_of_call  # noqa: PLC0415

    shown: dict[str, Any] = {}
    try:
        place = place_of_call(record.task, record.key)
        args, kwargs = docket.serializer.load_call(record.call, context=place)
        shown["args"] = [*map(repr, args)]
        shown["kwargs"] = {name: repr(value) for name, value in kwargs.items()}
    except Undecodable:
        shown["arguments"] = str(describe(record.call))
    if execution.state.value == "completed":
        try:
            shown["result"] = repr(await execution.get_result())
        except (ResultEvicted, Undecodable) as error:
            shown["result"] = str(
                error if result is None or result.startswith(POINTER) else describe(result)
            )
    return shown


def _arguments(texts: list[str]) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = parse_argument(value)
        else:
            args.append(parse_argument(text))
    return args, kwargs


async def _know(docket: Docket, task: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Register a task here that workers know: to add it, its name and what they report of it are enough."""
    from ...calls.binding import Shape, bind_to_any  # noqa: PLC0415 - --help needs none of it
    from ...calls.registry import StandIn  # noqa: PLC0415

    if task in docket.tasks:
        return
    known = await known_tasks(docket)
    shapes = await docket.storage.workers.shapes(task, docket.silence)
    if task not in known and not shapes:
        raise NotFound(
            f"no worker of docket {docket.name!r} knows a task {task!r}: start one with its code, "
            f"or name a collection that has it with --tasks{meant(task, known)}"
        )
    bind_to_any(task, map(Shape.read, shapes), tuple(args), kwargs)
    docket.register(StandIn(), [task])


def _meant(
    docket: Docket, task: str, args: list[Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments as the task's annotations want them; what only a worker knows, it makes itself."""
    from ...annotations import get_signature  # noqa: PLC0415 - --help needs none of it
    from ...errors import ModelMismatch  # noqa: PLC0415
    from ...serialization.written import as_meant  # noqa: PLC0415

    try:
        return as_meant(get_signature(docket.tasks[task]), tuple(args), kwargs)
    except ModelMismatch as error:
        raise Misused(f"{task} cannot be called so: {error}") from error


def _expect_scheduled(execution: Execution) -> None:
    word = execution.disposition.value
    if word == "struck":
        raise CommandRefused(
            f"{execution.function_name} is struck; `docket strikes ls` says why, and "
            "`docket restore` takes it back"
        )
    if word not in ("scheduled", "already_done"):
        raise CommandRefused(
            f"{execution.key!r} is there already; `docket task get {plain(execution.key)}` shows it"
        )
