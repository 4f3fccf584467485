"""Days under random faults, in minutes: ``python -m tests.faults.soaking SECONDS [SEED]``.

A durable server, worker programs that reach it over lines which can be cut, a producer that asks again
until it is answered, a schedule, limits, retries, strikes; every second or so something breaks, by a seed
that is printed. At the end everything heals, and the invariants are read off the ledger.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from docket import Disposition, Docket
from docket.config.load import parse
from docket.errors import ServerUnavailable
from docket.lifecycle import DeadReason, ExecutionState
from docket.schedules.desired import desired_schedules
from docket.schedules.ticker import Ticker
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess
from tests.leftovers import leftovers

from .ledger import Audit, Ledger
from .line import Line
from .producing import until_ended
from .workers import NARROW, PER, RATED, WorkerProgram, tasks

LEASE = 2.0
WORKERS = 3
SCHEDULE = """
[tasks.work]
function = "m:f"
[schedules.often]
task = "work"
every = "500ms"
overlap = "allow"
"""


class Soak:
    """One soak.

    Arguments:
        directory: where the server and the ledger keep their files.
        seconds: how long things break.
        seed: what decides which, and when.
    """

    def __init__(self, directory: Path, seconds: float, seed: int) -> None:
        self.dice = random.Random(seed)
        self.seconds = seconds
        self.stack = ExitStack()
        durable = ("--appendonly", "yes", "--appendfsync", "always")
        self.server = self.stack.enter_context(
            ServerProcess(valkey_9(), directory / "server", *durable)
        )
        self.lines = [self.stack.enter_context(Line(self.server.port)) for _ in range(WORKERS)]
        self.ledger = Ledger(directory / "ledger")
        self.stack.callback(self.ledger.close)
        self.docket = Docket(f"soak-{uuid.uuid4().hex[:8]}", self.server.url)
        self.workers: list[WorkerProgram] = []
        self.hired: list[WorkerProgram] = []
        self.died: dict[int, float] = {}
        self.faults: Counter[str] = Counter()
        self.is_over = asyncio.Event()

    def close(self) -> None:
        """End every process."""
        for worker in self.hired:
            worker.close()
        self.stack.close()

    # What goes on

    async def run(self) -> Audit:
        """Break things, heal them, wait for the end of all work; gives what was seen."""
        async with self.docket:
            for task in tasks(self.ledger):
                self.docket.register(task)
            self.workers = [await self._hire(place) for place in range(WORKERS)]
            ticker = Ticker(self.docket.storage.schedules, self.docket.serializer, "soak")
            await ticker.declare(desired_schedules(parse(SCHEDULE).configuration))
            producing = [asyncio.create_task(self._produce()) for _ in range(2)]
            await ticker.start()
            await self._break_things()
            self.is_over.set()
            await asyncio.gather(*producing)
            await ticker.declare(())
            await ticker.stop()
            await self._end()
            audit = await Audit.of(self.docket, self.ledger)
            await self._audit(audit)
            return audit

    async def _hire(self, place: int) -> WorkerProgram:
        # One that meets a fault before it has ever worked exits, and a supervisor would start another.
        worker = WorkerProgram(
            self.lines[place].url, self.docket.name, self.ledger, concurrency=8, lease=LEASE
        )
        self.hired.append(worker)
        return await worker.until_up()

    async def _produce(self) -> None:
        number = 0
        while not self.is_over.is_set():
            number += 1
            key = f"{uuid.uuid4().hex[:8]}-{number}"
            task = self.dice.choice(["work", "work", "narrow", "flaky", "rated", "block"])
            arguments = () if task == "rated" else (self.dice.uniform(0, 0.05),)
            while True:
                try:
                    execution = await self.docket.add(task, key=key)(*arguments)
                except ServerUnavailable:
                    continue  # the same key again: it is safe
                break
            # A call that was not answered may have been heard.
            accepted = (Disposition.SCHEDULED, Disposition.ALREADY_SCHEDULED, Disposition.STRUCK)
            assert execution.disposition in accepted, execution.disposition
            self.ledger.note("acked", key)
            await asyncio.sleep(self.dice.uniform(0, 0.04))

    async def _break_things(self) -> None:
        deadline = time.monotonic() + self.seconds
        ways = [
            *(self._kill, self._kill, self._freeze, self._cut, self._deafen),
            *(self._restart_server, self._strike, self._drain),
        ]
        while time.monotonic() < deadline:
            await asyncio.sleep(self.dice.uniform(0.3, 1.5))
            way = self.dice.choice(ways)
            self.faults[way.__name__.strip("_")] += 1
            await way(self.dice.randrange(WORKERS))

    # Faults

    async def _kill(self, place: int) -> None:
        worker = self.workers[place]
        worker.signal(signal.SIGKILL)
        await worker.until_gone()
        self.died[worker.pid] = time.monotonic()
        self.workers[place] = await self._hire(place)

    async def _freeze(self, place: int) -> None:
        worker = self.workers[place]
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(0.2, LEASE + 1.5))
        worker.signal(signal.SIGCONT)

    async def _cut(self, place: int) -> None:
        await asyncio.to_thread(self.lines[place].cut)

    async def _deafen(self, place: int) -> None:
        line = self.lines[place]
        line.lose_replies(True)
        await asyncio.sleep(self.dice.uniform(0.05, 0.5))
        await asyncio.to_thread(line.cut)
        line.lose_replies(False)

    async def _restart_server(self, place: int) -> None:
        self.server.kill()
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        await asyncio.to_thread(self.server.start)

    async def _strike(self, place: int) -> None:
        await _surely(lambda: self.docket.strike("flaky", action="park"))
        await asyncio.sleep(self.dice.uniform(0.1, 1))
        await _surely(lambda: self.docket.restore("flaky"))

    async def _drain(self, place: int) -> None:
        worker = self.workers[place]
        worker.signal(signal.SIGTERM)
        await worker.until_gone()
        self.workers[place] = await self._hire(place)

    # The end

    async def _end(self) -> None:
        keys = {event.key for event in self.ledger.read() if event.event == "acked"}
        await until_ended(self.docket, keys, 120)
        deadline = time.monotonic() + 60
        while (await self.docket.snapshot()).total_tasks:
            assert time.monotonic() < deadline, "work is left that nobody has acknowledged"
            await asyncio.sleep(0.1)
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            code = await worker.until_gone(30)
            assert code == 0, f"a worker left with {code}"

    async def _audit(self, audit: Audit) -> None:
        audit.nothing_is_lost()
        for key, record in audit.records.items():
            assert record is not None
            if record.state is not ExecutionState.COMPLETED:
                assert record.reason == DeadReason.CRASHED.value, (key, record)
        audit.outcomes_are_single()
        audit.fences_are_single()
        audit.at_most_at_a_time("narrow", NARROW, self.died)
        audit.at_most_within(RATED, PER / timedelta(seconds=1))
        # Consumers and heartbeats of those who were killed go when their time is over.
        names = {event.detail for event in audit.of_kind("up")}
        left = await leftovers(self.docket, names)
        assert not left, left


async def _surely(call: Callable[[], Awaitable[None]]) -> None:
    """Ask until there is an answer."""
    while True:
        try:
            return await call()
        except ServerUnavailable:
            await asyncio.sleep(0.05)


async def soak(directory: Path, seconds: float, seed: int) -> tuple[Soak, Audit]:
    """Soak, and hold what was seen against what was promised."""
    one = Soak(directory, seconds, seed)
    try:
        return one, await one.run()
    finally:
        one.close()


def main() -> None:
    """Read the command line and soak."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}, {seconds:.0f} s", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="docket-soak-"))
    print(f"server, ledger and log: {directory}", flush=True)
    one, audit = asyncio.run(soak(directory, seconds, seed))
    print(f"{len(audit.records)} acknowledged, {audit.extra_starts()} started again, {one.faults}")


if __name__ == "__main__":
    main()
