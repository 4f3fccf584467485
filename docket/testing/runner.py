"""A worker that runs what is due, reports what it ran, and does not wait for time to pass."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from ..calls.registry import TaskFunction
from ..docket import Docket
from ..errors import EndlessWork
from ..execution import Execution
from ..foundation.clock import ServerClock
from ..foundation.error_text import line_of
from ..foundation.lifecycle import ExecutionState, ParkedReason
from ..foundation.service import end
from ..foundation.units import from_due, from_milliseconds
from ..instrumentation.events import Describe, Observer
from ..storage.claims import Claimed
from ..storage.clock import StandingClock
from ..storage.executions import Record
from ..worker.runs.executor import Executor, Host
from ..worker.runs.outcome import (
    Cancelled,
    Completed,
    Dropped,
    Failed,
    HandledElsewhere,
    Interrupted,
    Outcome,
    Perpetuated,
    Retried,
)
from ..worker.runs.slots import Run
from ..worker.worker import Worker

BREATH = 0.01
"""Seconds between two looks at what another worker holds."""

PATIENCE = 0.1
"""Seconds after which it looks again whether all is done, should nothing have been heard."""

_STATES: dict[type[Outcome], ExecutionState] = {
    Completed: ExecutionState.COMPLETED,
    Failed: ExecutionState.FAILED,
    Retried: ExecutionState.SCHEDULED,
    Perpetuated: ExecutionState.SCHEDULED,
    HandledElsewhere: ExecutionState.COMPLETED,
    Dropped: ExecutionState.CANCELLED,
    Cancelled: ExecutionState.CANCELLED,
    Interrupted: ExecutionState.QUEUED,
}
"""Outcomes that are reported, with their states. What is put off by a limit, or parked, has not run."""


@dataclass(frozen=True)
class Ran:
    """One run, and what it came to.

    Arguments:
        execution: the call, with its key, its arguments, its attempt and when it was due.
        outcome: completed; failed; retried (it raised, and is tried again); perpetuated (its next run is
            scheduled; failed, if it raised); cancelled; dropped (by a limit or a strike); handled (it
            scheduled what follows by itself); interrupted.
        result: what the task returned; None for a run of a perpetual task.
        error: what it raised.
    """

    execution: Execution
    outcome: str
    result: Any = None
    error: BaseException | None = None

    @property
    def key(self) -> str:
        """The key of the execution."""
        return self.execution.key

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.execution.function_name


@dataclass
class _Note:
    """The facts about a run so far."""

    task: str
    ran: Ran | None = None
    ending: str = "failed"
    error: BaseException | None = None


_note: ContextVar[_Note] = ContextVar("docket_note")
"""The note on the run that this context belongs to."""


class _Scribe(Observer):
    """An observer that notes the outcome of a run where the outcome alone does not say enough."""

    @override
    def failed(
        self, task: str, describe: Describe, error: BaseException, retry: float | None
    ) -> None:
        _note.get().error = error

    @override
    def ended(self, task: str, describe: Describe, seconds: float, ending: str) -> None:
        _note.get().ending = ending


class _NotingExecutor(Executor):
    """An executor that keeps a note of every run, in the order of their starts."""

    def __init__(
        self,
        host: Host,
        observer: Observer,
        fallback: TaskFunction | None,
        timer: Callable[[], float],
    ) -> None:
        super().__init__(host, observer, fallback, timer)
        self._home = host.docket
        self.notes: list[_Note] = []

    @override
    async def outcome(self, run: Run, now: int) -> Outcome:
        note = _Note(run.claimed.task)
        _note.set(note)
        self.notes.append(note)
        outcome = await super().outcome(run, now)
        state = _STATES.get(type(outcome))
        if state is not None:
            note.ran = self._ran(run.claimed, outcome, state, note, now)
        return outcome

    def _ran(
        self, claimed: Claimed, outcome: Outcome, state: ExecutionState, note: _Note, now: int
    ) -> Ran:
        error = outcome.error if isinstance(outcome, Failed) else note.error
        record = Record(
            key=claimed.key,
            state=state,
            task=claimed.task,
            call=claimed.call,
            generation=claimed.generation,
            due=from_due(claimed.due, claimed.when),
            attempt=claimed.attempt,
            queue=claimed.queue,
            fence=claimed.fence,
            identity=claimed.identity,
            started_at=from_milliseconds(now),
            error=None if error is None else line_of(error),
            crashes=claimed.crashes,
        )
        result = outcome.result if isinstance(outcome, Completed) else None
        return Ran(Execution.of(self._home, record), note.ending, result, error)


class Runner(Worker):
    """A worker that works until nothing is due.

    Arguments:
        docket: the docket with the work.
        most: after more runs it gives up.
        options: further arguments of ``Worker``.
    """

    def __init__(
        self,
        docket: Docket,
        most: int,
        *,
        name: str | None = None,
        observers: Sequence[Observer] = (),
        **options: Any,
    ) -> None:
        self._most = most
        self._has_arrived = False
        # Not the name of the process: that is the name of the worker under test.
        name = name or f"testing-{os.urandom(4).hex()}"
        super().__init__(docket, name, observers=[*observers, _Scribe()], **options)

    @override
    def _wire(self) -> None:
        super()._wire()
        self._executor = self._notes = _NotingExecutor(
            self, self._observer, self.fallback_task, self._seconds
        )

    @staticmethod
    def _seconds() -> float:
        """Return the clock that measures how long a run takes."""
        return time.perf_counter()

    @property
    def ran(self) -> list[Ran]:
        """The runs, in the order of their starts."""
        return [note.ran for note in self._notes.notes if note.ran is not None]

    async def work(self) -> None:
        """Run what is due.

        Raises:
            EndlessWork: it does not come to an end.
        """
        await self._release_what_is_known()
        await self._run(self._through)
        if not self._has_arrived:
            # A worker hears a cancellation as the wish to stop; a test that is cut short has not passed.
            raise asyncio.CancelledError
        if self._is_too_much:
            raise EndlessWork(self._complaint())

    async def _through(self) -> None:
        await self._until_nothing_is_due()
        self._has_arrived = True

    @property
    def _is_too_much(self) -> bool:
        return len(self._notes.notes) > self._most

    def _complaint(self) -> str:
        (task, times), *_ = Counter(note.task for note in self._notes.notes).most_common(1)
        return (
            f"expected an end to the work after {self._most} runs at most, found {len(self._notes.notes)}; "
            f"{task} ran {times} times. Perpetual tasks go on forever: move the time by a span with "
            "advance(), cancel them, or allow for more runs with most=…"
        )

    async def _release_what_is_known(self) -> None:
        """Release what was parked as unknown and is known to this worker."""
        tasks = sorted(self.docket.tasks)
        await self.docket.storage.workers.unpark(ParkedReason.UNKNOWN_TASK.value, tasks)

    @property
    def _is_quiet(self) -> bool:
        return self._round_trips.is_idle and not self._round_trips.is_under_way

    async def _until_nothing_is_due(self) -> StandingClock | None:
        """Work until nothing is due, and return the state then; None if there is no end to it."""
        self._round_trips.look()
        while not self._is_too_much:
            # Armed before the look, so that what happens during the look is not missed.
            traded = asyncio.ensure_future(self._round_trips.until_traded())
            await asyncio.sleep(0)
            try:
                if self._is_quiet:
                    standing = await self.docket.storage.clock.look(self.queues)
                    if self._is_quiet and _is_calm(standing):
                        return standing
                    # Another worker's, as a rule: nothing reports when it is gone.
                    await asyncio.sleep(BREATH)
                    self._round_trips.look()
                await asyncio.wait({traded}, timeout=PATIENCE)
            finally:
                await end(traded)
        return None


class Traveller(Runner):
    """A worker in a time that stands still, and moves to the next stop when nothing is due.

    Arguments:
        next_stop: gives the next stop, in ms; None ends the journey. It is called with the due time of the
            earliest future execution, if there is one.
        move: lets time stand still there.

    The others are those of ``Runner``.
    """

    class _StandingClock(ServerClock):
        @override
        def now(self) -> int:
            """Return the last time of the server."""
            return int(self._server)

        @override
        def set(self, milliseconds: int) -> None:
            """Take the time of the server; it is meant to differ from the time here."""
            super().set(milliseconds)
            self.skew = 0.0

    clock_type: ClassVar[type[ServerClock]] = _StandingClock

    def __init__(
        self,
        docket: Docket,
        most: int,
        next_stop: Callable[[int | None], int | None],
        move: Callable[[int], Any],
        **options: Any,
    ) -> None:
        super().__init__(docket, most, **options)
        self._next_stop = next_stop
        self._move = move

    @staticmethod
    @override
    def _seconds() -> float:
        return 0.0

    @override
    async def _through(self) -> None:
        while True:
            standing = await self._until_nothing_is_due()
            stop = None if standing is None else self._next_stop(standing.next_due)
            if stop is None:
                break
            await self._move(stop)
        self._has_arrived = True


def _is_calm(standing: StandingClock) -> bool:
    return not standing.due and (standing.next_due is None or standing.next_due > standing.now)
