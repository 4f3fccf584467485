"""The leases of what is in flight, renewed from a thread, so that a blocked event loop loses none."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable

from ...connection.base import Connection, ThreadConnection
from ...errors import DocketError
from ...foundation.service import Service
from ...instrumentation.events import Observer
from ...storage.claims import Hold, renew
from ...storage.keys import Keys
from ..runs.slots import End, Run, Running
from .respondent import Respondent

logger = logging.getLogger("docket.worker")

STUCK = 60.0
"""Seconds without a turn of the thread after which it is reported that leases are not renewed."""

BLOCKED = 1.0
"""Seconds without a turn of the event loop after which the task that blocks it is reported."""


class Leases(Service):
    """The renewal of all leases, every third of a lease; runs that are no longer held are ended.

    The thread has a connection of its own and touches nothing of the event loop but through
    ``call_soon_threadsafe``. It also watches the event loop, because a loop that does not turn cannot
    say so itself.

    Arguments:
        connection: how the server is reached.
        keys: the docket's keys.
        consumer: the name of this life of the worker in the consumer group.
        lease: how long a lease lasts, in seconds.
        running: what is in flight.
        observer: hears of lost leases and of a blocked loop.
        is_quarantine: whether the worker runs suspects only.
        respondent: answers what people ask about runs.
    """

    is_kept = True

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        consumer: str,
        lease: float,
        running: Running,
        observer: Observer,
        *,
        is_quarantine: bool = False,
        respondent: Respondent | None = None,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._consumer = consumer
        self._lease = int(lease * 1000)
        self._interval = lease / 3
        self._is_quarantine = is_quarantine
        self._running = running
        self._observer = observer
        self._wake = threading.Event()
        self._is_asked = False
        self._respondent = respondent
        self._last_turn = self._thread_turned = time.monotonic()

    def stuck(self) -> str:
        """Return why leases are no longer renewed; empty if they are."""
        silent = time.monotonic() - self._thread_turned
        if self._task is not None and silent > STUCK:
            return f"the thread that renews leases has not turned for {silent:.0f} s"
        return super().stuck()

    def renew_soon(self) -> None:
        """Look at the leases now: a cancellation may have been missed."""
        self._wake.set()

    def answer_soon(self) -> None:
        """Look now for what people ask."""
        self._is_asked = True
        self._wake.set()

    async def run(self) -> None:
        """Turn the loop's clock until stopped; the work is done in the thread."""
        self._thread_turned = time.monotonic()
        loop = asyncio.get_running_loop()
        stopping = threading.Event()  # of this thread: the one before may not have ended yet
        thread = threading.Thread(
            target=self._renew_until,
            args=(stopping, loop, threading.get_ident()),
            name="docket-leases",
            daemon=True,
        )
        thread.start()
        try:
            while True:
                self._last_turn = time.monotonic()
                if not thread.is_alive():
                    raise RuntimeError("the thread that renews leases has ended")
                await asyncio.sleep(BLOCKED / 4)
        finally:
            stopping.set()
            self._wake.set()
            # Where the server does not answer, the thread ends when it has given up.
            await asyncio.to_thread(thread.join, BLOCKED / 2)

    def _renew_until(
        self, stopping: threading.Event, loop: asyncio.AbstractEventLoop, loop_thread: int
    ) -> None:
        connection = self._connection.threaded()
        due = time.monotonic() + self._interval
        reported = 0.0
        try:
            while not stopping.is_set():
                self._thread_turned = time.monotonic()
                asked = self._wake.wait(max(0.0, min(BLOCKED / 2, due - time.monotonic())))
                self._wake.clear()
                reported = self._report_a_blocked_loop(loop_thread, reported)
                self._respond(connection, loop_thread)
                if not stopping.is_set() and (asked or time.monotonic() >= due):
                    due = time.monotonic() + self._renew(
                        loop,
                        lambda held: renew(
                            connection,
                            self._keys,
                            self._consumer,
                            [run.claimed for run in held],
                            self._lease,
                            is_quarantine=self._is_quarantine,
                        ),
                    )
        finally:
            connection.close()

    def _respond(self, connection: ThreadConnection, loop_thread: int) -> None:
        """Answer what people ask; a loop that does not turn does not hear them."""
        is_blocked = time.monotonic() - self._last_turn > BLOCKED
        if self._respondent is None or not (self._is_asked or (is_blocked and len(self._running))):
            return
        self._is_asked = False
        try:
            self._respondent.look(connection, loop_thread, self._last_turn)
        except Exception as error:
            # Nothing that is only looked at may end the renewal of leases.
            logger.info("A question about a run is not answered: %s", error)

    def _renew(
        self, loop: asyncio.AbstractEventLoop, ask: Callable[[list[Run]], list[Hold]]
    ) -> float:
        """Renew what is held; return the seconds until the next look."""
        held = self._running.held()
        if not held:
            return self._interval
        try:
            answers = ask(held)
        except DocketError:
            # The trade hears of it as well and reports it; leases outlive short troubles.
            return min(0.25, self._interval)
        except Exception as error:
            # One answer that makes no sense must not end the renewal of all leases.
            if self._reports.is_news(error):
                logger.error("Leases are not renewed; it is tried again", exc_info=error)
            return min(0.25, self._interval)
        for run, answer in zip(held, answers, strict=True):
            if answer is Hold.LOST:
                loop.call_soon_threadsafe(self._lose, run)
            elif answer is Hold.CANCEL:
                loop.call_soon_threadsafe(run.stop, End.CANCELLED)
        return self._interval

    def _lose(self, run: Run) -> None:
        if not run.has_ended and run.end is None:
            self._observer.lost(run.claimed.task, run.claimed.key)
            run.stop(End.LOST)

    def _report_a_blocked_loop(self, loop_thread: int, reported: float) -> float:
        """Report each blockade once, with the place where the loop's thread stands."""
        last_turn = self._last_turn
        silent = time.monotonic() - last_turn
        if silent < BLOCKED or last_turn == reported or not len(self._running):
            return reported
        frame = sys._current_frames().get(loop_thread)  # noqa: SLF001 - there is no other way
        self._observer.blocked(silent, "".join(traceback.format_stack(frame)) if frame else "")
        return last_turn
