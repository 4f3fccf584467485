"""``docket status``: how a supervisor stands, or how all supervisors of a docket do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from ...foundation.durations import format_duration
from ...foundation.names import EVERY_QUEUE
from ...foundation.plain import plain
from ...foundation.units import from_milliseconds, milliseconds
from ..configuration.supervisors import Socket, answer, place
from ..parameters.options import Config, Profile, Settings
from ..parameters.place import Place, visit
from ..terminal.descriptions import text, when, wide
from ..terminal.exit_codes import FAILED
from ..terminal.output import Column, Form, Output, note, say, show, show_one
from ..terminal.pauses import said_by

if TYPE_CHECKING:
    from ...docket import Docket

SILENCE: Final = timedelta(seconds=10)
"""Time that a supervisor may be silent and still be listed: it beats every second."""

REFRESH: Final = 1.0
"""Seconds between two looks with --watch."""

CLEAR: Final = "\x1b[2J\x1b[H"
"""Sequence that clears a terminal."""


def _number(name: str, *, is_wide: bool = False) -> Column:
    return Column(name.replace("_", " ").upper(), lambda item: str(item[name]), is_wide)


POOLS: Final = (
    Column("POOL", lambda item: item["name"]),
    Column("READY", lambda item: f"{item['ready']}/{item['desired']}"),
    _number("running"),
    Column("REV", lambda item: str(item["revision"])),
    text("state"),
    Column("QUEUES", lambda item: ", ".join(item["queues"])),
    Column("EXITS", lambda item: ", ".join(f"{why} {n}" for why, n in item["exits"].items() if n)),
)
PROCESSES: Final = (
    text("pool"),
    Column("PROCESS", lambda item: str(item["pid"])),
    text("state"),
    Column("REV", lambda item: str(item["revision"])),
    _number("in_flight"),
    _number("runs"),
    Column("CODE", lambda item: "older" if item.get("is_behind") else ""),
    Column("UP", lambda item: format_duration(timedelta(seconds=round(item["uptime"])))),
    Column("MEMORY", lambda item: f"{item['rss'] >> 20} MiB"),
    wide("worker"),
    Column("FINGERPRINT", lambda item: item.get("code", ""), is_wide=True),
)
SCHEDULES: Final = (
    Column("SCHEDULE", lambda item: item["name"]),
    when("next_run", "NEXT"),
    Column("LAG", lambda item: "" if item["lag"] is None else f"{item['lag']:.3f} s"),
)
PAUSES: Final = (
    Column("PAUSED QUEUE", lambda item: "all" if item["name"] == EVERY_QUEUE else item["name"]),
    Column("BY", lambda item: said_by(item["by"], item["file"], item["revision"])),
    when("since"),
    when("until"),
    text("reason"),
)
CONDITIONS: Final = (
    Column("CONDITION", lambda item: item["name"]),
    Column("IS", lambda item: "yes" if item["status"] else "no"),
    when("since"),
    text("reason"),
    text("message"),
)
SUPERVISORS: Final = (
    text("host"),
    Column("PROCESS", lambda item: str(item["pid"])),
    text("owner"),
    _number("revision"),
    Column("HASH", lambda item: item["digest"][:12]),
    Column("DRIFT", lambda item: "yes" if item["drift"] else "no"),
    Column("LEADS", lambda item: "yes" if item["leads"] else "no"),
    Column("POOLS", lambda item: _pools(item["pools"])),
    _number("behind"),
    when("heard"),
)

TOLD: Final[Mapping[str, type]] = {
    "host": str,
    "pid": int,
    "owner": str,
    "revision": int,
    "digest": str,
    "drift": bool,
    "leads": bool,
    "pools": dict,
}
"""Fields that a supervisor reports about itself, as far as they are shown."""

TOLD_OF_POOLS: Final[Mapping[str, type]] = {"ready": int, "desired": int}


def status(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    control: Socket = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="All supervisors of the docket, as they report to Redis.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second.")] = False,
    output: Output = Form.TABLE,
) -> None:
    """Show configuration, conditions, pools, processes and schedules; exit 1 if a pool is degraded."""
    if everywhere:
        _repeat(lambda: _show_all(_where(config), output), watch)
        return
    where = place(control, config, profile, settings)
    patience = timedelta(seconds=10)
    found = _repeat(lambda: _show(answer(where, "status", patience), output), watch)
    if any(pool["is_degraded"] for pool in found["pools"]):
        raise typer.Exit(FAILED)


def _state(pool: Mapping[str, Any]) -> str:
    if pool["is_degraded"]:
        return "degraded"
    return f"short: {pool['trouble']}" if pool["trouble"] else "ok"


def _where(config: list[Any] | None) -> Place:
    return Place(config=config[0] if config else None)


def _repeat(look: Callable[[], Mapping[str, Any]], watch: bool) -> Mapping[str, Any]:
    """Look once, or until interrupted."""
    found = look()
    try:
        while watch:
            time.sleep(REFRESH)
            if sys.stdout.isatty():
                sys.stdout.write(CLEAR)
            found = look()
    except KeyboardInterrupt:
        pass
    return found


def _show(found: dict[str, Any], form: Form) -> Mapping[str, Any]:
    if form in (Form.JSON, Form.JSONL):
        show_one("status", found, form)
        return found
    for line in _head(found):
        say(line)
    schedules = [{**one, "next_run": _moment(one["next_run"])} for one in found["schedules"]]
    conditions = [{**one, "since": _moment(one["since"])} for one in found["conditions"]]
    processes = [
        {**process, "pool": pool["name"]}
        for pool in found["pools"]
        for process in pool["processes"]
    ]
    pools = [{**pool, "state": _state(pool)} for pool in found["pools"]]
    show("pools", pools, POOLS, form)
    show("processes", processes, PROCESSES, form)
    if behind := _behind(found["pools"]):
        say(f"{told_behind(behind)}: what drains, or has not answered yet")
    # A supervisor of an older release does not say so.
    code = found.get("code", {"behind": 0})
    if behind := code["behind"]:
        say(f"{behind} of {code['processes']} processes run older code: `docket restart`")
    if schedules:
        show("schedules", schedules, SCHEDULES, form)
    # A supervisor of an older release does not say so.
    if pauses := [_with_moments(one) for one in found.get("paused_queues", ())]:
        show("paused_queues", pauses, PAUSES, form)
    show("conditions", conditions, CONDITIONS, form)
    return found


def _with_moments(pause: Mapping[str, Any]) -> dict[str, Any]:
    moments = {name: pause[name] and _moment(pause[name]) for name in ("since", "until")}
    return {**pause, **moments}


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    running, desired = found["running"], found["desired"]["hash"]
    up = format_duration(timedelta(seconds=round(time.time() - found["started"])))
    yield f"docket {found['docket']} at {found['url']}, of {found['owner']}"
    state = "up" if found["is_up"] else "starting or stopping"
    ticks = (
        "ticks the schedules" if found["leads"] else "leaves the schedules to another supervisor"
    )
    yield f"process {found['pid']} on {found['host']}, {state}, since {up}; it {ticks}"
    if desired is None:
        said = "the file cannot be used"
    elif desired == running["hash"]:
        said = "as the file says"
    else:
        said = f"the file says something else ({desired[:12]})"
    yield f"revision {running['revision']} ({running['hash'][:12]}) runs; {said}: {found['file']}"


def _show_all(where: Place, form: Form) -> Mapping[str, Any]:
    async def look(docket: Docket) -> list[dict[str, Any]]:
        silence = milliseconds(SILENCE)
        found = await docket.storage.configurations.supervisors(silence)
        for one in found:
            if not _is_whole(one.about):
                note(
                    f"{plain(one.who)} is left out: what it reports is not the state of a supervisor"
                )
        return [
            {
                **one.about,
                "behind": _behind(one.about["pools"].values()),
                "who": one.who,
                "heard": from_milliseconds(one.heard),
            }
            for one in found
            if _is_whole(one.about)
        ]

    found = visit(where, look)
    show("supervisors", found, SUPERVISORS, form)
    if form not in (Form.JSON, Form.JSONL):
        for line in _remarks(found):
            note(line)
    return {"supervisors": found}


def _remarks(supervisors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what stands out of supervisors, and where to look."""
    if drifting := [one["host"] for one in supervisors if one["drift"]]:
        yield (
            f"{plain(', '.join(drifting))}: not the active revision, or not the content of the file; "
            "docket status there says why"
        )
    if behind := [one["host"] for one in supervisors if one["behind"]]:
        count = sum(one["behind"] for one in supervisors)
        yield (
            f"{told_behind(count)}, on {plain(', '.join(dict.fromkeys(behind)))}; docket status there names "
            "them"
        )


def told_behind(count: int) -> str:
    """Say how many processes run an older revision than their pools."""
    return (
        f"{count} {'process still runs' if count == 1 else 'processes still run'} an older revision"
    )


def _behind(pools: Iterable[Mapping[str, Any]]) -> int:
    # A supervisor of an older release does not say so.
    counts = [pool.get("behind", 0) for pool in pools]
    return sum(count for count in counts if isinstance(count, int))


def _is_whole(about: Mapping[str, Any]) -> bool:
    """Return True if a report has everything that is shown of a supervisor."""
    return _has(about, TOLD) and all(_has(pool, TOLD_OF_POOLS) for pool in about["pools"].values())


def _has(told: Any, fields: Mapping[str, type]) -> bool:
    """Return True if this is a table with these fields, of these types."""
    return isinstance(told, Mapping) and all(
        isinstance(cast("Mapping[str, Any]", told).get(name), kind) for name, kind in fields.items()
    )


def _pools(pools: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{name} {one['ready']}/{one['desired']}" for name, one in pools.items())


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
