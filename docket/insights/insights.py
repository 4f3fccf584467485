"""The questions that can be asked of a docket."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ..errors import NotRunning, WorkerSilent
from ..foundation.lifecycle import ExecutionState
from ..foundation.plain import plain
from ..foundation.units import from_milliseconds
from ..storage.executions import Record
from ..storage.storage import Storage
from ..strikelist import StrikeList
from .audit import AuditPage, DeedChoice, audit_page_of
from .ended import explained_end
from .events import EventPage, cursor_at, events_after
from .execution import explained
from .explanation import Explanation
from .glance import Glance, glance_at
from .history import EVERYTHING, PAGE, Choice, HistoryPage, Stats, page_of, stats_of
from .schedule import explained_schedule
from .series import Series, series_of
from .stack import Stack, stack_from

PATIENCE: Final = timedelta(seconds=5)
"""Time within which a worker has to answer."""


class Insights:
    """Explanations of what stands in a docket; ``Docket.insights`` is one.

    Arguments:
        storage: the records in Redis.
        strikes: reads the active rules.
        silence: how long a worker may be silent before it counts as gone.

    Example:
        >>> print(await docket.insights.explain("order-7"))
    """

    def __init__(self, storage: Storage, strikes: StrikeList, silence: timedelta) -> None:
        self._storage = storage
        self._strikes = strikes
        self._silence = silence

    async def explain(self, key: str) -> Explanation | None:
        """Explain why an execution runs, waits or has ended so; return None if there is no such execution.

        It is one command to the server, however much waits there. Where the record is gone, the history is
        asked, ``LOOKED_AT`` entries at most.

        Arguments:
            key: the execution.

        Raises:
            Undecodable: something else is stored there.
            ServerUnavailable: the server did not answer in time.
        """
        situation = await self._storage.situations.of(key, self._silence)
        if situation is None:
            return await self._explain_end(key)
        looking = [
            rule
            for rule in self._strikes.rules.values()
            if rule.conditions and rule.task in (None, situation.task)
        ]
        return explained(situation, self._strikes.read(situation.rules), looking)

    async def _explain_end(self, key: str) -> Explanation | None:
        page = await self.history(Choice(key=key), limit=1)
        if not page.entries:
            return None
        return explained_end(
            page.entries[0], from_milliseconds(await self._storage.executions.now())
        )

    async def history(
        self, choice: Choice = EVERYTHING, *, limit: int = PAGE, cursor: str = ""
    ) -> HistoryPage:
        """Return a page of what has ended, the latest first, and of attempts that have failed.

        It takes one round trip where nothing but times is chosen by, else one for each ``SLICE`` entries that
        are looked at, ``LOOKED_AT`` at most: a page that is not full and has a cursor goes on there.

        Arguments:
            choice: which.
            limit: the number of entries.
            cursor: that of the page before.

        Raises:
            InvalidOption: this is no cursor of such a question.
            ServerUnavailable: the server did not answer in time.

        Example:
            >>> page = await docket.insights.history(Choice(states=["failed"], task="charge"))
        """
        return await page_of(self._storage.history, choice, limit, cursor)

    async def stats(self, choice: Choice = EVERYTHING) -> Stats:
        """Return how the runs of each task have ended, and how long they took.

        It takes one round trip for each ``SLICE`` entries, of the last ``COUNTED`` at most.

        Arguments:
            choice: which of them count.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        return await stats_of(self._storage.history, choice)

    async def series(
        self, task: str | None = None, *, since: datetime | timedelta | None = None
    ) -> Series:
        """Return how many runs have ended how, and how long they took, over time.

        Steps are a minute within the last 3 hours, ten within 24, an hour within 7 days. It takes three round
        trips, and one more for each further 20,000 steps of all tasks.

        Arguments:
            task: this one only.
            since: the earliest end, or how long ago that was; left out, all of the 7 days.

        Raises:
            ServerUnavailable: the server did not answer in time.

        Example:
            >>> series = await docket.insights.series("charge", since=timedelta(hours=2))
        """
        return await series_of(self._storage.series, task, since)

    async def glance(self) -> Glance:
        """Return a docket at a glance: queues, what has ended in the last minutes, workers, next schedules.

        It takes twelve round trips at most, however much waits there.

        Raises:
            ServerUnavailable: the server did not answer in time.

        Example:
            >>> [queue.longest for queue in (await docket.insights.glance()).queues]
        """
        return await glance_at(self._storage, self._silence)

    async def audit(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        author: str | None = None,
        deed: str | None = None,
        limit: int = PAGE,
        cursor: str = "",
    ) -> AuditPage:
        """Return a page of what operators have done, the latest first.

        It takes one round trip; where an author or a deed is looked for, one for each ``SLICE`` entries.

        Arguments:
            since: no earlier than this.
            until: before this.
            author: of this person.
            deed: those of this id.
            limit: the number of entries.
            cursor: that of the page before.

        Raises:
            InvalidOption: this is no cursor of the audit.
            ServerUnavailable: the server did not answer in time.

        Example:
            >>> page = await docket.insights.audit(author="ann")
        """
        choice = DeedChoice(since, until, author, deed)
        return await audit_page_of(self._storage.audit, choice, limit, cursor)

    async def events(self, cursor: str = "", *, since: datetime | None = None) -> EventPage:
        """Return what has happened after a place, the earliest first: ends of executions, deeds of operators.

        It takes one round trip, and brings 500 entries of each of the three streams at most.

        Arguments:
            cursor: the ``id`` of the last event that is known, or the ``cursor`` of the page before; left
                out, it begins with ``since``.
            since: no earlier than this; None is everything that is kept.

        Raises:
            InvalidOption: this is no place between two events.
            ServerUnavailable: the server did not answer in time.

        Example:
            >>> page = await docket.insights.events()
            >>> later = await docket.insights.events(page.cursor)
        """
        return await events_after(self._storage.events, cursor or cursor_at(since))

    async def explain_schedule(self, name: str) -> Explanation | None:
        """Explain why a schedule has a run or none; return None if there is no such schedule.

        It is one command to the server.

        Arguments:
            name: the schedule, or owner/name where several owners have one of that name.

        Raises:
            UnknownSchedule: several owners have one.
            Undecodable: something else is stored there.
            ServerUnavailable: the server did not answer in time.
        """
        situation = await self._storage.schedule_situations.of(name)
        if situation is None:
            return None
        return explained_schedule(situation, self._strikes.read(situation.rules))

    async def stack(self, key: str) -> Stack | None:
        """Ask the worker of a running execution where that stands; return None if there is no such execution.

        A task that keeps the event loop of its worker is seen, too.

        Arguments:
            key: the execution.

        Raises:
            NotRunning: it waits or has ended.
            WorkerSilent: its worker has not answered within five seconds.
            ServerUnavailable: the server did not answer in time.
        """
        record = await self._record(key)
        if record is None:
            return None
        worker = _worker_of(record)
        answer = await self._storage.answers.ask(worker, key, PATIENCE)
        if answer is not None:
            return stack_from(key, record.task, worker, answer)
        if (later := await self._record(key)) is not None:
            _worker_of(later)
        raise WorkerSilent(
            f"worker {plain(worker)} has not answered within {PATIENCE.seconds} s: expected the stack of "
            f"{plain(key)}, found nothing; `docket workers ls` shows when it was heard of last, and "
            f"`docket task explain {plain(key)}` what became of the execution"
        )

    async def _record(self, key: str) -> Record | None:
        (record,) = await self._storage.executions.read(key)
        return record


def _worker_of(record: Record) -> str:
    """Return the name of the worker that runs an execution.

    Raises:
        NotRunning: none does.
    """
    if record.state is not ExecutionState.RUNNING or record.consumer is None:
        key = plain(record.key)
        raise NotRunning(
            f"expected a running execution, found that {key} is {record.state.value}; "
            f"`docket task explain {key}` says why"
        )
    return record.consumer.rpartition(":")[0]
