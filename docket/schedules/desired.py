"""The schedules that should exist, and their due times; pure: it needs neither Redis nor a clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from ..config.model import Configuration
from ..config.tables.schedules import Schedule, schedule_seed
from ..foundation.call_options import NO_OPTIONS, CallOptions
from .codec import decode, dump, encode, next_after_of
from .timing import NextAfter, count_between, jitter_of, latest

MOST_CAUGHT_UP: Final = 100
"""Maximum number of runs that are made up for, where all of them are."""

MOST_COUNTED: Final = 1_000
"""Up to so many due times that were missed are counted beyond those that could be made up for."""

PUNCTUAL: Final = timedelta(seconds=10)
"""Up to so late a run counts as one that is on time: nothing was missed."""

Overlap: TypeAlias = Literal["skip", "queue_one", "queue_all", "cancel_running", "allow"]


@dataclass(frozen=True)
class Owed:
    """The runs that are owed for due times that have come.

    Arguments:
        runs: the due times to run, the earliest first; it may be only the last one.
        following: the next due time; None if there is none.
        skipped: how many due times pass without a run.
        late: how many of those are too late to be made up for.
    """

    runs: tuple[datetime, ...]
    following: datetime | None
    skipped: int
    late: int = 0


@dataclass(frozen=True)
class DesiredSchedule:
    """One schedule that should exist.

    Arguments:
        name: what it is known by within its owner.
        task: the task that it runs.
        args, kwargs: its arguments.
        options: queue, tags and the like of its runs.
        times: what decides when it is due; the same times mean the same due times.
        seed: what ``H`` in its cron expression is computed from.
        next_after: the first due time after a moment.
        paused: whether no runs are due.
        catchup: which of the runs that were missed are made up for.
        catchup_window: how late a run may be to be made up for; None is without a limit.
        overlap: what becomes of a run that is due while the one before it is not over.
        limit: how many runs there are in all; None is any number.
        pause_on_failure: how many runs in a row may fail; None is any number.
        renamed_from: the name that it had before, whose state it takes over.
        notes: what people should know about it.
    """

    name: str
    task: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    times: Mapping[str, Any]
    seed: str
    next_after: NextAfter = field(compare=False)
    paused: bool = False
    catchup: Literal["none", "last", "all"] = "last"
    catchup_window: timedelta | None = None
    overlap: Overlap = "skip"
    limit: int | None = None
    pause_on_failure: int | None = None
    renamed_from: str | None = None
    notes: str | None = None
    options: CallOptions = NO_OPTIONS
    written: str | None = field(default=None, compare=False)
    """Its definition, as it was read from Redis."""

    @property
    def digest(self) -> str:
        """SHA-1 of its definition, by which the scripts know that it is the active one."""
        text = self.definition if self.written is None else self.written
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    @property
    def timing(self) -> str:
        """The fields that decide its due times, as text; as long as they are the same, nothing moves it."""
        return dump({**self.times, "paused": self.paused})

    @property
    def definition(self) -> str:
        """The whole schedule as text, as Redis holds it: enough to tick it without a file."""
        window = self.catchup_window
        about = {
            "task": self.task,
            "args": encode(self.args),
            "kwargs": encode(self.kwargs),
            "timing": self.times,
            "seed": self.seed,
            "paused": self.paused,
            "catchup": self.catchup,
            "catchup_window": None if window is None else window.total_seconds(),
            "overlap": self.overlap,
            "limit": self.limit,
            "pause_on_failure": self.pause_on_failure,
            "notes": self.notes,
            "options": self.options.text or None,
        }
        return dump({name: value for name, value in about.items() if value is not None})

    @classmethod
    def read(cls, name: str, definition: str) -> DesiredSchedule:
        """Build the schedule from its definition in Redis.

        Arguments:
            name: its name.
            definition: as ``definition`` gave it.

        Raises:
            ValueError: it is not a definition.
        """
        try:
            told = json.loads(definition)
            window = told.get("catchup_window")
            return cls(
                name=name,
                task=told["task"],
                args=tuple(decode(told["args"])),
                kwargs=decode(told["kwargs"]),
                times=told["timing"],
                seed=told["seed"],
                next_after=next_after_of(told["timing"], told["seed"]),
                paused=told["paused"],
                catchup=told["catchup"],
                catchup_window=None if window is None else timedelta(seconds=window),
                overlap=told["overlap"],
                limit=told.get("limit"),
                pause_on_failure=told.get("pause_on_failure"),
                notes=told.get("notes"),
                options=CallOptions.read(told.get("options", "")),
                written=definition,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"expected the definition of a schedule, found {definition!r:.80}"
            ) from error

    def options_at(self, due: datetime) -> CallOptions:
        """Return the options of the run of a due time: it expires so long after that."""
        expires = self.options.expires
        if not isinstance(expires, timedelta):
            return self.options
        return replace(self.options, expires=due + expires)

    @property
    def anchor(self) -> str | None:
        """The origin that it is counted from: created, finish, a moment, or None."""
        return self.times.get("anchor")

    @property
    def period(self) -> timedelta:
        """The interval of a schedule that is due at intervals."""
        return timedelta(seconds=self.times["every"])

    @property
    def end(self) -> datetime | None:
        """The first moment at which it is no longer due."""
        return datetime.fromisoformat(self.times["end"]) if "end" in self.times else None

    def since(self, created: datetime) -> DesiredSchedule:
        """Return the same schedule, knowing when it was first seen."""
        return replace(self, next_after=next_after_of(self.times, self.seed, created))

    def owed(self, expected: datetime, now: datetime) -> Owed:
        """Return the runs that are owed now.

        Arguments:
            expected: the next due time; it is not after now.
            now: the moment.
        """
        if self.anchor == "finish":
            # It is counted from the end of its run: there is one due time at a time.
            return Owed((expected,), self.next_after(now), 0)
        next_after = self.on_the_grid_of(expected)
        come = latest(next_after, expected, now, MOST_CAUGHT_UP)
        following = next_after(come[-1])
        wanted = come if self.catchup == "all" else come[-1:]
        longest = PUNCTUAL if self.catchup == "none" else self.catchup_window
        # However late, what is just due now is not missed.
        runs = tuple(
            due for due in wanted if longest is None or now - due <= max(longest, PUNCTUAL)
        )
        before = count_between(next_after, expected, come[0], MOST_COUNTED)
        late = len(wanted) - len(runs) if self.catchup != "none" else 0
        return Owed(runs, following, before + len(come) - len(runs), late)

    def on_the_grid_of(self, due: datetime) -> NextAfter:
        """Return the due times after that to which one belongs.

        Where it is counted from when the schedule was first seen, only Redis and the due time itself know.
        """
        if self.anchor != "created":
            return self.next_after
        shift = timedelta(seconds=self.times["phase"] + self.times.get("jitter", 0))
        return self.since(due - shift).next_after


def desired_schedules(configuration: Configuration) -> tuple[DesiredSchedule, ...]:
    """Return the schedules that a configuration declares."""
    return tuple(
        _desired(configuration, name, schedule)
        for name, schedule in configuration.schedules.items()
    )


def _former_name(configuration: Configuration, name: str, schedule: Schedule) -> str | None:
    """Return the name whose state is taken over: of a schedule that keeps its own name, nothing is."""
    former = schedule.renamed_from
    holder = None if former is None else configuration.schedules.get(former)
    stays = holder is not None and (former == name or holder.renamed_from is None)
    return None if stays else former


def _desired(configuration: Configuration, name: str, schedule: Schedule) -> DesiredSchedule:
    seed = schedule_seed(configuration.name, name)
    times = _times(configuration, schedule)
    if schedule.jitter:
        times["jitter"] = jitter_of(seed, schedule.jitter).total_seconds()
    for key in ("start", "end"):
        if (moment := getattr(schedule, key)) is not None:
            times[key] = moment.isoformat()
    return DesiredSchedule(
        name=name,
        task=schedule.task,
        args=tuple(schedule.args),
        kwargs=schedule.kwargs,
        times=times,
        seed=seed,
        next_after=next_after_of(times, seed),
        paused=schedule.paused,
        catchup=schedule.catchup,
        catchup_window=schedule.catchup_window,
        overlap=schedule.overlap,
        limit=schedule.limit,
        pause_on_failure=schedule.pause_on_failure,
        renamed_from=_former_name(configuration, name, schedule),
        notes=schedule.notes,
        options=_options(schedule),
    )


def _options(schedule: Schedule) -> CallOptions:
    return CallOptions(
        queue=schedule.queue,
        priority=schedule.priority,
        expires=schedule.expires,
        timeout=schedule.timeout,
        tags=schedule.tags,
    )


def _times(configuration: Configuration, schedule: Schedule) -> dict[str, Any]:
    if schedule.at is not None:
        return {"at": schedule.at.isoformat()}
    if schedule.cron is not None:
        dst = schedule.dst
        told = {} if dst is None else {"dst": dst.model_dump(exclude_none=True)}
        zone = schedule.timezone or configuration.timezone
        return {"cron": schedule.cron, "timezone": zone, **told}
    assert schedule.every is not None
    times: dict[str, Any] = {
        "every": schedule.every.total_seconds(),
        "phase": (schedule.phase or timedelta()).total_seconds(),
    }
    if isinstance(schedule.anchor, datetime):
        times["anchor"] = schedule.anchor.isoformat()
    elif schedule.anchor != "epoch":
        times["anchor"] = schedule.anchor
    return times
