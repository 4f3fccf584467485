"""``docket doctor``: looks for what is wrong with a server and a docket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

import typer

from ...foundation.durations import format_duration
from ...foundation.names import EVERY_QUEUE
from ...foundation.plain import plain
from ...foundation.units import MILLISECOND
from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.descriptions import text
from ..terminal.exit_codes import FAILED
from ..terminal.output import Form, Output, show

if TYPE_CHECKING:
    from ...connection.base import Facts
    from ...docket import Docket
    from ...storage.stored import ResultUse
    from ...storage.vitals import MemoryUse, Vitals

SLOW: Final = timedelta(milliseconds=50)
"""A round trip that takes longer slows every task down."""

ASTRAY: Final = timedelta(seconds=1)
"""A clock that is further off makes due times surprising."""

OVERDUE: Final = timedelta(seconds=30)
"""A schedule that is later than this has nobody who fires it."""

NEARLY_FULL: Final = 0.9
"""The share of its memory that a server should not use."""

MIB: Final = 1 << 20

FINDINGS: Final = (text("subject"), text("verdict"), text("found"), text("advice"))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding, and the advice that follows from it.

    Arguments:
        subject: what was looked at.
        verdict: whether it is well.
        found: what it is.
        advice: what to do; nothing where all is well.
    """

    subject: str
    verdict: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """The server and docket under examination.

    Arguments:
        url: the server, without secrets.
        facts: what it says it is.
        vitals: how it fares.
        due: how many executions are due or running.
        future: how many wait for a time or a slot.
        workers: how many workers live.
        parked: how many executions are parked.
        dead: how many dead letters are kept.
        strikes: how many strikes are active.
        paused: the queues that are paused by hand.
        paused_by_file: the queues that a file pauses.
        unserved: the queues in which work is due and that no living worker serves.
        halted: the schedules that are paused, but not by the file.
        overdue: the schedules whose due time has passed, without a supervisor that fires them.
        format: the format of what the docket holds; empty if it holds nothing yet.
        results: the memory that results take.
    """

    url: str
    facts: Facts
    vitals: Vitals
    due: int
    future: int
    workers: int
    parked: int
    dead: int
    strikes: int
    paused: tuple[str, ...] = ()
    paused_by_file: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    halted: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()
    format: str = ""
    results: ResultUse | None = None


def doctor(
    *, docket: Name = None, url: Url = None, config: Config = None, output: Output = Form.TABLE
) -> None:
    """Examine a server and a docket; exit 1 if something must be done."""
    findings = list(examine(visit(Place(docket, url, config), _look)))
    show("findings", [asdict(finding) for finding in findings], FINDINGS, output)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(FAILED)


async def _look(docket: Docket) -> Patient:
    from ...schedules.timetable import Timetable  # noqa: PLC0415 - --help needs none of it
    from ...storage.vitals import look  # noqa: PLC0415

    storage = docket.storage
    results = await storage.stored.use()
    backlog = await storage.executions.backlog()
    serving = await storage.workers.serving(docket.silence)
    moment, entries = results.taken_at, await Timetable(docket).entries()
    is_paused = {entry.id: bool(entry.pause_at(moment)) for entry in entries}
    late = moment - OVERDUE
    pauses = await storage.queues.paused()
    return Patient(
        url=storage.connection.url,
        facts=await storage.connection.facts(),
        vitals=await look(storage.connection),
        due=sum(backlog.due.values()),
        future=backlog.future + backlog.waiting,
        workers=len(serving),
        unserved=_unserved(backlog.due, set[str]().union(*serving.values())),
        halted=tuple(
            entry.id for entry in entries if is_paused[entry.id] and not entry.schedule.paused
        ),
        overdue=tuple(
            entry.id
            for entry in entries
            if entry.next_time and entry.next_time < late and not is_paused[entry.id]
        ),
        parked=backlog.parked,
        dead=backlog.dead,
        strikes=len(await docket.strikes()),
        paused=_names(one.queue for one in pauses if not one.file),
        paused_by_file=_names(one.queue for one in pauses if one.file),
        format=await storage.format(),
        results=results,
    )


def _unserved(due: Mapping[str, int], served: AbstractSet[str]) -> tuple[str, ...]:
    # Workers of an older release do not say what they serve: then nothing is known of any queue.
    # A queue is served with all its priorities, which have streams of their own.
    waiting = (queue for queue in sorted(due) if due[queue] and served)
    return tuple(one for one in waiting if not served & {one, one.partition("/")[0]})


def examine(patient: Patient) -> Iterator[Diagnosis]:
    """Yield the findings on a server and a docket, good and bad."""
    version = ".".join(map(str, patient.facts.version))
    yield Diagnosis("server", "ok", f"{patient.facts.family} {version} at {patient.url}")
    yield _latency(patient.vitals)
    yield _clock(patient.vitals)
    yield _memory(patient.vitals.memory)
    yield _eviction(patient.facts.eviction)
    yield _persistence(patient.vitals.is_durable)
    if patient.results is not None:
        yield _results(patient.results)
    yield _workers(patient)
    yield _count("parked", patient.parked, "`docket parked ls` says why")
    yield _count("dead letters", patient.dead, "`docket dead ls` lists them")
    yield Diagnosis("strikes", "ok", f"{patient.strikes} active")
    yield _queues(patient)
    if patient.unserved:
        yield Diagnosis(
            "queues",
            "problem",
            f"no worker serves {', '.join(patient.unserved)}, where work is due",
            "name them in `queues` of a pool of docket.toml, or start a worker with --queues",
        )
    yield from _schedules(patient)
    yield Diagnosis("format", "ok", patient.format or "nothing is there yet")


def _names(queues: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys("all" if one == EVERY_QUEUE else plain(one) for one in queues))


def _queues(patient: Patient) -> Diagnosis:
    found = [
        f"paused {how}: {', '.join(queues)}"
        for how, queues in (("by hand", patient.paused), ("by a file", patient.paused_by_file))
        if queues
    ]
    if not patient.paused:
        # What a file says is meant.
        return Diagnosis("queues", "ok", "; ".join(found) or "none is paused")
    return Diagnosis(
        "queues", "warning", "; ".join(found), "`docket queue ls` says by whom and why"
    )


def _schedules(patient: Patient) -> Iterator[Diagnosis]:
    if patient.overdue:
        yield Diagnosis(
            "schedules",
            "problem",
            f"overdue: {', '.join(patient.overdue)}",
            "start a supervisor, which fires them: docket-supervisor",
        )
    if patient.halted:
        yield Diagnosis(
            "schedules",
            "warning",
            f"paused: {', '.join(patient.halted)}",
            "`docket schedule explain NAME` says by whom and why",
        )
    if not patient.overdue and not patient.halted:
        yield Diagnosis("schedules", "ok", "none is overdue or paused by hand")


def _latency(vitals: Vitals) -> Diagnosis:
    found = f"a round trip takes {vitals.latency / MILLISECOND:.1f} ms"
    if vitals.latency <= SLOW:
        return Diagnosis("latency", "ok", found)
    return Diagnosis("latency", "warning", found, "bring workers and server closer together")


def _clock(vitals: Vitals) -> Diagnosis:
    distance = format_duration(timedelta(seconds=round(abs(vitals.skew.total_seconds()))))
    if abs(vitals.skew) - vitals.latency <= ASTRAY:
        return Diagnosis("clock", "ok", "the server's and this one agree")
    way = "ahead of" if vitals.skew > timedelta() else "behind"
    return Diagnosis(
        "clock",
        "warning",
        f"the server's is {distance} {way} this one",
        "have NTP set both; due times are the server's",
    )


def _memory(memory: MemoryUse | None) -> Diagnosis:
    if memory is None:
        return Diagnosis("memory", "ok", "no limit, or this user may not ask")
    found = f"{memory.used >> 20} of {memory.limit >> 20} MiB used"
    advice = "raise maxmemory, or free some: results, dead letters (`docket dead ls`), other data"
    if memory.share >= 1:
        return Diagnosis("memory", "problem", f"full: {found}; writes are refused", advice)
    if memory.share >= NEARLY_FULL:
        return Diagnosis("memory", "warning", found, advice)
    return Diagnosis("memory", "ok", found)


def _results(use: ResultUse) -> Diagnosis:
    if not use.limit:
        return Diagnosis("results", "ok", "no limit")
    found = f"{use.bytes / MIB:.1f} of {use.limit / MIB:.1f} MiB used"
    if use.last_evicted_at is not None:
        found += (
            f"; {use.evicted:,} were evicted before their time, the last one at "
            f"{use.last_evicted_at:%Y-%m-%d %H:%M:%S} UTC"
        )
    elif use.bytes < NEARLY_FULL * use.limit:
        return Diagnosis("results", "ok", found)
    advice = "raise results.max_memory in docket.toml, or keep results for less long (result_ttl)"
    return Diagnosis("results", "warning", found, advice)


def _eviction(policy: str | None) -> Diagnosis:
    if policy is None:
        return Diagnosis("eviction", "ok", "this user may not ask")
    if policy == "noeviction":
        return Diagnosis("eviction", "ok", policy)
    return Diagnosis(
        "eviction",
        "problem",
        f"{policy} drops work when the memory is full",
        "set maxmemory-policy noeviction",
    )


def _persistence(is_durable: bool | None) -> Diagnosis:
    if is_durable is None:
        return Diagnosis("persistence", "ok", "this user may not ask")
    if is_durable:
        return Diagnosis("persistence", "ok", "every change is written down")
    return Diagnosis(
        "persistence", "warning", "work is lost when the server dies", "set appendonly yes"
    )


def _workers(patient: Patient) -> Diagnosis:
    found = f"{patient.workers} live; {patient.due} due or running, {patient.future} in the future"
    if patient.workers or not patient.due:
        return Diagnosis("workers", "ok", found)
    return Diagnosis(
        "workers", "problem", found, "start one: docket worker --tasks module:attribute"
    )


def _count(subject: str, count: int, advice: str) -> Diagnosis:
    return Diagnosis(subject, "warning" if count else "ok", str(count), advice if count else "")
