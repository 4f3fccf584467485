"""The slots of a worker and the runs that fill them: the one owner of what is in flight."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from ...execution import Execution
from ...storage.claims import Claimed
from .recording import RecordingTask

TURN = 10.0
"""Seconds for which a suspect keeps others away, twice as long for each death: one may kill late, and all
others wait for an innocent one that is only slow."""


class End(enum.Enum):
    """The reason why a run is ended from outside."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class Run:
    """One claimed execution while this worker holds it."""

    __slots__ = (
        "_given_up",
        "_task",
        "claimed",
        "coroutine",
        "end",
        "execution",
        "holder",
        "revision",
        "seconds",
        "thread",
        "turn_ends",
    )

    def __init__(self, claimed: Claimed) -> None:
        self.claimed = claimed
        self.holder = claimed.holder
        self.end: End | None = None
        self.turn_ends = _now() + TURN * 2**claimed.crashes if claimed.company is not None else 0.0
        """Time until which it runs among few others only, because it is a suspect."""
        self.execution: Execution | None = None
        """The call, once it could be read."""
        self.revision = 0
        """The revision of the configuration under which it has begun; 0 without a supervisor."""
        self.seconds: float | None = None
        """Time that the call has taken; None if it was not made."""
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        """The coroutine of the task, which we drive ourselves: nothing that awaits it leads there."""
        self.thread: int | None = None
        """The thread that runs it, while it is a plain function."""
        self._task: RecordingTask | None = None
        self._given_up: asyncio.Future[None] | None = None

    def begin(self, task: RecordingTask) -> None:
        """Give the run its task."""
        self._task = task

    @property
    def task(self) -> RecordingTask | None:
        """The task of the event loop that runs it."""
        return self._task

    def begin_work(self) -> None:
        """Note that its task has taken its first step; from now on a cancellation reaches what it awaits."""
        if self._task is not None:
            self._task.begin()

    @property
    def is_cancelled_by_others(self) -> bool:
        """True if others than the worker and the task itself have cancelled the run's task."""
        # What ``stop`` asks for has an end that says so, and is looked at first.
        return self._task is not None and self._task.is_cancelled_by_others

    def stop(self, end: End) -> None:
        """End the run at its next checkpoint; the first reason counts."""
        if self.end is None and self._task is not None:
            self.end = end
            self._task.cancel()

    def give_up(self) -> None:
        """Wait no longer for what the run cannot stop: its worker is about to be gone."""
        if not (given_up := self.until_given_up()).done():
            given_up.set_result(None)

    def until_given_up(self) -> asyncio.Future[None]:
        """Return a future that is done as soon as the run is given up."""
        if self._given_up is None:
            self._given_up = asyncio.get_running_loop().create_future()
        return self._given_up

    @property
    def has_ended(self) -> bool:
        """True if the task is over."""
        return self._task is not None and self._task.done()


def _now() -> float:
    return time.monotonic()


class Running:
    """The runs that this worker holds, and the number of those that it can still take.

    A slot is taken from the claim until the settlement has been recorded, except that ``free`` counts a
    run that has ended as gone: its slot is refilled in the round trip that settles it.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._runs: dict[bytes, Run] = {}
        self._suspects: dict[bytes, Run] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def free(self) -> int:
        """Number of further runs that can be taken."""
        return max(0, min(self.concurrency, self._company()) - len(self._runs))

    def _company(self) -> int:
        """Return how many runs there may be with the suspects among them, as long as it is their turn."""
        if not self._suspects:
            return self.concurrency
        now = _now()
        turns = (
            run.claimed.company + 1
            for run in self._suspects.values()
            if run.claimed.company is not None and run.turn_ends > now
        )
        return min(turns, default=self.concurrency)

    @property
    def turn_ends_in(self) -> float | None:
        """Seconds until the turn of a suspect is over that keeps others away; None if there is none."""
        ends = [left for run in self._suspects.values() if (left := run.turn_ends - _now()) > 0]
        return min(ends, default=None)

    def add(self, claimed: Claimed) -> Run:
        """Hold one more."""
        run = Run(claimed)
        self._runs[run.holder] = run
        if claimed.company is not None:
            self._suspects[run.holder] = run
        return run

    def remove(self, run: Run) -> None:
        """Hold it no longer: it has ended."""
        # A message can have been claimed again by this very worker after its lease was lost.
        if self._runs.get(run.holder) is run:
            del self._runs[run.holder]
            self._suspects.pop(run.holder, None)
        self._changed.set()

    def held(self) -> list[Run]:
        """Return what is in flight; safe to call from the thread that renews the leases."""
        # Copied in one step: the event loop may change it meanwhile.
        return list(self._runs.copy().values())

    def find(self, key: str) -> Iterable[Run]:
        """Return the runs of a key: one, or two if the older one is superseded."""
        return [run for run in self._runs.values() if run.claimed.key == key]

    async def until_changed(self) -> None:
        """Wait until a run has ended."""
        self._changed.clear()
        await self._changed.wait()

    async def until_empty(self) -> None:
        """Wait until nothing is in flight."""
        while self._runs:
            await self.until_changed()
