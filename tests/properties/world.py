"""A docket with workers, schedules and a clock that stands still unless a step moves it.

Every step is followed until it is quiet: everything that can run by then runs, and stands at a place where
it is held. So a machine can say after each step what must be true, although the workers are real.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from typing_extensions import Self

from docket import (
    ConcurrencyLimit,
    Cooldown,
    CurrentExecution,
    Debounce,
    Docket,
    Execution,
    Perpetual,
    RateLimit,
    Retry,
    Worker,
)
from docket.config.load import parse
from docket.errors import ServerUnavailable
from docket.schedules.desired import desired_schedules
from docket.schedules.ticker import Ticker
from docket.schedules.timetable import Timetable
from docket.storage.executions import Record
from docket.storage.scripting.retrying import value_of
from docket.testing.travel import Traveller
from tests.leftovers import leftovers

from .crew import Crew
from .snapshot import Snapshot

T = TypeVar("T")

QUEUES = ("default", "fast")
LEASE = timedelta(hours=12)
"""Longer than the time that any example lets pass: what is taken over was released on purpose."""

ATTEMPTS = 3
SLOTS, RATE = 1, 2
PER, WINDOW, SETTLE = timedelta(seconds=10), timedelta(seconds=20), timedelta(seconds=2)

SLOT = ConcurrencyLimit(max_concurrent=SLOTS)
GATES: dict[str, tuple[Any, ...]] = {
    "plain": (),
    "slot": (SLOT,),
    "rate": (RateLimit(RATE, per=PER),),
    "cool": (Cooldown(WINDOW),),
    "bounce": (Debounce(SETTLE),),
    "slot_rate": (SLOT, RateLimit(RATE, per=PER)),
    "rate_slot": (RateLimit(RATE, per=PER), SLOT),
    "slot_cool": (SLOT, Cooldown(WINDOW)),
    "cool_slot": (Cooldown(WINDOW), SLOT),
    "slot_bounce": (SLOT, Debounce(SETTLE)),
    "bounce_slot": (Debounce(SETTLE), SLOT),
    "rate_bounce": (RateLimit(RATE, per=PER), Debounce(SETTLE)),
}
"""The gates of each task, in the order in which they are declared."""

SCHEDULES = """
[tasks.tick]
function = "m:f"
[schedules.skips]
task = "tick"
every = "10s"
overlap = "skip"
[schedules.queues]
task = "tick"
every = "15s"
overlap = "queue_all"
[schedules.cancels]
task = "tick"
every = "20s"
overlap = "cancel_running"
"""


class Still(Worker):
    """A worker whose clock stands where the server's does."""

    clock_type = Traveller.clock_type


@dataclass(eq=False)
class Body:
    """One run of a task, as the task itself saw it."""

    key: str
    number: int
    task: str
    lane: str
    attempt: int
    fence: int
    worker: str
    at: float
    """When it started, by the docket's time."""
    is_redelivered: bool
    wall: float = field(default_factory=time.monotonic)
    """When it started, by a clock that does not stand still: what expires in Redis goes by that, too."""
    end: asyncio.Event = field(default_factory=asyncio.Event)
    is_zombie: bool = False
    is_interrupted: bool = False
    is_over: bool = False
    has_succeeded: bool = False

    @property
    def is_held(self) -> bool:
        """Whether it runs, and its end would count."""
        return not (self.is_over or self.is_zombie)


class World:
    """What steps are made in.

    Arguments:
        url: the server, one whose time can be moved.
        size: how many workers there are at a time.
        concurrency: of each of them.
    """

    def __init__(self, url: str, size: int = 2, concurrency: int = 3) -> None:
        self.loop = asyncio.new_event_loop()
        self.docket = Docket(
            f"world-{uuid.uuid4().hex[:12]}", url, heartbeat_interval=timedelta(milliseconds=200)
        )
        self.stranger = Docket(self.docket.name, url)
        """A client that knows a task that no worker does."""
        self.stranger.register(self._later, ["later"])
        self.crew = Crew(self.docket, size, concurrency, Still, LEASE, QUEUES)
        self.crew.on_death = self._give_up_on
        self.bodies: list[Body] = []
        self.now = 0.0
        self.on_start: Callable[[Body], None] = lambda _: None
        self.on_death: Callable[[Body], None] = lambda _: None
        self.is_free = False
        """Whether nothing is held any more: bodies run to their ends."""
        self.ticker: Ticker
        self.timetable: Timetable
        self._lost = 0

    def __enter__(self) -> Self:
        self.do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    async def _open(self) -> None:
        await self.docket.__aenter__()
        await self.stranger.__aenter__()
        for name, gates in GATES.items():
            self.docket.register(self._task(name, gates), [name])
        self.docket.register(self._keeps, ["keeps"])
        self.docket.register(self._tick, ["tick"])
        await self.docket.storage.clock.stop()
        self.now = await self._time()
        self._lose_replies()
        self.timetable = Timetable(self.docket)
        self.ticker = Ticker(self.docket.storage.schedules, self.docket.serializer, "world")
        await self.crew.__aenter__()

    async def _close(self) -> None:
        for body in self.bodies:
            body.end.set()
        await self.crew.__aexit__()
        await self.docket.clear()
        snapshot = await self.snapshot()
        if snapshot.kept:
            names = [self.docket.storage.keys.named(name) for name in snapshot.kept]
            await self.docket.storage.connection.send(("DEL", *names))
        await self.stranger.__aexit__(None, None, None)
        await self.docket.__aexit__(None, None, None)

    def do(self, work: Awaitable[T]) -> T:
        """Have it done, and return when it is."""
        return self.loop.run_until_complete(_awaited(work))

    # Tasks

    def _task(self, name: str, gates: tuple[Any, ...]) -> Callable[..., Coroutine[Any, Any, int]]:
        world = self

        async def none(
            number: int,
            lane: str,
            failures: int = 0,
            execution: Execution = CurrentExecution(),
            retry: Retry = Retry(attempts=ATTEMPTS),
        ) -> int:
            return await world._perform(execution, name, number, lane, failures)

        async def one(
            number: int,
            lane: str,
            failures: int = 0,
            execution: Execution = CurrentExecution(),
            retry: Retry = Retry(attempts=ATTEMPTS),
            first: Any = gates[0] if gates else None,
        ) -> int:
            return await world._perform(execution, name, number, lane, failures)

        async def two(
            number: int,
            lane: str,
            failures: int = 0,
            execution: Execution = CurrentExecution(),
            retry: Retry = Retry(attempts=ATTEMPTS),
            first: Any = gates[0] if gates else None,
            second: Any = gates[-1] if gates else None,
        ) -> int:
            return await world._perform(execution, name, number, lane, failures)

        task = (none, one, two)[len(gates)]
        # Limits are named by the function of their task.
        task.__name__ = task.__qualname__ = name
        return task

    async def _keeps(
        self,
        number: int,
        lane: str,
        left: int = 2,
        execution: Execution = CurrentExecution(),
        perpetual: Perpetual = Perpetual(timedelta(seconds=5)),
    ) -> int:
        if left:
            perpetual.perpetuate(number, lane, left - 1)
        else:
            perpetual.cancel()
        return await self._perform(execution, "keeps", number, lane, 0)

    async def _later(self, execution: Execution = CurrentExecution()) -> int:
        return await self._perform(execution, "later", -1, "", 0)

    def teach(self) -> None:
        """Register the task that nobody knew so far."""
        self.docket.register(self._later, ["later"])

    async def _tick(self, execution: Execution = CurrentExecution()) -> int:
        return await self._perform(execution, "tick", -1, "", 0)

    async def _perform(
        self, execution: Execution, task: str, number: int, lane: str, failures: int
    ) -> int:
        assert execution.fence is not None
        assert execution.worker is not None
        body = Body(
            *(execution.key, number, task, lane, execution.attempt, execution.fence),
            *(execution.worker, self.now, execution.redelivered),
        )
        self.bodies.append(body)
        self.on_start(body)
        try:
            if not self.is_free:
                await body.end.wait()
            if execution.attempt <= failures:
                raise ArithmeticError(execution.attempt)
            body.has_succeeded = True
            return number
        except asyncio.CancelledError:
            body.is_interrupted = True
            raise
        finally:
            body.is_over = True

    def held(self) -> list[Body]:
        """What runs now."""
        return [body for body in self.bodies if body.is_held]

    # Faults

    def _lose_replies(self) -> None:
        connection = self.docket.storage.connection
        send = connection.send

        async def sending(*commands: Any) -> Any:
            replies = await send(*commands)
            # Only what a script has done can be done twice.
            if self._lost and any(str(one[0]).startswith("EVAL") for one in commands):
                self._lost -= 1
                raise ServerUnavailable("the reply was lost")
            return replies

        connection.send = sending  # type: ignore[method-assign]

    def lose(self, replies: int) -> None:
        """Have the replies of the next scripts lost."""
        self._lost = replies

    async def kill(self, pick: int) -> None:
        """One worker dies: what it runs goes on, and nothing comes of it."""
        self._lost = 0
        await self.crew.kill(pick)

    def _give_up_on(self, worker: Worker) -> None:
        """Nothing comes of what this worker runs."""
        for body in self.bodies:
            if body.worker == worker.name and body.is_held:
                body.is_zombie = True
                self.on_death(body)

    async def drain(self, pick: int) -> None:
        """One worker hands back what it runs, and leaves."""
        self._lost = 0
        await self.crew.drain(pick)

    # Time

    async def _time(self) -> float:
        return (await self.docket.storage.clock.look(QUEUES)).now / 1000

    async def wait(self, seconds: float) -> None:
        """Let time pass, and fire what is due."""
        self._lost = 0
        await self.docket.storage.clock.move(int(self.now * 1000 + seconds * 1000))
        self.now = await self._time()
        await self.docket.strike_list.refresh()
        await self.docket.strike_list.acquit()
        await self.ticker.fire_due()

    def moment(self, seconds: float) -> datetime:
        """So long from now, by the docket's time."""
        return datetime.fromtimestamp(self.now, timezone.utc) + timedelta(seconds=seconds)

    async def declare(self, text: str) -> None:
        """Have these schedules, and no others."""
        await self.ticker.declare(desired_schedules(parse(text).configuration))

    # Looking

    async def snapshot(self) -> Snapshot:
        """All that is kept now."""
        return await Snapshot.take(self.docket.storage.connection, self.docket.storage.keys)

    async def records(self, *keys: str) -> dict[str, Record]:
        """The records of these keys, as far as there are any."""
        found = await self.docket.storage.executions.read(*keys) if keys else []
        return {record.key: record for record in found if record is not None}

    async def result(self, key: str) -> Any:
        """What was returned under this key; None if nothing is kept."""
        stored, _ = await self.docket.storage.executions.result(key)
        return None if stored is None else self.docket.serializer.load_result(stored, None)

    async def quiet(self) -> None:
        """Wait until everything that can run does, and nothing is on its way.

        Raises:
            AssertionError: work is left lying although a worker is free to take it.
        """
        deadline = self.loop.time() + 5
        while True:
            for worker in self.crew.workers:
                worker._round_trips.look()
            await self._until_still(deadline)
            left = await self._left_lying()
            if not left:
                return
            assert self.loop.time() < deadline, f"left lying beside free workers: {left}"

    async def _until_still(self, deadline: float) -> None:
        calm = 0
        while calm < 3:
            await asyncio.sleep(0.001)
            calm = calm + 1 if all(self._is_still(worker) for worker in self.crew.workers) else 0
            assert self.loop.time() < deadline, "it does not become quiet"

    def _is_still(self, worker: Worker) -> bool:
        round_trips, running = worker._round_trips, worker._running
        held = sum(body.worker == worker.name for body in self.held())
        is_looking = round_trips._look and running.free > 0
        return not (is_looking or round_trips.is_under_way) and len(running) == held

    async def _left_lying(self) -> list[str]:
        """What a free worker should have taken by now."""
        if not any(worker._running.free for worker in self.crew.workers):
            return []
        snapshot = await self.snapshot()
        if any(name.startswith("suspects") for name in snapshot.kept):
            return []  # they run alone, and others wait for them for a while
        lying = [message.key for message in snapshot.messages if message.consumer is None]
        now = self.now * 1000
        return lying + [key for key, due in snapshot.scores("queue").items() if due <= now]

    async def leftovers(self) -> list[str]:
        """Everything that is kept without need; the leases of those who died are not over yet."""
        return await leftovers(self.docket, self.crew.names)

    async def send(self, *command: Any) -> Any:
        """One command, outside of everything that is tested."""
        (reply,) = await self.docket.storage.connection.send(command)
        return value_of(reply)

    def starts(self, number: int) -> Counter[int]:
        """How often each attempt of a call was started."""
        return Counter(body.attempt for body in self.bodies if body.number == number)


async def _awaited(work: Awaitable[T]) -> T:
    return await work
