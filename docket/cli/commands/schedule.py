"""``docket schedule``: looks at schedules, pauses them, and runs them beside their due times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from ...errors import TooManyRuns, UnknownSchedule
from ...foundation.plain import plain
from ...foundation.units import from_milliseconds
from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.completion import schedule_names
from ..parameters.many import DryRun, Yes, ask
from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.times import duration_option
from ..terminal.descriptions import text, when, wide
from ..terminal.exit_codes import CommandRefused, Misused, NotFound, Partial
from ..terminal.explanations import show_explanation
from ..terminal.output import Column, Form, Output, note, say, show, show_one

if TYPE_CHECKING:
    from ...docket import Docket
    from ...insights import Explanation
    from ...schedules.timetable import Backfilled, KeptUp, ScheduleEntry, Timetable
    from ...schedules.upcoming import Due

T = TypeVar("T")

Schedule = Annotated[
    str, typer.Argument(help="Its name, or owner/name.", autocompletion=schedule_names)
]

SCHEDULES: Final = (
    text("name"),
    text("task"),
    text("times"),
    when("next"),
    when("last"),
    text("outcome"),
    text("paused"),
    wide("owner"),
    wide("runs"),
    wide("overlap"),
    wide("catchup"),
    wide("notes"),
)
TIMES: Final = (
    text("wall"),
    Column("UTC", lambda item: item["due"].isoformat()),
    when("due", "IN"),
)
NOTE: Final = text("note")
BACKFILLED: Final = (
    Column("DUE", lambda item: item["due"].isoformat()),
    text("key"),
    text("result"),
)

app = typer.Typer(
    help="Look at schedules, pause them, and run them beside their due times.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("ls")
def list_schedules(
    *, docket: Name = None, url: Url = None, config: Config = None, output: Output = Form.TABLE
) -> None:
    """List the active schedules of all owners, and the tasks that reschedule themselves."""

    async def look(timetable: Timetable) -> list[dict[str, Any]]:
        now = await timetable.now()
        entries = [_of(entry, now) for entry in await timetable.entries()]
        return entries + [_kept_up(one) for one in await timetable.kept_up()]

    show("schedules", _visit(docket, url, config, look), SCHEDULES, output)


@app.command("show")
def show_schedule(
    schedule: Schedule,
    *,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Show all that is known of a schedule, and what became of its last due times."""

    async def look(timetable: Timetable) -> dict[str, Any]:
        entry = await _find(timetable, schedule)
        known = _of(entry, await timetable.now())
        outcomes = await timetable.outcomes(entry)
        return {
            **known,
            "args": entry.schedule.args or None,
            "kwargs": entry.schedule.kwargs or None,
            "failures in a row": entry.known.failures or None,
            "skipped": dict(entry.known.skipped) or None,
            "history": [
                {
                    "due": from_milliseconds(one.due),
                    "outcome": one.word,
                    "times": one.times,
                    "key": one.key,
                    "end": one.end or None,
                    "seconds": None if one.took is None else one.took / 1000,
                }
                for one in outcomes
            ],
        }

    found = _visit(docket, url, config, look)
    if output in (Form.JSON, Form.JSONL):
        show_one("schedule", found, output)
        return
    history = found.pop("history")
    show_one("schedule", found, output)
    columns = (when("due"), *map(text, ("outcome", "times", "key", "end", "seconds")))
    show("due times so far", history, columns, output)


@app.command()
def explain(
    schedule: Schedule,
    *,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Say why a schedule has a run or none, and what can be done about it."""

    async def look(docket: Docket) -> Explanation:
        from ...schedules.timetable import Timetable  # noqa: PLC0415 - --help needs none of it

        try:
            found = await docket.insights.explain_schedule(schedule)
        except UnknownSchedule as error:
            raise NotFound(str(error)) from error
        if found is None:
            raise NotFound(str(await Timetable(docket).unknown(schedule)))
        return found

    show_explanation(visit(Place(docket, url, config), look), output)


@app.command("next")
def next_times(
    schedule: Schedule,
    *,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="The number of due times.")] = 5,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain the effect of clock changes on each.")
    ] = False,
    declared: Annotated[
        bool,
        typer.Option("--declared", help="As the file declares it, even if another one is active."),
    ] = False,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Show when a schedule is due next.

    Example: docket schedule next nightly -n 10 --explain
    """

    async def look(timetable: Timetable) -> list[Due]:
        entry = await _find(timetable, schedule)
        if paused := entry.pause_at(await timetable.now()):
            note(f"it is paused by {paused}")
        return await timetable.next(entry, count)

    found = _declared(schedule, config, count) if declared else _visit(docket, url, config, look)
    items = [
        {
            "due": one.moment.astimezone(timezone.utc),
            "wall": one.moment.isoformat(),
            "note": one.note,
        }
        for one in found
    ]
    show("due times to come", items, (*TIMES, NOTE) if explain else TIMES, output)


@app.command()
def pause(
    schedule: Schedule,
    *,
    reason: Reason = "",
    author: Author = None,
    lasting: Annotated[
        timedelta | None,
        duration_option("--for", help="The time after which it goes on by itself."),
    ] = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Pause a schedule; no file undoes that, only `docket schedule resume`."""

    async def work(timetable: Timetable) -> str:
        entry = await _find(timetable, schedule)
        await timetable.pause(entry, by=me(author), reason=reason, lasting=lasting)
        return f"Paused {plain(entry.id)}"

    say(_visit(docket, url, config, work))


@app.command()
def resume(
    schedule: Schedule,
    *,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Resume a schedule that an operator or a row of failures has paused."""

    async def work(timetable: Timetable) -> str:
        entry = await _find(timetable, schedule)
        if await timetable.resume(entry, by=me(author), reason=reason):
            return f"Resumed {plain(entry.id)}"
        where = "; the file has paused it" if entry.schedule.paused else ""
        raise CommandRefused(f"no operator has paused {plain(entry.id)}{where}")

    say(_visit(docket, url, config, work))


@app.command()
def trigger(
    schedule: Schedule,
    *,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Run a schedule now, besides its due times, and print the key of the run."""

    async def work(timetable: Timetable) -> str:
        entry = await _find(timetable, schedule)
        key = await timetable.trigger(entry, by=me(author), reason=reason)
        if key is None:
            raise CommandRefused(
                f"a strike forbids {plain(entry.schedule.task)}; `docket strikes ls` lists them"
            )
        return key

    say(_visit(docket, url, config, work))


@app.command("skip-next")
def skip_next(
    schedule: Schedule,
    *,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
) -> None:
    """Skip the next due time of a schedule."""

    async def work(timetable: Timetable) -> str:
        entry = await _find(timetable, schedule)
        due = await timetable.skip_next(entry, by=me(author), reason=reason)
        if due is None:
            raise CommandRefused(f"{plain(entry.id)} has no due time that could be skipped")
        return f"{plain(entry.id)} is not run at {due.isoformat()}"

    say(_visit(docket, url, config, work))


@app.command()
def backfill(
    schedule: Schedule,
    *,
    start: Annotated[
        str, typer.Option("--from", help="The first moment, such as 2026-03-01T00:00Z.")
    ],
    end: Annotated[
        str | None, typer.Option("--to", help="The moment after.", show_default="now")
    ] = None,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = Form.TABLE,
) -> None:
    """Run the due times of a schedule that have passed without a run.

    Example: docket schedule backfill nightly --from 2026-03-01 --to 2026-03-04 --dry-run
    """
    begins = _moment("--from", start)
    ends = datetime.now(timezone.utc) if end is None else _moment("--to", end)

    async def work(timetable: Timetable) -> list[Backfilled]:
        entry = await _find(timetable, schedule)
        try:
            would = await timetable.backfill(entry, begins, ends, is_dry=True)
            missing = [one for one in would if one.word == "WOULD"]
            if dry_run or not missing:
                return would
            if not yes:
                ask(f"This runs {plain(entry.id)} {len(missing)} times.")
            return await timetable.backfill(entry, begins, ends, by=me(author), reason=reason)
        except TooManyRuns as error:
            raise CommandRefused(str(error)) from error

    found = _visit(docket, url, config, work)
    items = [{"due": one.due, "key": one.key, "result": one.word.lower()} for one in found]
    show("due times that have passed", items, BACKFILLED, output)
    if struck := sum(one.word == "STRUCK" for one in found):
        raise Partial(f"a strike forbids {struck} of them; `docket strikes ls` lists the strikes")


def _visit(
    docket: str | None,
    url: str | None,
    config: Any,
    work: Callable[[Timetable], Awaitable[T]],
) -> T:
    def at(docket: Any) -> Awaitable[T]:
        from ...schedules.timetable import Timetable  # noqa: PLC0415 - --help needs none of it

        return work(Timetable(docket))

    return visit(Place(docket, url, config), at)


async def _find(timetable: Timetable, name: str) -> ScheduleEntry:
    try:
        return await timetable.find(name)
    except UnknownSchedule as error:
        raise NotFound(str(error)) from error


def _declared(name: str, config: Any, count: int) -> list[Due]:
    from ...config.load import load  # noqa: PLC0415
    from ...schedules.desired import desired_schedules  # noqa: PLC0415
    from ...schedules.upcoming import upcoming  # noqa: PLC0415
    from ..parameters.options import chosen  # noqa: PLC0415

    file, layers = chosen(None if config is None else [config], None, None)
    declared = {one.name: one for one in desired_schedules(load(file, chosen=layers).configuration)}
    if name not in declared:
        raise NotFound(
            f"{file} declares no schedule {name!r}; it declares {', '.join(declared) or 'none'}"
        )
    now = datetime.now(timezone.utc)
    return upcoming(declared[name], now, declared[name].next_after(now), count)


def _of(entry: ScheduleEntry, now: datetime) -> dict[str, Any]:
    from ...schedules.codec import in_words  # noqa: PLC0415

    schedule, known = entry.schedule, entry.known
    return {
        "name": known.name,
        "owner": known.owner,
        "task": schedule.task,
        "times": in_words(schedule.times),
        "next": entry.next_time,
        "last": entry.last,
        "outcome": known.latest.word if known.latest else None,
        "paused": entry.pause_at(now) or None,
        "runs": known.runs,
        "overlap": schedule.overlap,
        "catchup": schedule.catchup,
        "notes": schedule.notes,
    }


def _kept_up(one: KeptUp) -> dict[str, Any]:
    return {
        **dict.fromkeys(("last", "paused", "runs", "overlap", "catchup", "notes")),
        "name": one.task,
        "owner": "task",
        "task": one.task,
        "times": "perpetual",
        "next": one.next_time,
        "outcome": one.state,
    }


def _moment(option: str, typed: str) -> datetime:
    try:
        moment = datetime.fromisoformat(typed.replace("Z", "+00:00"))
    except ValueError as error:
        raise Misused(
            f"{option}: expected a moment such as 2026-03-01T00:00Z, found {typed!r}"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
