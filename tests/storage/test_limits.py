"""Limits under concurrency: never exceeded, nobody forgotten, nothing left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from docket import (
    ConcurrencyLimit,
    Cooldown,
    CurrentExecution,
    Debounce,
    Docket,
    Execution,
    ExecutionState,
    RateLimit,
    Retry,
    Worker,
)
from docket.storage.exchange import Claimant, release
from docket.storage.limits import Limits
from tests.compat.conftest import docket, least_privileged, name, pytest_generate_tests, until, url
from tests.dependencies.conftest import Meter, keys_of, meter, second
from tests.fleet.process import ServerProcess

__all__ = ["docket", "least_privileged", "meter", "name", "pytest_generate_tests", "second", "url"]

LEASE = timedelta(seconds=1)


@asynccontextmanager
async def several_workers(
    docket: Docket, count: int, concurrency: int = 5
) -> AsyncGenerator[list[Worker], None]:
    """So many workers, each as if in a process of its own, running."""
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                Worker(
                    docket,
                    name=f"worker-{number}",
                    concurrency=concurrency,
                    redelivery_timeout=LEASE,
                )
            )
            for number in range(count)
        ]
        running = [asyncio.create_task(worker.run_forever()) for worker in workers]
        for worker in workers:
            await worker.until_started()
        try:
            yield workers
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running)


async def until_all_ended(docket: Docket, seconds: float = 30.0) -> None:
    async def ended() -> bool:
        due, future = await docket.storage.executions.depths(["default"])
        return not due and not future

    await until(ended, seconds)


async def waiters_of(docket: Docket, slot: str) -> int:
    async with docket.redis() as client:
        return await client.zcard(docket.key(f"waiters:{slot}"))


async def test_no_more_run_at_a_time_than_a_task_allows_with_several_workers(
    docket: Docket, meter: Meter
) -> None:
    async def work(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=3)) -> None:
        await meter.run()

    docket.register(work)
    await docket.add_many([docket.call(work)() for _ in range(60)])
    async with several_workers(docket, 4):
        await until_all_ended(docket)

    assert len(meter.order) == 60
    assert meter.peak[None] == 3


async def test_no_more_run_at_a_time_than_an_argument_allows_with_several_workers(
    docket: Docket, meter: Meter
) -> None:
    async def work(customer: Annotated[int, ConcurrencyLimit(2)], number: int) -> None:
        await meter.run(customer)

    docket.register(work)
    await docket.add_many([docket.call(work)(number % 4, number) for number in range(80)])
    async with several_workers(docket, 4):
        await until_all_ended(docket)

    assert len(meter.order) == 80
    assert set(meter.peak.values()) == {2}


async def test_those_who_wait_for_a_slot_are_woken_in_the_order_in_which_they_came(
    docket: Docket, meter: Meter
) -> None:
    go_on = asyncio.Event()

    async def work(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> None:
        await meter.run(what=number)
        await go_on.wait()

    docket.register(work)
    await docket.add(work)(0)
    async with several_workers(docket, 1, concurrency=10):
        await until(lambda: _is(_slots(docket, "work"), 1))
        # Keys whose own order is another one: a tie within a millisecond must not be broken by it.
        await docket.add_many([docket.call(work, key=f"{99 - n}")(n) for n in range(1, 30)])
        await until(lambda: _is(waiters_of(docket, "work"), 29))
        go_on.set()
        await until_all_ended(docket)

    assert meter.order == list(range(30))


async def test_a_newcomer_does_not_overtake_those_who_wait(docket: Docket, meter: Meter) -> None:
    go_on = asyncio.Event()

    async def work(what: str, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        meter.order.append(what)
        if what == "first":
            await go_on.wait()

    docket.register(work)
    await docket.add(work)("first")
    async with several_workers(docket, 1):
        # Who is claimed together asks for the slot together.
        await until(lambda: _is(_slots(docket, "work"), 1))
        await docket.add_many([docket.call(work)(what) for what in ("second", "third")])
        await until(lambda: _is(waiters_of(docket, "work"), 2))
        go_on.set()
        await docket.add(work)("newcomer")
        await until_all_ended(docket)

    assert meter.order == ["first", "second", "third", "newcomer"]


async def _is(asked: Any, wanted: object) -> bool:
    return await asked == wanted


async def messages_of(docket: Docket, count: int) -> list[Any]:
    """So many messages of runs that somebody holds."""
    async with docket.redis() as client:
        return [await client.xadd(docket.stream_key, {"key": "some"}) for _ in range(count)]


async def test_a_slot_that_is_asked_for_twice_is_taken_once(docket: Docket) -> None:
    limits = docket.storage.limits
    one, two = await messages_of(docket, 2)

    assert await limits.acquire("slot", 1, "default", one)
    assert await limits.acquire("slot", 1, "default", one)
    assert not await limits.acquire("slot", 1, "default", two)
    assert await limits.acquire("slot", 2, "default", two)


async def test_a_run_whose_message_was_settled_by_somebody_else_gets_no_slot(
    docket: Docket,
) -> None:
    assert not await docket.storage.limits.acquire("slot", 1, "default", b"1-1")
    assert await _slots(docket, "slot") == 0


async def test_a_limit_that_shrinks_counts_for_those_that_hold_a_slot_by_their_age(
    docket: Docket,
) -> None:
    limits = docket.storage.limits
    messages = await messages_of(docket, 3)
    for message in messages:
        assert await limits.acquire("slot", 3, "default", message)
        await asyncio.sleep(0.002)

    # Whoever asks again, because its worker died, is measured by the new size.
    again = [await limits.acquire("slot", 1, "default", message) for message in messages]
    assert again == [True, False, False]


async def test_a_limit_that_grows_lets_more_of_those_in_that_wait(
    docket: Docket, second: Docket, meter: Meter
) -> None:
    go_on = asyncio.Event()

    async def narrow(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        await go_on.wait()

    async def wide(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=3)) -> None:
        await meter.run(seconds=0.05)

    docket.register(narrow, ["work"])
    second.register(wide, ["work"])
    await docket.add("work")()
    async with several_workers(docket, 1):
        await until(lambda: _is(_slots(docket, "work"), 1))
        await docket.add_many([docket.call("work")() for _ in range(9)])
        await until(lambda: _is(waiters_of(docket, "work"), 9))
        running = asyncio.create_task(_drained(docket, go_on))
    # The old worker has gone; the new one finds nine that wait, and nobody who holds a slot.
    await running
    async with several_workers(second, 2):
        await until_all_ended(docket)

    assert 1 < meter.peak[None] <= 3


async def _drained(docket: Docket, go_on: asyncio.Event) -> None:
    go_on.set()


async def _slots(docket: Docket, slot: str) -> int:
    async with docket.redis() as client:
        return await client.zcard(docket.key(f"slots:{slot}"))


async def test_a_cancelled_holder_gives_its_slot_back(docket: Docket) -> None:
    ran: list[str] = []

    async def work(what: str, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        ran.append(what)
        if what == "stuck":
            await asyncio.Event().wait()

    docket.register(work)
    stuck = await docket.add(work)("stuck")
    async with several_workers(docket, 2):
        await until(lambda: _is(_slots(docket, "work"), 1))
        await docket.add(work)("next")
        await until(lambda: _is(waiters_of(docket, "work"), 1))
        await docket.cancel(stuck.key)
        await until_all_ended(docket)

    assert ran == ["stuck", "next"]
    assert await _slots(docket, "work") == 0


async def test_one_that_is_cancelled_while_it_waits_is_not_woken_and_not_missed(
    docket: Docket,
) -> None:
    ran: list[int] = []
    go_on = asyncio.Event()

    async def work(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> None:
        ran.append(number)
        await go_on.wait()

    docket.register(work)
    executions = await docket.add_many([docket.call(work)(number) for number in range(4)])
    async with several_workers(docket, 2):
        await until(lambda: _is(waiters_of(docket, "work"), 3))
        number = next(number for number in range(4) if number not in ran)
        waiting = executions[number]
        await docket.cancel(waiting.key)
        go_on.set()
        await until_all_ended(docket)

    await waiting.sync()
    assert waiting.state is ExecutionState.CANCELLED
    assert sorted([*ran, number]) == [0, 1, 2, 3]


async def test_a_replaced_holder_keeps_its_slot_until_it_ends(docket: Docket, meter: Meter) -> None:
    go_on = asyncio.Event()

    async def work(what: str, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        meter.order.append(what)
        if what == "old":
            await go_on.wait()
        await meter.run()

    docket.register(work)
    await docket.add(work, key="key")("old")
    async with several_workers(docket, 2):
        await until(lambda: _is(_slots(docket, "work"), 1))
        await docket.replace(work, datetime.now(timezone.utc), "key")("new")
        await until(lambda: _is(waiters_of(docket, "work"), 1))
        go_on.set()
        await until_all_ended(docket)

    assert meter.order == ["old", None, "new", None]
    assert meter.peak[None] == 1


async def test_one_that_is_replaced_while_it_waits_waits_once(docket: Docket) -> None:
    ran: list[str] = []
    go_on = asyncio.Event()

    async def work(what: str, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        ran.append(what)
        await go_on.wait()

    docket.register(work)
    await docket.add(work)("first")
    async with several_workers(docket, 2):
        await until(lambda: _is(_slots(docket, "work"), 1))
        await docket.add(work, key="key")("old")
        await until(lambda: _is(waiters_of(docket, "work"), 1))
        await docket.replace(work, datetime.now(timezone.utc), "key")("new")
        await until(lambda: _is(waiters_of(docket, "work"), 1))
        go_on.set()
        await until_all_ended(docket)

    assert ran == ["first", "new"]


async def test_the_slot_of_a_dead_worker_goes_to_whoever_takes_its_run_over(
    docket: Docket, meter: Meter
) -> None:
    async def work(
        number: int,
        limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1),
        execution: Execution = CurrentExecution(),
    ) -> None:
        await meter.run(what=number)

    docket.register(work)
    await docket.add(work)(0)
    dead = docket.storage.exchange(Claimant("dead", "dead", ("default",), 1000, 60_000, 60_000))
    _, catch = await dead.trade([], 1)
    assert catch is not None
    (claimed,) = catch.claimed
    assert await docket.storage.limits.acquire("work", 1, "default", claimed.message)
    await docket.add_many([docket.call(work)(number) for number in range(1, 6)])

    async with several_workers(docket, 2):
        await until(lambda: _is(waiters_of(docket, "work"), 5))
        # It was ended on purpose: what it ran is no suspect, and keeps its slot.
        await release(docket.storage.connection, docket.storage.keys, "dead", ["default"], "")
        await until_all_ended(docket)

    assert meter.order == [0, 1, 2, 3, 4, 5]
    assert meter.peak[None] == 1


async def test_the_slot_of_a_run_that_kills_its_workers_is_given_back(docket: Docket) -> None:
    ran: list[int] = []

    async def work(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> None:
        ran.append(number)

    docket.register(work)
    poison = await docket.add(work)(0)
    for number in range(3):
        doomed = f"doomed-{number}"
        exchange = docket.storage.exchange(
            Claimant(doomed, doomed, ("default",), 1000, 60_000, 60_000)
        )
        _, catch = await exchange.trade([], 1)
        assert catch is not None
        (claimed,) = catch.claimed
        assert await docket.storage.limits.acquire("work", 1, "default", claimed.message)
        await release(docket.storage.connection, docket.storage.keys, doomed, ["default"])
    await docket.add(work)(1)

    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await poison.sync()

    assert (poison.state, poison.reason) == (ExecutionState.FAILED, "crashed")
    assert ran == [1]


async def test_a_message_gives_its_slot_back_when_its_task_comes_under_another_limit(
    docket: Docket,
) -> None:
    limits = docket.storage.limits
    (message,) = await messages_of(docket, 1)
    assert await limits.acquire("old", 1, "default", message)

    assert await limits.acquire("new", 1, "default", message)

    assert (await _slots(docket, "old"), await _slots(docket, "new")) == (0, 1)


async def _age_the_holder(docket: Docket) -> None:
    async with docket.redis() as client:
        holders: list[Any] = await client.zrange(docket.key("slots:slot"), 0, 0)
        await client.zadd(docket.key("slots:slot"), {holders[0]: 1})


async def test_a_slot_whose_message_is_gone_is_taken_by_the_next_after_a_while(
    docket: Docket,
) -> None:
    limits = docket.storage.limits
    gone, next_one = await messages_of(docket, 2)
    assert await limits.acquire("slot", 1, "default", gone)
    async with docket.redis() as client:
        await client.xdel(docket.stream_key, gone)
    assert not await limits.acquire("slot", 1, "default", next_one)
    await _age_the_holder(docket)

    assert await limits.acquire("slot", 1, "default", next_one)
    assert await _slots(docket, "slot") == 1


async def test_a_slot_whose_message_lives_is_kept_however_old_it_is(docket: Docket) -> None:
    async def work() -> None: ...

    execution = await docket.add(work)()
    exchange = docket.storage.exchange(Claimant("one", "one", ("default",), 60_000, 60_000, 60_000))
    _, catch = await exchange.trade([], 1)
    assert catch is not None
    (claimed,) = catch.claimed
    assert claimed.key == execution.key
    assert await docket.storage.limits.acquire("slot", 1, "default", claimed.message)
    await _age_the_holder(docket)

    (other,) = await messages_of(docket, 1)
    assert not await docket.storage.limits.acquire("slot", 1, "default", other)


async def test_exactly_one_of_many_wins_the_race_for_a_cooldown(
    docket: Docket, second: Docket
) -> None:
    async def race(limits: Limits, number: int) -> bool:
        return await limits.start("race", f"runner-{number}", timedelta(minutes=1))

    won = await asyncio.gather(
        *(race((docket, second)[n % 2].storage.limits, n) for n in range(50))
    )

    assert won.count(True) == 1
    # Asking again is answered as before.
    assert await race(second.storage.limits, won.index(True))


async def test_exactly_one_of_many_calls_runs_within_a_cooldown_with_several_workers(
    docket: Docket,
) -> None:
    ran: list[int] = []

    async def work(number: int, cooldown: Cooldown = Cooldown(timedelta(minutes=1))) -> None:
        ran.append(number)

    docket.register(work)
    executions = await docket.add_many([docket.call(work)(number) for number in range(40)])
    async with several_workers(docket, 4):
        await until_all_ended(docket)

    assert len(ran) == 1
    for execution in executions:
        await execution.sync()
    states = [execution.state for execution in executions]
    assert states.count(ExecutionState.COMPLETED) == 1
    assert states.count(ExecutionState.CANCELLED) == 39


async def test_exactly_one_of_many_calls_runs_after_they_have_settled_with_several_workers(
    docket: Docket,
) -> None:
    ran: list[int] = []

    async def work(number: int, debounce: Debounce = Debounce(timedelta(milliseconds=150))) -> None:
        ran.append(number)

    docket.register(work)
    await docket.add_many([docket.call(work)(number) for number in range(40)])
    async with several_workers(docket, 4):
        await until_all_ended(docket)

    assert len(ran) == 1


async def test_exactly_one_of_many_wins_the_race_for_a_debounce(
    docket: Docket, second: Docket
) -> None:
    async def work() -> None: ...

    docket.register(work)
    await docket.add_many([docket.call(work, key=f"key-{n}")() for n in range(50)])

    async def race(limits: Limits, number: int) -> timedelta | None:
        return await limits.settle_down("race", f"key-{number}", timedelta(seconds=30), None)

    waits = await asyncio.gather(
        *(race((docket, second)[n % 2].storage.limits, n) for n in range(50))
    )

    assert len([wait for wait in waits if wait]) == 1
    assert waits.count(None) == 49


async def test_a_winner_of_a_debounce_that_was_cancelled_is_followed_by_the_next(
    docket: Docket,
) -> None:
    async def work() -> None: ...

    limits = docket.storage.limits
    for key in ("one", "two"):
        await docket.add(work, key=key)()
    assert await limits.settle_down("race", "one", timedelta(seconds=30), None)
    assert await limits.settle_down("race", "two", timedelta(seconds=30), None) is None

    await docket.cancel("one")

    assert await limits.settle_down("race", "two", timedelta(seconds=30), None)


async def test_a_debounce_starts_after_its_longest_wait_in_any_case(docket: Docket) -> None:
    async def work() -> None: ...

    limits, settle, longest = (
        docket.storage.limits,
        timedelta(seconds=1),
        timedelta(milliseconds=200),
    )
    for key in ("one", "two"):
        await docket.add(work, key=key)()
    assert await limits.settle_down("race", "one", settle, longest)
    await asyncio.sleep(0.15)
    assert await limits.settle_down("race", "two", settle, longest) is None
    rest = await limits.settle_down("race", "one", settle, longest)
    assert rest is not None
    assert timedelta(0) < rest <= timedelta(milliseconds=50)
    await asyncio.sleep(rest.total_seconds() + 0.005)

    assert await limits.settle_down("race", "one", settle, longest) == timedelta(0)


async def test_there_are_never_more_starts_in_any_window_than_a_rate_allows(docket: Docket) -> None:
    limit, window = 5, timedelta(milliseconds=250)

    async def work(rate: RateLimit = RateLimit(limit, per=window)) -> None: ...

    docket.register(work)
    executions = await docket.add_many([docket.call(work)() for _ in range(26)])
    asked: list[float] = []
    told: list[float] = []
    limits = docket.storage.limits
    count = limits.count

    async def noting(*arguments: Any) -> timedelta | None:
        now = time.monotonic()
        wait = await count(*arguments)
        if wait == timedelta(0):
            asked.append(now)
            told.append(time.monotonic())
        return wait

    limits.count = noting  # type: ignore[method-assign]
    async with several_workers(docket, 3):
        await until_all_ended(docket)

    for execution in executions:
        await execution.sync()
        assert execution.state is ExecutionState.COMPLETED
    assert len(told) == 26
    # Each was counted after it was asked for, and before it was told; the server counts whole milliseconds.
    spans = [later - at for at, later in zip(sorted(asked), sorted(told)[limit:], strict=False)]
    assert min(spans) >= window.total_seconds() - 0.002


async def test_a_rate_gives_each_of_those_who_wait_a_moment_of_its_own(docket: Docket) -> None:
    window = timedelta(seconds=10)
    waits = [
        await docket.storage.limits.count("rate", f"key-{n}", f"key-{n}:1", 2, window, False)
        for n in range(6)
    ]
    seconds = [round(wait.total_seconds()) for wait in waits if wait is not None]

    assert seconds == [0, 0, 10, 10, 20, 20]
    # Asking again is answered as before.
    again = await docket.storage.limits.count("rate", "key-2", "key-2:1", 2, window, False)
    assert again is not None
    assert 9 < again.total_seconds() <= 10
    assert await docket.storage.limits.count(
        "rate", "key-0", "key-0:1", 2, window, False
    ) == timedelta(0)


async def test_a_rate_that_drops_gives_no_moments_away(docket: Docket) -> None:
    window = timedelta(seconds=10)
    waits = [
        await docket.storage.limits.count("rate", f"key-{n}", f"key-{n}:1", 2, window, True)
        for n in range(4)
    ]

    assert waits == [timedelta(0), timedelta(0), None, None]
    async with docket.redis() as client:
        assert not await client.exists(docket.key("moments:rate"))


async def test_a_start_that_did_not_take_place_is_not_counted(docket: Docket) -> None:
    limits, window = docket.storage.limits, timedelta(seconds=10)
    assert await limits.count("rate", "one", "one:1", 1, window, True) == timedelta(0)
    await limits.undo_count("rate", "one:1")
    assert await limits.count("rate", "two", "two:1", 1, window, True) == timedelta(0)

    assert await limits.start("cooldown", "one:1", window)
    await limits.undo_start("cooldown", "two:1")
    assert not await limits.start("cooldown", "two:1", window)
    await limits.undo_start("cooldown", "one:1")
    assert await limits.start("cooldown", "two:1", window)


async def test_nothing_is_left_behind_when_everybody_has_gone(docket: Docket) -> None:
    window = timedelta(milliseconds=100)

    async def work(
        customer: Annotated[int, ConcurrencyLimit(1)],
        retry: Retry = Retry(attempts=2),
        rate: RateLimit = RateLimit(50, per=window),
    ) -> None:
        if customer == 3:
            raise ValueError("no good")

    async def once(
        cooldown: Cooldown = Cooldown(window), debounce: Debounce = Debounce(window)
    ) -> None: ...

    docket.register(work)
    docket.register(once)
    await docket.add_many([docket.call(work)(number % 4) for number in range(40)])
    await docket.add_many([docket.call(once)() for _ in range(10)])
    async with several_workers(docket, 3):
        await until_all_ended(docket)
    await asyncio.sleep(0.25)
    left = {
        key for key in await keys_of(docket) if not key.startswith(("runs:", "results:", "dead"))
    }

    async with docket.redis() as client:
        unlimited = [key for key in left if await client.ttl(docket.key(key)) < 0]
    assert unlimited == []
    assert {
        key for key in left if key.startswith(("slots", "waiters", "holding", "waiting", "sizes"))
    } == set()


async def test_waiting_for_a_slot_costs_few_commands_and_keeps_nobody_else_waiting(
    own_server: ServerProcess, meter: Meter
) -> None:
    count = 400
    others: list[int] = []

    async def limited(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        await meter.run(seconds=0)

    async def other() -> None:
        others.append(len(meter.order))

    async with Docket("waiters", own_server.url) as docket:
        docket.register(limited)
        docket.register(other)
        await docket.add_many([docket.call(limited)() for _ in range(count)])
        await docket.add_many([docket.call(other)() for _ in range(20)])
        before = _scripts_run_by(own_server)
        async with Worker(docket, concurrency=10) as worker:
            await worker.run_until_finished()
        scripts = _scripts_run_by(own_server) - before

    assert (len(meter.order), meter.peak[None]) == (count, 1)
    assert count < scripts <= 5 * count
    # The others came behind all of them, and still did not wait for them to run.
    assert max(others) < count // 2


def _scripts_run_by(server: ServerProcess) -> int:
    statistics: dict[str, dict[str, int]] = server.call("INFO", "commandstats")
    return statistics.get("cmdstat_evalsha", {"calls": 0})["calls"]
