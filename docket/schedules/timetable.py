"""All schedules of a docket as its operators see them, and what they do with them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from ..docket import Docket
from ..errors import TooManyRuns, UnknownSchedule
from ..foundation.lifecycle import ExecutionState
from ..foundation.plain import plain
from ..foundation.units import from_milliseconds, to_milliseconds
from ..operations.audit import Recording
from ..storage.executions import Record
from ..storage.schedules import DueOutcome, Known
from .desired import DesiredSchedule
from .log import key_of, utc
from .signing import call_of, check_seal
from .upcoming import Due, between, upcoming

logger = logging.getLogger("docket.schedules")

MOST_BACKFILLED: Final = 1_000
"""Maximum number of runs that are asked for at once."""

AT_ONCE: Final = 100
"""Number of runs that one script makes."""


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule, and its state.

    Arguments:
        schedule: what it is.
        known: what Redis holds of it.
    """

    schedule: DesiredSchedule
    known: Known

    @property
    def id(self) -> str:
        """owner/name."""
        return f"{self.known.owner}/{self.known.name}"

    @property
    def next_time(self) -> datetime | None:
        """The next due time; None if it is unknown, or there is none."""
        return _moment(self.known.next_time)

    @property
    def last(self) -> datetime | None:
        """The last due time with a run."""
        return _moment(self.known.last)

    def pause_at(self, now: datetime) -> str:
        """Describe who has paused it, and why; return an empty string if it runs.

        Arguments:
            now: the moment.
        """
        if self.schedule.paused:
            return "the file"
        pause = self.known.pause
        if not pause or (pause.get("until") and pause["until"] <= to_milliseconds(now)):
            # What a row of failures has stopped, no operator's pause that ends sets going again.
            pause = self.known.stopped
        if not pause:
            return ""
        why = f": {pause['reason']}" if pause.get("reason") else ""
        until = f", until {utc(from_milliseconds(pause['until']))}" if pause.get("until") else ""
        return plain(f"{pause['by']}{why}{until}")


class KeptUp(NamedTuple):
    """A task that keeps itself up: its code, or its table in the file, says ``Perpetual`` or ``Cron``.

    Arguments:
        task: its name, which is the key of its one execution.
        state: how that stands.
        next_time: when it is due next; None while it runs.
    """

    task: str
    state: str
    next_time: datetime | None


class Backfilled(NamedTuple):
    """The outcome of a due time that has passed."""

    due: datetime
    key: str
    word: str
    """FIRED, ALREADY (it had a run), STRUCK, or WOULD if it was only asked."""


class Timetable:
    """The schedules of a docket.

    Arguments:
        docket: the docket.

    Example:
        >>> async def pause(docket: Docket) -> None:
        ...     timetable = Timetable(docket)
        ...     await timetable.pause(await timetable.find("nightly"), by="ann", reason="INC-7")
    """

    def __init__(self, docket: Docket) -> None:
        self._docket = docket
        self._serializer = docket.serializer
        self._schedules = docket.storage.schedules
        self._audit = docket.operations.audit

    async def now(self) -> datetime:
        """Return the server's time."""
        return from_milliseconds(await self._schedules.now())

    async def entries(self, name: str = "") -> list[ScheduleEntry]:
        """Return all schedules of all owners, by owner and name; what cannot be read takes no other with it.

        Arguments:
            name: only those of this name, or owner/name; empty is any.
        """
        entries: list[ScheduleEntry] = []
        for known in await self._schedules.known(name):
            try:
                entries.append(_entry(known))
            except ValueError as error:
                name = plain(f"{known.owner}/{known.name}")
                logger.error("Schedule %s is left out: %s", name, error)
        return entries

    async def kept_up(self) -> list[KeptUp]:
        """Return all perpetual tasks that living workers keep up, by name.

        An automatic task has one execution, whose key is the name of the task. One that is added by hand
        under the name of its task looks the same.
        """
        tasks = {task for worker in await self._docket.workers() for task in worker.tasks}
        records = await self._docket.storage.executions.readable(sorted(tasks)) if tasks else []
        return [
            _kept_up(record)
            for record in records
            if record.task == record.key and not record.state.is_terminal
        ]

    async def find(self, name: str) -> ScheduleEntry:
        """Return the schedule of a name.

        Arguments:
            name: its name, or owner/name where several owners have one of that name.

        Raises:
            UnknownSchedule: there is none, or there are several.
        """
        found = await self.entries(name) if name else []
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(plain(entry.id) for entry in found)
            raise UnknownSchedule(f"several owners have a schedule {name!r}: say which, of {ids}")
        raise await self.unknown(name)

    async def unknown(self, name: str) -> UnknownSchedule:
        """Return the error for a name without a schedule, with the names that may have been meant.

        Arguments:
            name: the name that was asked for.
        """
        if any(one.task == name for one in await self.kept_up()):
            return UnknownSchedule(
                f"{name!r} is a task that keeps itself up, not a schedule: `docket strike {name}` pauses it, "
                f"`docket restore {name}` resumes it"
            )
        names = sorted({entry.known.name for entry in await self.entries()})
        close = difflib.get_close_matches(name, names, 1)
        advice = (
            f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names) or 'none'}"
        )
        return UnknownSchedule(f"there is no schedule {name!r}; {advice}")

    async def outcomes(self, entry: ScheduleEntry) -> list[DueOutcome]:
        """Return the outcomes of its last due times, the latest first."""
        return await self._schedules.outcomes(entry.id)

    async def next(self, entry: ScheduleEntry, count: int) -> list[Due]:
        """Return its next due times.

        Arguments:
            entry: the schedule.
            count: the number of due times.
        """
        return upcoming(entry.schedule, await self.now(), entry.next_time, count)

    async def pause(
        self, entry: ScheduleEntry, *, by: str, reason: str = "", lasting: timedelta | None = None
    ) -> None:
        """Pause it; the file cannot undo that.

        Arguments:
            entry: the schedule.
            by: the person who asks for it.
            reason: the reason.
            lasting: how long; None until it is resumed.
        """
        now = await self.now()
        pause = {"by": by, "reason": reason, "since": to_milliseconds(now)}
        if lasting is not None:
            pause["until"] = to_milliseconds(now + lasting)
        about = {"schedule": entry.id, "lasting": lasting}
        async with self._audit.recording(
            "schedule pause", author=by, reason=reason, about=about
        ) as recording:
            await self._steer(entry, "pause", pause)
            recording.succeed()

    async def resume(self, entry: ScheduleEntry, *, by: str = "", reason: str = "") -> bool:
        """Resume it; return False if no operator has paused it.

        Arguments:
            entry: the schedule.
            by: the person who asks for it.
            reason: the reason.
        """
        return await self._recorded(entry, "resume", "schedule resume", by, reason)

    async def skip_next(
        self, entry: ScheduleEntry, *, by: str = "", reason: str = ""
    ) -> datetime | None:
        """Skip its next due time; return that time, or None if there is none.

        Arguments:
            entry: the schedule.
            by: the person who asks for it.
            reason: the reason.
        """
        is_done = await self._recorded(entry, "skip", "schedule skip-next", by, reason)
        return entry.next_time if is_done else None

    async def trigger(self, entry: ScheduleEntry, *, by: str = "", reason: str = "") -> str | None:
        """Run it now, besides its due times; return the key of the run, or None if a strike forbids it.

        Arguments:
            entry: the schedule.
            by: the person who asks for it.
            reason: the reason.

        Raises:
            NotTrusted: it is not signed by a key that is known here.
        """
        now = await self.now()
        key = f"{entry.known.name}@manual-{utc(now)}"
        about = {"schedule": entry.id, "keys": [key]}
        async with self._audit.recording(
            "schedule trigger", author=by, reason=reason, about=about
        ) as recording:
            (word,) = await self._run(entry, "triggered", [(now, key)], recording)
        return None if word == "STRUCK" else key

    async def backfill(
        self,
        entry: ScheduleEntry,
        start: datetime,
        end: datetime,
        *,
        is_dry: bool = False,
        by: str = "",
        reason: str = "",
    ) -> list[Backfilled]:
        """Run due times that have passed and had no run, the earliest first.

        Arguments:
            entry: the schedule.
            start, end: from one moment on, and before the other; what is still to come is left out.
            is_dry: whether it is only asked what would be run.
            by: the person who asks for it.
            reason: the reason.

        Raises:
            TooManyRuns: there are more than ``MOST_BACKFILLED``, or it is counted from the ends of its runs.
            NotTrusted: it is not signed by a key that is known here.
        """
        schedule = entry.schedule.since(from_milliseconds(entry.known.created))
        if schedule.anchor == "finish":
            raise TooManyRuns(
                f"schedule {schedule.name!r} is counted from the ends of its runs: it has no due times "
                "that have passed; trigger it instead"
            )
        due = between(schedule, start, min(end, await self.now()), MOST_BACKFILLED + 1)
        if len(due) > MOST_BACKFILLED:
            raise TooManyRuns(
                f"expected {MOST_BACKFILLED} due times at most, found more from {utc(start)} on; "
                f"backfill those before {utc(due[-1])} first"
            )
        runs = [(moment, key_of(schedule.name, moment)) for moment in due]
        if is_dry:
            words = await self._look(entry, due)
        else:
            about = {"schedule": entry.id, "from": utc(start), "to": utc(end)}
            async with self._audit.recording(
                "schedule backfill", meant=len(runs), author=by, reason=reason, about=about
            ) as recording:
                words = await self._run(entry, "backfilled", runs, recording)
        return [Backfilled(*run, word) for run, word in zip(runs, words, strict=True)]

    async def _look(self, entry: ScheduleEntry, due: Sequence[datetime]) -> list[str]:
        had_run = await self._schedules.has_run(entry.id, [*map(to_milliseconds, due)])
        return ["ALREADY" if had else "WOULD" for had in had_run]

    async def _run(
        self,
        entry: ScheduleEntry,
        why: Literal["backfilled", "triggered"],
        runs: Sequence[tuple[datetime, str]],
        recording: Recording,
    ) -> list[str]:
        schedule, known = entry.schedule, entry.known
        check_seal(self._serializer, known.owner, known.name, known.definition, known.seal)
        words: list[str] = []
        for at in range(0, len(runs), AT_ONCE):
            some = [
                (to_milliseconds(due), key, call_of(self._serializer, schedule, key))
                for due, key in runs[at : at + AT_ONCE]
            ]
            found = await self._schedules.run_at(
                entry.id, why, schedule.task, some, schedule.options.lane, schedule.options.text
            )
            for word in found:
                _tell(recording, word)
            words += found
        return words

    async def _recorded(
        self,
        entry: ScheduleEntry,
        verb: Literal["resume", "skip"],
        deed: str,
        by: str,
        reason: str,
    ) -> bool:
        async with self._audit.recording(
            deed, author=by, reason=reason, about={"schedule": entry.id}
        ) as recording:
            word = await self._steer(entry, verb)
            _tell(recording, word)
        return word == "DONE"

    async def _steer(
        self,
        entry: ScheduleEntry,
        verb: Literal["pause", "resume", "skip"],
        pause: dict[str, str | int] | None = None,
    ) -> str:
        word, _ = await self._schedules.steer(entry.id, verb, pause)
        if word == "UNKNOWN":
            raise UnknownSchedule(f"schedule {entry.id!r} was removed just now")
        return word


def _tell(recording: Recording, word: str) -> None:
    if word in ("DONE", "FIRED"):
        recording.succeed()
    else:
        recording.refuse(word.lower())


def _kept_up(record: Record) -> KeptUp:
    is_running = record.state is ExecutionState.RUNNING
    return KeptUp(record.task, record.state.value, None if is_running else record.due)


def _entry(known: Known) -> ScheduleEntry:
    return ScheduleEntry(DesiredSchedule.read(known.name, known.definition), known)


def _moment(milliseconds: int) -> datetime | None:
    return from_milliseconds(milliseconds) if milliseconds else None
