"""A soak: everything breaks at random for as long as one likes, and the promise must hold.

    make soak                    ten minutes
    make soak SOAK=60 SEED=7     a minute, and the faults of that seed
    make soak SERVER=cluster     on a cluster whose slot moves

Worker programs, each at the end of a line that may be cut; a supervisor whose file is edited, and which is
killed as its processes are; producers that ask again until they are answered; a schedule, limits, retries,
strikes. Every second or so something breaks, by a seed that is printed. At the end everything heals, and the
invariants are read off the ledger.
"""

from __future__ import annotations

import asyncio
import os
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
from docket.errors import ServerUnavailable
from docket.foundation.lifecycle import DeadReason, ExecutionState
from tests.leftovers import leftovers

from .attended import Attended
from .grounds import GROUNDS, Way
from .ledger import Audit, Ledger
from .producing import until_ended
from .told import (
    counts_are_true,
    ends_have_taken_place,
    refusals_are_logged,
    single_ones_are_shown_as_they_are,
)
from .workers import NARROW, PER, RATED, WorkerProgram, tasks

LEASE = 2.0
WORKERS = 3
FEWEST_FAULTS = 4
"""A fault lasts as long as the machine takes for it: a slow one breaks things for longer, not less often."""


class Soak:
    """One soak.

    Arguments:
        directory: where servers and the ledger keep their files.
        seconds: how long things break, at least; four faults take place, however slow the machine is.
        seed: what decides which, and when.
        server: what it stands on.
    """

    def __init__(self, directory: Path, seconds: float, seed: int, server: str) -> None:
        self.dice = random.Random(seed)
        self.seconds = seconds
        self.stack = ExitStack()
        name = f"soak-{uuid.uuid4().hex[:8]}"
        self.ground = GROUNDS[server](directory, self.stack, self.dice, name, WORKERS)
        self.ledger = Ledger(directory / "ledger")
        self.stack.callback(self.ledger.close)
        self.docket = Docket(name, self.ground.url)
        self.workers: list[WorkerProgram] = []
        self.hired: list[WorkerProgram] = []
        self.supervisor = Attended(
            directory / "supervisor", self.ground.url, name, self.ledger, self.dice
        )
        self.stack.callback(self.supervisor.close)
        self.killed: dict[int, float] = {}
        self.faults: Counter[str] = Counter()
        self.is_over = asyncio.Event()

    def close(self) -> None:
        """End every process."""
        for worker in self.hired:
            worker.close()
        self.stack.close()

    @property
    def died(self) -> dict[int, float]:
        """When processes were killed."""
        return self.killed | self.supervisor.died

    # What goes on

    async def run(self) -> Audit:
        """Break things, heal them, wait for the end of all work; gives what was seen."""
        async with self.docket:
            for task in tasks(self.ledger):
                self.docket.register(task)
            self.workers = [await self._hire(place) for place in range(WORKERS)]
            await self.supervisor.start()
            producing = [asyncio.create_task(self._produce()) for _ in range(2)]
            await self._break_things()
            self.is_over.set()
            await asyncio.gather(*producing)
            await self._end()
            audit = await Audit.of(self.docket, self.ledger)
            await self._audit(audit)
            return audit

    async def _hire(self, place: int) -> WorkerProgram:
        # One that meets a fault before it has ever worked exits, and a supervisor would start another.
        url = self.ground.place(place)
        worker = WorkerProgram(url, self.docket.name, self.ledger, concurrency=8, lease=LEASE)
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
            assert execution.disposition is not Disposition.STRUCK or task == "flaky"
            self.ledger.note("acked", key)
            await asyncio.sleep(self.dice.uniform(0, 0.04))

    async def _break_things(self) -> None:
        deadline = time.monotonic() + self.seconds
        attended = self.supervisor
        ways: list[Way] = [
            *(self._kill, self._kill, self._freeze, self._strike, self._drain),
            *(attended.edit, attended.edit, attended.kill_a_process, attended.kill_the_supervisor),
            *self.ground.ways(),
        ]
        while time.monotonic() < deadline or self.faults.total() < FEWEST_FAULTS:
            await asyncio.sleep(self.dice.uniform(0.3, 1.5))
            way = self.dice.choice(ways)
            self.faults[way.__name__.strip("_")] += 1
            await way(self.dice.randrange(WORKERS))

    # Faults

    async def _kill(self, place: int) -> None:
        worker = self.workers[place]
        worker.signal(signal.SIGKILL)
        await worker.until_gone()
        self.killed[worker.pid] = time.monotonic()
        self.workers[place] = await self._hire(place)

    async def _freeze(self, place: int) -> None:
        worker = self.workers[place]
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(0.2, LEASE + 1.5))
        worker.signal(signal.SIGCONT)

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
        code = await self.supervisor.stop()
        assert code == 0, f"the supervisor left with {code}"
        keys = {event.key for event in self.ledger.read() if event.event == "acked"}
        await until_ended(self.docket, keys, 120)
        deadline = time.monotonic() + 60
        while (await self.docket.snapshot()).total_tasks:
            assert time.monotonic() < deadline, "work is left that nobody has acknowledged"
            await asyncio.sleep(0.1)
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            code = await worker.until_gone()
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
        await counts_are_true(self.docket, self.ground.url, audit)
        await single_ones_are_shown_as_they_are(self.docket, self.ground.url, audit)
        ends_have_taken_place(audit)
        logs = self.ledger.path.with_suffix(".log").read_text() + self.supervisor.log
        refusals_are_logged(audit, logs, self.died)
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


async def soak(
    directory: Path, seconds: float, seed: int, server: str = "standalone"
) -> tuple[Soak, Audit]:
    """Soak, and hold what was seen against what was promised."""
    one = Soak(directory, seconds, seed, server)
    try:
        return one, await one.run()
    finally:
        one.close()


def main() -> None:
    """Read the command line and soak."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 31)
    server = os.environ.get("SERVER") or "standalone"
    print(f"seed {seed}, {seconds:.0f} s, {server}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="docket-soak-"))
    print(f"server, ledger and log: {directory}", flush=True)
    one, audit = asyncio.run(soak(directory, seconds, seed, server))
    faults = ", ".join(f"{name} {count}" for name, count in sorted(one.faults.items()))
    print(f"{len(audit.records)} acknowledged, {audit.extra_starts()} started again")
    print(f"{len(audit.refused())} outcomes refused, {sum(one.faults.values())} faults: {faults}")


if __name__ == "__main__":
    main()
