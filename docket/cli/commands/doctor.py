"""``docket doctor``: looks for what is wrong with a server and a docket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

import typer

from ...foundation.durations import format_duration
from ...foundation.names import EVERY_QUEUE
from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.descriptions import text
from ..terminal.exit_codes import FAILED
from ..terminal.output import Form, Output, show

if TYPE_CHECKING:
    from ...connection.base import Facts
    from ...docket import Docket
    from ...storage.vitals import Memory, Vitals

SLOW: Final = timedelta(milliseconds=50)
"""A round trip that takes longer slows every task down."""

ASTRAY: Final = timedelta(seconds=1)
"""A clock that is further off makes due times surprising."""

NEARLY_FULL: Final = 0.9
"""The share of its memory that a server should not use."""

FINDINGS: Final = (text("subject"), text("verdict"), text("found"), text("advice"))


@dataclass(frozen=True, slots=True)
class Finding:
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
        paused: the queues that are paused.
        format: the format of what the docket holds; empty if it holds nothing yet.
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
    format: str = ""


def doctor(
    *, docket: Name = None, url: Url = None, config: Config = None, output: Output = Form.TABLE
) -> None:
    """Examine a server and a docket; exit 1 if something must be done."""
    findings = list(examine(visit(Place(docket, url, config), _look)))
    show("findings", [asdict(finding) for finding in findings], FINDINGS, output)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(FAILED)


async def _look(docket: Docket) -> Patient:
    from ...storage.vitals import look  # noqa: PLC0415 - --help needs none of it

    storage = docket.storage
    executions = storage.executions
    now = await executions.now()
    due, future = await executions.depths(await executions.queues(), now)
    return Patient(
        url=storage.connection.url,
        facts=await storage.connection.facts(),
        vitals=await look(storage.connection),
        due=due,
        future=future,
        workers=await storage.workers.count_living(docket.silence, now),
        parked=await storage.workers.parked(),
        dead=await storage.executions.count_dead(),
        strikes=len(await docket.strikes()),
        paused=tuple(one.queue for one in await storage.queues.paused()),
        format=await storage.format(),
    )


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield the findings on a server and a docket, good and bad."""
    version = ".".join(map(str, patient.facts.version))
    yield Finding("server", "ok", f"{patient.facts.family} {version} at {patient.url}")
    yield _latency(patient.vitals)
    yield _clock(patient.vitals)
    yield _memory(patient.vitals.memory)
    yield _eviction(patient.facts.eviction)
    yield _persistence(patient.vitals.is_durable)
    yield _workers(patient)
    yield _count("parked", patient.parked, "`docket parked ls` says why")
    yield _count("dead letters", patient.dead, "`docket dead ls` lists them")
    yield Finding("strikes", "ok", f"{patient.strikes} active")
    yield _queues(patient.paused)
    yield Finding("format", "ok", patient.format or "nothing is there yet")


def _queues(paused: Sequence[str]) -> Finding:
    if not paused:
        return Finding("queues", "ok", "none is paused")
    names = ", ".join("all" if one == EVERY_QUEUE else one for one in paused)
    return Finding(
        "queues", "warning", f"paused: {names}", "`docket queue ls` says by whom and why"
    )


def _latency(vitals: Vitals) -> Finding:
    found = f"a round trip takes {vitals.latency / timedelta(milliseconds=1):.1f} ms"
    if vitals.latency <= SLOW:
        return Finding("latency", "ok", found)
    return Finding("latency", "warning", found, "bring workers and server closer together")


def _clock(vitals: Vitals) -> Finding:
    distance = format_duration(timedelta(seconds=round(abs(vitals.skew.total_seconds()))))
    if abs(vitals.skew) - vitals.latency <= ASTRAY:
        return Finding("clock", "ok", "the server's and this one agree")
    way = "ahead of" if vitals.skew > timedelta() else "behind"
    return Finding(
        "clock",
        "warning",
        f"the server's is {distance} {way} this one",
        "have NTP set both; due times are the server's",
    )


def _memory(memory: Memory | None) -> Finding:
    if memory is None:
        return Finding("memory", "ok", "no limit, or this user may not ask")
    found = f"{memory.used >> 20} of {memory.limit >> 20} MiB used"
    advice = "raise maxmemory, or free some: results, dead letters (`docket dead ls`), other data"
    if memory.share >= 1:
        return Finding("memory", "problem", f"full: {found}; writes are refused", advice)
    if memory.share >= NEARLY_FULL:
        return Finding("memory", "warning", found, advice)
    return Finding("memory", "ok", found)


def _eviction(policy: str | None) -> Finding:
    if policy is None:
        return Finding("eviction", "ok", "this user may not ask")
    if policy == "noeviction":
        return Finding("eviction", "ok", policy)
    return Finding(
        "eviction",
        "problem",
        f"{policy} drops work when the memory is full",
        "set maxmemory-policy noeviction",
    )


def _persistence(is_durable: bool | None) -> Finding:
    if is_durable is None:
        return Finding("persistence", "ok", "this user may not ask")
    if is_durable:
        return Finding("persistence", "ok", "every change is written down")
    return Finding(
        "persistence", "warning", "work is lost when the server dies", "set appendonly yes"
    )


def _workers(patient: Patient) -> Finding:
    found = f"{patient.workers} live; {patient.due} due or running, {patient.future} in the future"
    if patient.workers or not patient.due:
        return Finding("workers", "ok", found)
    return Finding("workers", "problem", found, "start one: docket worker --tasks module:attribute")


def _count(subject: str, count: int, advice: str) -> Finding:
    return Finding(subject, "warning" if count else "ok", str(count), advice if count else "")
