"""Several workers in one process that come, drain and die, and what they have started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from typing_extensions import Self

from docket import Docket, Execution, Worker
from docket.storage.claims import release

from .snapshot import Snapshot

LEASE = timedelta(seconds=20)
"""Longer than any test: what is taken over was released on purpose."""

QUIET = 0.1
"""Seconds after which nothing more is expected to start."""


@dataclass(eq=False)
class Start:
    """One run of a task, written down outside of Redis."""

    key: str
    number: int
    """Which call of this key it is."""
    fence: int
    worker: str
    is_zombie: bool = False
    """Whether its worker was killed: it may go on, and nothing comes of it."""
    died: float = float("inf")
    """When that was, by the monotonic clock."""
    is_interrupted: bool = False
    """Whether it was ended from outside."""
    is_over: bool = False


@dataclass
class Ledger:
    """All runs, in the order of their starts."""

    starts: list[Start] = field(default_factory=list[Start])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def run(self, execution: Execution, number: int = 0) -> Generator[Start]:
        """One run, from its start to its end."""
        assert execution.fence is not None
        assert execution.worker is not None
        start = Start(execution.key, number, execution.fence, execution.worker)
        self.starts.append(start)
        self.changed.set()
        try:
            yield start
        except asyncio.CancelledError:
            start.is_interrupted = True
            raise
        finally:
            start.is_over = True

    def running(self) -> list[Start]:
        """What runs, and may."""
        return [start for start in self.starts if not start.is_over and not start.is_zombie]

    async def until_started(self, count: int) -> None:
        """Wait for so many starts, or until it is quiet: then there will be no more."""
        while len(self.starts) < count:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), QUIET)
            except asyncio.TimeoutError:
                return


class Crew:
    """Workers of one docket; whoever dies or leaves has an heir.

    Arguments:
        docket: where the work is.
        size: how many workers there are at a time.
        concurrency: how much each of them does at a time.
        kind: the class of the workers.
        lease: how long a silent one keeps what it holds.
        queues: those that they work on.
    """

    def __init__(
        self,
        docket: Docket,
        size: int,
        concurrency: int,
        kind: type[Worker] = Worker,
        lease: timedelta = LEASE,
        queues: Sequence[str] = ("default",),
    ) -> None:
        self.docket = docket
        self.ledger = Ledger()
        self._size = size
        self._concurrency = concurrency
        self._kind = kind
        self._lease = lease
        self._queues = queues
        self.on_death: Callable[[Worker], None] = lambda _: None
        self._workers: dict[Worker, asyncio.Task[None]] = {}
        self._hired = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for _ in range(self._size):
            await self._hire()
        return self

    async def __aexit__(self, *_: object) -> None:
        for running in self._workers.values():
            running.cancel()
        await asyncio.gather(*self._workers.values())
        await self._stack.aclose()

    async def _hire(self) -> None:
        self._hired += 1
        name = f"w{self._hired}"
        worker = self._kind(self.docket, name, self._concurrency, self._lease, queues=self._queues)
        await self._stack.enter_async_context(worker)
        self._workers[worker] = asyncio.create_task(worker.run_forever())
        await worker.until_started()

    @property
    def workers(self) -> list[Worker]:
        """Those that work now."""
        return list(self._workers)

    @property
    def names(self) -> set[str]:
        """Those of all that ever worked."""
        return {f"w{number + 1}" for number in range(self._hired)}

    @property
    def disturbed(self) -> set[str]:
        """Keys of runs of which nothing may have come: they start again."""
        starts = self.ledger.starts
        return {start.key for start in starts if start.is_zombie or start.is_interrupted}

    def _chosen(self, pick: int) -> Worker:
        return list(self._workers)[pick % len(self._workers)]

    def _give_up_on(self, worker: Worker) -> None:
        self.on_death(worker)
        for start in self.ledger.starts:
            if start.worker == worker.name:
                # One that is over may not have been written down.
                start.is_zombie = True
                start.died = time.monotonic()

    async def kill(self, pick: int) -> None:
        """One of them claims, renews and settles no more; what it runs goes on as that of a zombie does."""
        worker = self._chosen(pick)
        await worker._round_trips.stop()  # pyright: ignore[reportPrivateUsage]
        await worker._leases.stop()  # pyright: ignore[reportPrivateUsage]
        self._give_up_on(worker)
        storage = self.docket.storage
        await release(storage.connection, storage.keys, worker.consumer, worker.queues)
        worker._is_drained = True  # pyright: ignore[reportPrivateUsage]
        self._workers[worker].cancel()
        await self._workers.pop(worker)
        await self._hire()

    async def drain(self, pick: int) -> None:
        """One of them hands back what it runs, and leaves."""
        worker = self._chosen(pick)
        await worker.drain(timedelta(0))
        self._workers[worker].cancel()
        await self._workers.pop(worker)
        await self._hire()


async def nothing_is_left(docket: Docket) -> None:
    """No message, nothing that waits, no slot; what is kept per execution expires."""
    snapshot = await Snapshot.take(docket.storage.connection, docket.storage.keys)
    assert not snapshot.messages
    for name in ("queue", "parked", "holding", "waiting", "sizes"):
        assert name not in snapshot.kept
    for kind in ("slots", "waiters"):
        assert not snapshot.named(f"{kind}:")
    for kind in ("runs", "results", "progress", "rate", "moments", "cooldown", "debounce"):
        # One that has expired while it was looked at tells -2.
        assert all(kept.ttl != -1 for kept in snapshot.named(f"{kind}:").values()), kind
