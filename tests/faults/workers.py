"""A worker program that is made to be killed, and the handle that tests hold it by.

    python -m tests.faults.workers URL DOCKET LEDGER --concurrency 10 --lease 2 --kill-at after-claim:3

SIGTERM drains it, as a supervisor does. At a kill point it kills itself with SIGKILL: in the middle of the
round trip that settles and claims, between two statements.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from docket import (
    ConcurrencyLimit,
    CurrentDocket,
    CurrentExecution,
    Docket,
    Execution,
    RateLimit,
    Retry,
    Worker,
)
from docket.dependencies import current_execution
from docket.errors import LeaseLost
from docket.instrumentation.events import Observer
from docket.storage.claims import ClaimReply, Claims, Settlement, Verdict

from . import deadly
from .ledger import Event, Ledger

ROOT = Path(__file__).parents[2]

KILL_POINTS = ("before-claim", "after-claim", "before-settle", "after-settle")
"""F02: before a claim is sent, after it is answered and before anything runs; the same of a settlement."""


KINDS = {"back": "back", "waiting": "put-off", "parked": "put-off"}
"""What settlements are in the ledger that are no outcome: another run of the same delivery follows."""

NARROW = 2
"""Slots of the limit of ``narrow``."""

RATED, PER = 60, timedelta(seconds=3)
"""Starts of ``rated`` within a window."""


KNOWN = ("work", "block", "hog", "narrow", "flaky", "rated")
"""The tasks that a worker knows unless it is told otherwise, beside the one that kills it."""


def tasks(ledger: Ledger) -> list[Callable[..., Any]]:
    """The tasks of the fault tests, writing to this ledger."""

    def note(event: str) -> None:
        run = current_execution.get()
        task = run.function_name if event == "start" else ""
        ledger.note(event, run.key, run.attempt, run.fence or 0, run.generation, task)

    async def work(seconds: float = 0.0) -> int:
        note("start")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            note("interrupted")
            raise
        except LeaseLost:
            note("lost")
            raise
        note("end")
        return current_execution.get().fence or 0

    def block(seconds: float) -> int:
        note("start")
        time.sleep(seconds)
        note("end")
        return current_execution.get().fence or 0

    async def hog(seconds: float) -> int:
        note("start")
        time.sleep(seconds)
        note("end")
        return current_execution.get().fence or 0

    async def narrow(
        seconds: float, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=NARROW)
    ) -> int:
        return await work(seconds)

    async def flaky(
        seconds: float,
        failures: int = 1,
        execution: Execution = CurrentExecution(),
        retry: Retry = Retry(attempts=3, delay=timedelta(milliseconds=20)),
    ) -> int:
        fence = await work(seconds)
        if execution.attempt <= failures:
            raise ArithmeticError(execution.attempt)
        return fence

    async def rated(
        docket: Docket = CurrentDocket(), rate: RateLimit = RateLimit(RATED, per=PER)
    ) -> int:
        # What the server says of when it let whom in: every start is asked well within its window.
        starts = await _asked_again(docket, f"{docket.prefix}:rate:rated")
        for owner, moment in starts:
            ledger.note("admitted", detail=f"{int(moment)} {owner!r}")
        return await work()

    return [work, block, hog, narrow, flaky, rated]


async def _asked_again(docket: Docket, log: str) -> Any:
    """What is in a sorted set; asked until there is an answer."""
    while True:
        try:
            async with docket.redis() as client:
                return await client.zrange(log, 0, -1, withscores=True)
        except (OSError, RedisError):
            await asyncio.sleep(0.05)


class Witness(Observer):
    """Writes down when the server was away and when it was back."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def disrupted(self, error: BaseException, pause: float) -> None:
        self._ledger.note("trouble", detail=f"{error} (next try in {pause:.3f} s)")

    def recovered(self) -> None:
        self._ledger.note("recovered")

    def blocked(self, seconds: float, stack: str) -> None:
        self._ledger.note("blocked", detail=stack)

    def parked(self, task: str, key: str, reason: str) -> None:
        self._ledger.note("parked", key, detail=reason)

    def skewed(self, seconds: float) -> None:
        self._ledger.note("skewed", detail=str(seconds))


def note_verdicts(
    ledger: Ledger, settlements: Sequence[Settlement], verdicts: Sequence[Verdict]
) -> None:
    """Write down what the server said to what runs have ended with."""
    for settlement, verdict in zip(settlements, verdicts, strict=True):
        ledger.note(
            KINDS.get(settlement.word, "verdict"),
            settlement.key,
            settlement.attempt,
            settlement.fence,
            settlement.generation,
            verdict.value,
        )


class Trades:
    """Stands in the way of every round trip: notes the verdicts, and kills at the point it was given.

    Arguments:
        exchange: the worker's own.
        ledger: where verdicts go.
        point: a kill point, or nothing.
        times: at which of its passages through the point the process dies.
        late: seconds for which claims are on their way back, as on a slow line.
    """

    def __init__(
        self, exchange: Claims, ledger: Ledger, point: str, times: int, late: float
    ) -> None:
        self._trade = exchange.trade
        self._late = late
        self._ledger = ledger
        self._point = point
        self._left = times

    async def __call__(
        self, settlements: Sequence[Settlement], slots: int, **how: Any
    ) -> tuple[list[Verdict], ClaimReply | None]:
        if slots:
            self._pass("before-claim")
        if settlements:
            self._pass("before-settle")
        verdicts, catch = await self._trade(settlements, slots, **how)
        if settlements:
            self._pass("after-settle")
        note_verdicts(self._ledger, settlements, verdicts)
        if catch is not None and catch.claimed:
            self._pass("after-claim")
            if self._late:
                self._ledger.note("claimed", detail=str(len(catch.claimed)))
                await asyncio.sleep(self._late)
        return verdicts, catch

    def _pass(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def bend_time(ahead: float, speed: float) -> None:
    """Have a wrong clock in this process; the one that only measures durations stays right."""
    true, begin = time.time, time.time()
    wrong = lambda: begin + ahead + (true() - begin) * speed  # noqa: E731
    time.time = wrong

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return cls.fromtimestamp(wrong(), tz)

    for name, module in list(sys.modules.items()):
        if name.startswith("docket.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Wrong  # type: ignore[attr-defined]


async def serve(arguments: argparse.Namespace) -> None:
    """Work until SIGTERM, then drain and leave."""
    ledger = Ledger(Path(arguments.ledger))
    point, _, times = str(arguments.kill_at).partition(":")
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with Docket(arguments.docket, arguments.url) as docket:
        for task in tasks(ledger):
            if task.__name__ in arguments.knows.split(","):
                docket.register(task)
        docket.register(deadly.kill, ["kill"])
        async with Worker(
            docket,
            concurrency=arguments.concurrency,
            redelivery_timeout=timedelta(seconds=arguments.lease),
            observers=[Witness(ledger)],
        ) as worker:
            trades = Trades(worker._exchange, ledger, point, int(times or 1), arguments.late)
            worker._exchange.trade = trades  # type: ignore[method-assign]
            working = asyncio.create_task(worker.run_forever())
            await worker.until_started()
            ledger.note("up", detail=worker.name)
            await asked.wait()
            await worker.drain(timedelta(seconds=arguments.drain))
            working.cancel()
            await working
    ledger.note("drained")


class WorkerProgram:
    """One such program, as its parent sees it.

    Arguments:
        url, docket: where it works.
        ledger: where it writes down what happens.
        kill_at: a kill point, and at which passage through it.
        late: seconds for which claims are on their way back.
        knows: its tasks.
        clock: seconds by which its clock is ahead.
        drift: how fast its clock goes.
        home: the checkout that it runs.
    """

    def __init__(
        self,
        url: str,
        docket: str,
        ledger: Ledger,
        *,
        concurrency: int = 10,
        lease: float = 30.0,
        drain: float = 5.0,
        kill_at: str = "",
        late: float = 0.0,
        knows: str = "work,block,hog,narrow,flaky,rated",
        clock: float = 0.0,
        drift: float = 1.0,
        home: Path = ROOT,
    ) -> None:
        self._ledger = ledger
        words = [url, docket, str(ledger.path), "--concurrency", str(concurrency)]
        words += ["--lease", str(lease), "--drain", str(drain), "--kill-at", kill_at]
        words += ["--late", str(late), "--knows", knows]
        words += ["--clock", str(clock), "--drift", str(drift)]
        self._log = ledger.path.with_suffix(".log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.workers", *words],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """SIGKILL, if it still runs."""
        self._process.kill()
        self._process.wait(60)
        self._log.close()

    async def until_up(self) -> WorkerProgram:
        """Wait until it claims."""
        await until(lambda: bool(self.events("up")), "the start of a worker")
        return self

    async def until_gone(self, seconds: float = 60.0) -> int:
        """Wait until it has exited; tells the exit code."""
        await until(lambda: not self.is_alive, "the end of a worker", seconds)
        return self._process.wait()

    def events(self, kind: str) -> list[Event]:
        """What it has written down of one kind."""
        return [
            event for event in self._ledger.read() if event.pid == self.pid and event.event == kind
        ]


async def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for something that nobody signals."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.005)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("docket")
    parser.add_argument("ledger")
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--lease", type=float, default=30.0)
    parser.add_argument("--drain", type=float, default=5.0)
    parser.add_argument("--kill-at", default="")
    parser.add_argument("--late", type=float, default=0.0)
    parser.add_argument("--knows", default=",".join(KNOWN))
    parser.add_argument("--clock", type=float, default=0.0)
    parser.add_argument("--drift", type=float, default=1.0)
    arguments = parser.parse_args()
    bend_time(arguments.clock, arguments.drift)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("docket.worker").setLevel(logging.INFO)
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
