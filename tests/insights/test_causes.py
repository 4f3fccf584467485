"""Every cause is reached by the engine itself, or says why only a hand reaches it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    Debounce,
    Docket,
    ExecutionState,
    RateLimit,
    Retry,
    Worker,
)
from docket.calls.binding import announced
from docket.errors import Undecodable
from docket.foundation.units import from_milliseconds, to_milliseconds
from docket.insights import Explanation
from docket.insights.causes import Cause
from docket.schedules.ticker import Ticker
from docket.storage.claims import Claimed, Consumer, release
from docket.storage.configurations import RevisionChange, RevisionEntry
from tests.conformance.conftest import until, working
from tests.routing import route
from tests.schedules.conftest import declared

HOUR = timedelta(hours=1)
Scenario = Callable[["Stage"], Awaitable[str]]
SCENARIOS: Final[dict[Cause, Scenario]] = {}


class Unknown:
    """A value that only pickle takes."""


async def charge(what: object = None) -> None: ...


async def fails() -> None:
    raise ValueError("bank is closed")


@dataclass
class Stage:
    """A docket in which something is brought about; each scenario returns the key that it is about."""

    docket: Docket
    stack: AsyncExitStack
    """What lasts until the explanation was read."""

    async def explain(self, key: str) -> Explanation:
        found = await self.docket.insights.explain(key)
        assert found is not None
        return found

    async def now(self) -> datetime:
        return from_milliseconds(await self.docket.storage.executions.now())

    async def add(self, key: str = "k", task: str = "charge", what: object = None) -> str:
        await self.docket.add(task, key=key)(*([] if what is None else [what]))
        return key

    async def add_later(self, task: str = "charge") -> str:
        await self.docket.add(task, when=await self.now() + HOUR, key="k")()
        return "k"

    async def living(self, *tasks: str, queue: str = "default") -> None:
        """A worker that lives and takes nothing."""
        workers = self.docket.storage.workers
        await workers.register("w1", tasks, self.docket.silence, queues=[queue])

    async def claim(self, consumer: str = "w2:1") -> Claimed:
        """Have a worker take what is due."""
        claimant = Consumer("w2", consumer, ("default",), 30_000, 60_000, 60_000)
        _, catch = await self.docket.storage.exchange(claimant).trade([], 1)
        assert catch is not None
        (claimed,) = catch.claimed
        return claimed

    async def die(self, consumer: str) -> None:
        storage = self.docket.storage
        await release(storage.connection, storage.keys, consumer, ["default"], "SIGSEGV")

    async def work(self) -> None:
        """Have a worker run what it can."""
        async with Worker(self.docket) as worker:
            await worker.run_until_finished()

    async def work_until(self, key: str, state: ExecutionState) -> None:
        """Have a worker run until an execution is in a state."""

        async def is_there() -> bool:
            found = await self.docket.get_execution(key)
            return found is not None and found.state is state

        async with Worker(self.docket) as worker, working(worker):
            await until(is_there)

    async def until(self, key: str, cause: Cause) -> None:
        async def is_so() -> bool:
            return (await self.explain(key)).cause == cause.value

        await until(is_so)

    async def write(self, *command: str | int) -> None:
        """Write by hand; the key is the second word, without the prefix."""
        name, key, *words = command
        (reply,) = await self.docket.storage.connection.send(
            (name, self.docket.key(str(key)), *words)
        )
        assert not isinstance(reply, Exception), reply


def reaches(cause: Cause) -> Callable[[Scenario], Scenario]:
    def reached(scenario: Scenario) -> Scenario:
        SCENARIOS[cause] = scenario
        return scenario

    return reached


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Docket(uuid.uuid4().hex, "memory://insights") as docket:
        # Workers that are announced live until the end of the test.
        docket.missed_heartbeats = 1000
        # However slow the machine is, who lives is alive.
        docket.missed_heartbeats = 1000
        for task in (charge, fails):
            docket.register(task)
        async with AsyncExitStack() as stack:
            yield Stage(docket, stack)


@pytest.mark.parametrize("cause", Cause)
async def test_a_cause_is_told(cause: Cause, stage: Stage) -> None:
    key = await SCENARIOS[cause](stage)

    found = await stage.explain(key)

    assert (found.subject, found.cause) == (key, cause.value), str(found)
    assert "{" not in str(found)
    if cause in TELLS:
        assert TELLS[cause] in str(found)


TELLS: Final = {
    Cause.SLOT: "1 of 1 are held, and none waits before it.\n  To do: raise the limit, or see what holds "
    "the slots: `docket task explain first`\n- first has held a slot for ",
    Cause.TURN: "s@2026-03-01T12:01:00Z has the turn, and none waits before it.",
    Cause.RATE: "It waits for its moment of the rate limit limited: in ",
    Cause.BEHIND: ": 2 others of queue default will be taken before it.",
    Cause.SUSPECT: "- 1 process has died under it, 1 of them while it ran alone; the last one ended with "
    "SIGSEGV.",
    Cause.QUEUE_PAUSED: "Its queue default is paused by ann since ",
    Cause.QUEUE_PAUSED_BY_FILE: "Its queue default/high is paused by the file of shop (revision 1) since ",
    Cause.NO_WORKER_FOR_QUEUE: "No living worker serves its queue slow.",
    Cause.NO_WORKER_FOR_TASK: "- No worker that is remembered knows its task charge.",
    Cause.PARKED_STRUCK: "It is parked by the strike charge() by ann (INC-7).\n  To do: `docket restore ",
    Cause.PARKED_ARGS_SCHEMA: "its arguments have shape 2, which",
    Cause.FAILED: "ValueError: bank is closed.\n  To do: `docket dead show k`",
    Cause.CRASHED: "because its process died under it: Crashed: 3 workers died",
    Cause.EXPIRED: ": it had to begin by ",
    Cause.DROPPED: "cooldown (1:00:00) on limited did not let it in.",
    Cause.RUNNING: "It has been running on worker w2 for ",
    Cause.SILENT: "- The lease of its worker ended ",
}
"""What is said of some, beside the cause."""


@reaches(Cause.DUE_LATER)
async def _(stage: Stage) -> str:
    return await stage.add_later()


@reaches(Cause.RETRIED)
async def _(stage: Stage) -> str:
    async def retried(retry: Retry = Retry(attempts=2, delay=HOUR)) -> None:
        raise ValueError("no")

    stage.docket.register(retried)
    await stage.add(task="retried")
    await stage.work_until("k", ExecutionState.SCHEDULED)
    return "k"


@reaches(Cause.SLOT)
async def _(stage: Stage) -> str:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def limited(limit: ConcurrencyLimit = ConcurrencyLimit(1)) -> None:
        began.set()
        await go_on.wait()

    stage.docket.register(limited)
    await stage.stack.enter_async_context(working(Worker(stage.docket)))
    stage.stack.callback(go_on.set)
    await stage.add("first", "limited")
    await asyncio.wait_for(began.wait(), 60)
    await stage.add("k", "limited")
    await stage.until("k", Cause.SLOT)
    return "k"


@reaches(Cause.TURN)
async def _(stage: Stage) -> str:
    stage.docket.register(charge, names=["t"])
    clock, start = stage.docket.storage.clock, datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    await clock.stop()
    await clock.move(to_milliseconds(start))
    ticker = Ticker(stage.docket.storage.schedules, stage.docket.serializer, "owner")
    await ticker.declare(declared('[schedules.s]\nevery = "1m"\noverlap = "queue_all"\n'))
    for minute in (1, 2):
        await clock.move(to_milliseconds(start + timedelta(minutes=minute)))
        await ticker.fire_due()
    return "s@2026-03-01T12:02:00Z"


@reaches(Cause.RATE)
async def _(stage: Stage) -> str:
    async def limited(rate: RateLimit = RateLimit(1, per=HOUR)) -> None: ...

    stage.docket.register(limited)
    await stage.add("first", "limited")
    await stage.work_until("first", ExecutionState.COMPLETED)
    await stage.add(task="limited")
    await stage.work_until("k", ExecutionState.SCHEDULED)
    return "k"


@reaches(Cause.DEBOUNCE)
async def _(stage: Stage) -> str:
    async def limited(settle: Debounce = Debounce(HOUR)) -> None: ...

    stage.docket.register(limited)
    await stage.add(task="limited")
    await stage.work_until("k", ExecutionState.SCHEDULED)
    return "k"


@reaches(Cause.DROPPED)
async def _(stage: Stage) -> str:
    async def limited(cooldown: Cooldown = Cooldown(HOUR)) -> None: ...

    stage.docket.register(limited)
    await stage.add("first", "limited")
    await stage.work()
    await stage.add(task="limited")
    await stage.work()
    return "k"


@reaches(Cause.OVERDUE)
async def _(stage: Stage) -> str:
    await stage.add_later()
    later = await stage.now() + 2 * HOUR
    await stage.docket.storage.clock.stop()
    await stage.docket.storage.clock.move(to_milliseconds(later))
    await stage.living("charge")
    return "k"


@reaches(Cause.BEHIND)
async def _(stage: Stage) -> str:
    await stage.living("charge")
    for key in ("taken", "a", "b"):
        await stage.add(key)
    await stage.claim()
    return await stage.add()


@reaches(Cause.NEXT)
async def _(stage: Stage) -> str:
    await stage.living("charge")
    return await stage.add()


@reaches(Cause.SUSPECT)
async def _(stage: Stage) -> str:
    await stage.living("charge")
    await stage.add()
    await stage.claim("w2:1")
    await stage.die("w2:1")
    return "k"


@reaches(Cause.CRASHED)
async def _(stage: Stage) -> str:
    await stage.add()
    for life in range(1, 4):
        await stage.claim(f"w2:{life}")
        await stage.die(f"w2:{life}")
    await stage.work()
    return "k"


@reaches(Cause.QUEUE_PAUSED)
async def _(stage: Stage) -> str:
    await stage.living("charge")
    await stage.docket.operations.pause_queues(
        "default", author="ann", reason="INC-7", lasting=HOUR
    )
    return await stage.add()


@reaches(Cause.QUEUE_PAUSED_BY_FILE)
async def _(stage: Stage) -> str:
    await stage.living("charge")
    entry = RevisionEntry("digest", "", None, "here", "applied")
    await stage.docket.storage.configurations.commit(
        "shop", 0, entry, 20, RevisionChange(paused=["default"])
    )
    await stage.docket.add("charge", key="k", priority="high")()
    return "k"


@reaches(Cause.NO_WORKER)
async def _(stage: Stage) -> str:
    return await stage.add()


@reaches(Cause.NO_WORKER_FOR_QUEUE)
async def _(stage: Stage) -> str:
    await route(stage.docket.storage, {"charge": "slow"})
    await stage.living("charge")
    return await stage.add()


@reaches(Cause.NO_WORKER_FOR_TASK)
async def _(stage: Stage) -> str:
    await stage.living("other")
    return await stage.add()


@reaches(Cause.STRUCK_DROP)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.docket.strike("charge")
    return "k"


@reaches(Cause.STRUCK_PARK)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.docket.strike("charge", action="park")
    return "k"


@reaches(Cause.STRUCK_DELAY)
async def _(stage: Stage) -> str:
    await stage.docket.strike("charge", action="delay", delay=HOUR)
    await stage.add()
    await stage.work_until("k", ExecutionState.SCHEDULED)
    return "k"


@reaches(Cause.LOST)
async def _(stage: Stage) -> str:
    """By hand: records and their places are written together."""
    await stage.add_later()
    await stage.write("DEL", "queue")
    return "k"


@reaches(Cause.RUNNING)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.claim()
    return "k"


@reaches(Cause.CANCELLING)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.claim()
    await stage.docket.cancel("k")
    return "k"


@reaches(Cause.SILENT)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.claim("w2:1")
    await stage.write("ZADD", "leases", 1, "w2:1")
    return "k"


@reaches(Cause.PARKED_UNKNOWN_TASK)
async def _(stage: Stage) -> str:
    await stage.add()
    async with Docket(stage.docket.name, stage.docket.url) as ignorant, Worker(ignorant) as worker:
        await worker.run_until_finished()
    return "k"


@reaches(Cause.PARKED_STRUCK)
async def _(stage: Stage) -> str:
    await stage.docket.strike("charge", author="ann", reason="INC-7", action="park")
    return await stage.add()


@reaches(Cause.PARKED_FREED)
async def _(stage: Stage) -> str:
    """By hand: a rule that ends is removed by whoever follows it."""
    await stage.docket.strike("charge", action="park")
    await stage.add()
    await stage.write("HDEL", "strikes", "task:charge")
    return "k"


@reaches(Cause.PARKED_ARGS_SCHEMA)
async def _(stage: Stage) -> str:
    await route(stage.docket.storage, {}, {"charge": 2})
    await stage.add()
    await stage.work()
    return "k"


@reaches(Cause.PARKED_SIGNATURE)
async def _(stage: Stage) -> str:
    async def wider(what: object = None, *, how: str) -> None: ...

    shapes = {"charge": announced(wider)}
    workers = stage.docket.storage.workers
    await workers.register("newer", ["charge"], stage.docket.silence, shapes)
    async with Docket(stage.docket.name, stage.docket.url) as newer:
        newer.register(wider, names=["charge"])
        await newer.add("charge", key="k")(how="so")
    await stage.work()
    return "k"


@reaches(Cause.SIGNATURE)
async def _(stage: Stage) -> str:
    async def wider(what: object = None, *, how: str) -> None: ...

    async with Docket(stage.docket.name, stage.docket.url) as newer:
        newer.register(wider, names=["charge"])
        await newer.add("charge", key="k")(how="so")
    await stage.work()
    return "k"


@reaches(Cause.PARKED_CODEC)
async def _(stage: Stage) -> str:
    await stage.add(what=Unknown())
    async with Docket(stage.docket.name, stage.docket.url, codecs=("safe",)) as strict:
        strict.register(charge)
        async with Worker(strict) as worker:
            await worker.run_until_finished()
    return "k"


@reaches(Cause.PARKED)
async def _(stage: Stage) -> str:
    """By hand: a later release may have reasons that this one does not know."""
    await stage.docket.strike("charge", action="park")
    await stage.add()
    await stage.write("HSET", "runs:k", "reason", "of a later release")
    return "k"


@reaches(Cause.COMPLETED)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.work()
    return "k"


@reaches(Cause.FAILED)
async def _(stage: Stage) -> str:
    await stage.add(task="fails")
    await stage.work()
    return "k"


@reaches(Cause.UNDECODABLE)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.write("HSET", "runs:k", "call", "none of ours")
    await stage.work()
    return "k"


@reaches(Cause.CANCELLED)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.docket.cancel("k")
    return "k"


@reaches(Cause.EXPIRED)
async def _(stage: Stage) -> str:
    await stage.docket.add("charge", key="k", expires=timedelta(milliseconds=1))()
    assert "It must have begun by " in str(await stage.explain("k"))
    await stage.work()
    return "k"


@reaches(Cause.CANCELLED_STRUCK)
async def _(stage: Stage) -> str:
    await stage.add()
    await stage.docket.strike("charge")
    await stage.work()
    return "k"


async def test_strikes_on_arguments_are_told_as_what_they_may_do(stage: Stage) -> None:
    await stage.living("charge")
    await stage.add()
    for number in range(6):
        assert "more strike" not in str(await stage.explain("k"))
        await stage.docket.strike("charge", "what", "==", number, author="ann")
    await stage.docket.strike("fails", "what", "==", 1)

    told = str(await stage.explain("k"))

    assert (
        "- The strike charge(what == 0) by ann cancels it if its arguments are such.\n  To do: "
        "`docket restore charge what == int:0` takes it back\n"
    ) in told
    assert told.endswith("- 1 more strike looks at arguments.\n  To do: `docket strikes ls`")
    assert "fails(" not in told
    await stage.claim()
    assert "strike" not in str(await stage.explain("k"))


async def test_what_is_queued_and_on_no_stream_is_lost(stage: Stage) -> None:
    await stage.add()
    await stage.write("DEL", "stream")

    assert "Its record says that it is queued, but" in (await stage.explain("k")).sentence


async def test_of_what_is_not_there_nothing_is_said(stage: Stage) -> None:
    assert await stage.docket.insights.explain("nobody") is None


async def test_what_is_no_record_is_said_to_be_none(stage: Stage) -> None:
    await stage.write("HSET", "runs:k", "state", "of a later release")

    with pytest.raises(Undecodable, match="expected the record of an execution under the key 'k'"):
        await stage.docket.insights.explain("k")


async def test_what_is_damaged_around_it_is_left_out(stage: Stage) -> None:
    await stage.living("charge")
    await stage.add()
    for key in ("workers", "task-workers:charge", "strikes"):
        await stage.write("DEL", key)
        await stage.write("SET", key, "none of ours")

    assert (await stage.explain("k")).cause == "no_worker"


async def test_what_is_before_it_is_counted_so_far_and_no_further(stage: Stage) -> None:
    await stage.living("charge")
    await stage.docket.add_many(stage.docket.call("charge")() for _ in range(1_001))
    await stage.add()

    assert "more than 1,000 others of queue default" in (await stage.explain("k")).sentence
