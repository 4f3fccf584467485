"""Limits under concurrency: never exceeded, nobody forgotten, nothing left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest

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
from docket.storage.claims import Claimed, Consumer, Settlement, Verdict, release
from docket.storage.limits import Announcement, Entrant, GateAnswer, Limits, Question, Word
from tests.compat.conftest import docket, least_privileged, name, pytest_generate_tests, until, url
from tests.dependencies.conftest import Meter, keys_of, meter, second
from tests.fleet.process import ServerProcess

__all__ = ["docket", "least_privileged", "meter", "name", "pytest_generate_tests", "second", "url"]

LEASE = timedelta(seconds=30)


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


async def until_all_ended(docket: Docket, seconds: float = 60.0) -> None:
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


@pytest.mark.thorough
async def test_no_more_run_at_a_time_than_an_argument_allows_with_several_workers(
    docket: Docket, meter: Meter
) -> None:
    async def work(customer: Annotated[int, ConcurrencyLimit(2)], number: int) -> None:
        await meter.run(customer, seconds=0.02)

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


HOLDER = Consumer("holder", "holder", ("default",), 60_000, 60_000, 60_000)


async def claimed_runs(docket: Docket, count: int) -> list[Claimed]:
    """So many runs that the holder has."""

    async def work() -> None: ...

    docket.register(work, ["handed out"])
    await docket.add_many([docket.call("handed out")() for _ in range(count)])
    _, catch = await docket.storage.exchange(HOLDER).trade([], count)
    assert catch is not None
    assert len(catch.claimed) == count
    return catch.claimed


async def handed_out(docket: Docket, count: int) -> list[Entrant]:
    """So many runs that the holder has, ready to ask at their gates."""
    return [entrant(run) for run in await claimed_runs(docket, count)]


def entrant(run: Claimed, consumer: str = "holder") -> Entrant:
    """A run as it asks."""
    return Entrant(run.key, run.identity, run.attempt, run.fence, consumer)


def stranger(number: int = 0) -> Entrant:
    """A run that nobody has handed out."""
    return Entrant(f"key-{number}", f"identity-{number}")


async def takes(docket: Docket, entrant: Entrant, slot: str, size: int) -> bool:
    """Whether a run is given a slot."""
    answer = await docket.storage.limits.admit(entrant, [Question("slot", slot, size)])
    assert answer.word in (Word.ADMITTED, Word.WAITING)
    return answer.word is Word.ADMITTED


def outcome(run: Claimed, word: str, **fields: Any) -> Settlement:
    """What a run that was handed out has ended with."""
    return Settlement(
        run.message,
        run.queue,
        run.key,
        run.generation,
        run.fence,
        word,
        ttl=60_000,
        identity=run.identity,
        **fields,
    )


async def settle(docket: Docket, run: Claimed, word: str, **fields: Any) -> Verdict:
    """End a run of the holder."""
    exchange = docket.storage.exchange(HOLDER)
    ((verdict,), _) = await exchange.trade([outcome(run, word, **fields)], 0)
    return verdict


async def test_a_slot_that_is_asked_for_twice_is_taken_once(docket: Docket) -> None:
    one, two = await handed_out(docket, 2)

    assert await takes(docket, one, "slot", 1)
    assert await takes(docket, one, "slot", 1)
    assert not await takes(docket, two, "slot", 1)
    assert await takes(docket, two, "slot", 2)


async def test_a_run_that_somebody_else_has_now_gets_no_slot(docket: Docket) -> None:
    (run,) = await handed_out(docket, 1)
    limits = docket.storage.limits

    for other in (replace(run, fence=1), replace(run, consumer="zombie")):
        answer = await limits.admit(other, [Question("slot", "slot", 1)])
        assert answer.word is Word.SUPERSEDED

    assert await _slots(docket, "slot") == 0


async def test_a_limit_that_shrinks_counts_for_those_that_hold_a_slot_by_their_age(
    docket: Docket,
) -> None:
    limits = docket.storage.limits
    await limits.announce("holder", [Announcement("slots", "handed out", 3)])
    runs = await handed_out(docket, 3)
    for run in runs:
        answer = await limits.admit(run, [Question("slot", "slot", 1, "slots")])
        assert answer.word is Word.ADMITTED
        await asyncio.sleep(0.002)
    await limits.announce("holder", [Announcement("slots", "handed out", 1)])

    # Whoever asks again, because its worker died, is measured by the new size.
    await release(docket.storage.connection, docket.storage.keys, "holder", ["default"])
    heir = Consumer("heir", "heir", ("default",), 60_000, 60_000, 60_000)
    _, catch = await docket.storage.exchange(heir).trade([], 3)
    assert catch is not None
    by_key = {run.key: entrant(run, "heir") for run in catch.claimed}
    again = [
        (await limits.admit(by_key[run.key], [Question("slot", "slot", 1, "slots")])).word
        for run in runs
    ]
    assert again == [Word.ADMITTED, Word.WAITING, Word.WAITING]


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


async def _exists(docket: Docket, name: str) -> bool:
    async with docket.redis() as client:
        return bool(await client.exists(docket.key(name)))


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
    dead = docket.storage.exchange(Consumer("dead", "dead", ("default",), 1000, 60_000, 60_000))
    _, catch = await dead.trade([], 1)
    assert catch is not None
    (claimed,) = catch.claimed
    assert await takes(docket, entrant(claimed, "dead"), "work", 1)
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
            Consumer(doomed, doomed, ("default",), 1000, 60_000, 60_000)
        )
        _, catch = await exchange.trade([], 1)
        assert catch is not None
        (claimed,) = catch.claimed
        assert await takes(docket, entrant(claimed, doomed), "work", 1)
        await release(docket.storage.connection, docket.storage.keys, doomed, ["default"])
    await docket.add(work)(1)

    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await poison.sync()

    assert (poison.state, poison.reason) == (ExecutionState.FAILED, "crashed")
    assert ran == [1]


async def test_a_run_may_hold_slots_of_several_limits_and_gives_all_of_them_back(
    docket: Docket,
) -> None:
    run, another = await claimed_runs(docket, 2)
    other = entrant(another)
    assert await takes(docket, entrant(run), "one", 1)
    assert await takes(docket, entrant(run), "two", 1)
    assert not await takes(docket, other, "one", 1)

    assert await settle(docket, run, "completed") is Verdict.RECORDED

    assert (await _slots(docket, "one"), await _slots(docket, "two")) == (0, 0)
    assert await takes(docket, other, "one", 1)


async def _age_the_holder(docket: Docket) -> None:
    async with docket.redis() as client:
        holders: list[Any] = await client.zrange(docket.key("slots:slot"), 0, 0)
        await client.zadd(docket.key("slots:slot"), {holders[0]: 1})


async def test_a_slot_whose_run_is_gone_is_taken_by_the_next_after_a_while(docket: Docket) -> None:
    gone, next_one = await handed_out(docket, 2)
    assert await takes(docket, gone, "slot", 1)
    await docket.storage.connection.send(("DEL", docket.storage.keys.run(gone.key)))
    assert not await takes(docket, next_one, "slot", 1)
    await _age_the_holder(docket)

    assert await takes(docket, next_one, "slot", 1)
    assert await _slots(docket, "slot") == 1


async def test_a_slot_whose_run_lives_is_kept_however_old_it_is(docket: Docket) -> None:
    holder, other = await handed_out(docket, 2)
    assert await takes(docket, holder, "slot", 1)
    await _age_the_holder(docket)

    assert not await takes(docket, other, "slot", 1)


async def test_the_slot_of_a_superseded_run_is_kept_however_old_it_is_until_it_ends(
    docket: Docket,
) -> None:
    holder, another = await claimed_runs(docket, 2)
    other = entrant(another)
    assert await takes(docket, entrant(holder), "slot", 1)
    await docket.replace("handed out", datetime.now(timezone.utc), holder.key)()
    await _age_the_holder(docket)

    assert not await takes(docket, other, "slot", 1)
    assert await settle(docket, holder, "completed") is Verdict.SUPERSEDED
    assert await takes(docket, other, "slot", 1)
    assert await _is(_exists(docket, "orphans:holder"), False)


async def test_exactly_one_of_many_wins_the_race_for_a_cooldown(
    docket: Docket, second: Docket
) -> None:
    async def race(limits: Limits, number: int) -> bool:
        question = Question("cooldown", "race", 60_000, drops=1)
        return (await limits.admit(stranger(number), [question])).word is Word.ADMITTED

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

    async def work(number: int, debounce: Debounce = Debounce(timedelta(seconds=1))) -> None:
        ran.append(number)

    docket.register(work)
    await docket.add_many([docket.call(work)(number) for number in range(40)])
    async with several_workers(docket, 4):
        await until_all_ended(docket)

    assert len(ran) == 1


def debounce(settle: float, longest: float = 0) -> Question:
    """One of so many seconds."""
    return Question("debounce", "race", int(settle * 1000), int(longest * 1000))


async def test_exactly_one_of_many_wins_the_race_for_a_debounce(
    docket: Docket, second: Docket
) -> None:
    runs = await handed_out(docket, 50)

    answers = await asyncio.gather(
        *(
            (docket, second)[n % 2].storage.limits.admit(run, [debounce(30)])
            for n, run in enumerate(runs)
        )
    )

    words = [answer.word for answer in answers]
    assert words.count(Word.DELAYED) == 1
    assert words.count(Word.DROPPED) == 49


async def test_a_winner_of_a_debounce_that_was_cancelled_is_followed_by_the_next(
    docket: Docket,
) -> None:
    limits = docket.storage.limits
    first, *others = await claimed_runs(docket, 3)
    one, two, three = map(entrant, [first, *others])
    assert (await limits.admit(one, [debounce(30)])).word is Word.DELAYED
    assert (await limits.admit(two, [debounce(30)])).word is Word.DROPPED

    await settle(docket, first, "delay", due=4_102_444_800_000)
    await docket.cancel(one.key)
    assert await _is(_exists(docket, "debounce:race"), False)

    assert (await limits.admit(two, [debounce(30)])).word is Word.DELAYED
    # One that is lost without a word does not stand in the way for ever either.
    await docket.storage.connection.send(("DEL", docket.storage.keys.run(two.key)))
    assert (await limits.admit(three, [debounce(30)])).word is Word.DELAYED


async def test_one_that_a_debounce_has_dropped_stays_dropped_once_the_winner_has_begun(
    docket: Docket,
) -> None:
    first, lost, late = await claimed_runs(docket, 3)
    limits, question = docket.storage.limits, debounce(0.05)
    assert (await limits.admit(entrant(first), [question])).word is Word.DELAYED
    assert (await limits.admit(entrant(lost), [question])).word is Word.DROPPED
    await asyncio.sleep(0.06)
    assert (await limits.admit(entrant(first), [question])).word is Word.ADMITTED

    # Its worker died before it could say so, or the answer was lost.
    assert (await limits.admit(entrant(lost), [question])).word is Word.DROPPED

    assert (await limits.admit(entrant(late), [question])).word is Word.DELAYED
    await settle(docket, first, "completed")
    assert (await limits.admit(entrant(lost), [question])).word is Word.DROPPED
    assert await settle(docket, lost, "dropped") is Verdict.RECORDED


async def test_a_debounce_starts_after_its_longest_wait_in_any_case(docket: Docket) -> None:
    limits, question = docket.storage.limits, debounce(1, 0.2)
    one, two = await handed_out(docket, 2)
    assert (await limits.admit(one, [question])).word is Word.DELAYED
    await asyncio.sleep(0.15)
    assert (await limits.admit(two, [question])).word is Word.DROPPED
    rest = await limits.admit(one, [question])
    assert 0 < rest.milliseconds <= 50 or rest.word is Word.ADMITTED
    await asyncio.sleep(rest.milliseconds / 1000 + 0.005 if rest.word is Word.DELAYED else 0)

    assert (await limits.admit(one, [question])).word is Word.ADMITTED


async def test_there_are_never_more_starts_in_any_window_than_a_rate_allows(docket: Docket) -> None:
    limit, window = 5, timedelta(milliseconds=250)

    async def work(rate: RateLimit = RateLimit(limit, per=window)) -> None: ...

    docket.register(work)
    executions = await docket.add_many([docket.call(work)() for _ in range(26)])
    admitted: dict[str, int] = {}
    limits = docket.storage.limits
    admit = limits.admit

    async def noting(run: Entrant, questions: Sequence[Question]) -> GateAnswer:
        answer = await admit(run, questions)
        if answer.word is Word.ADMITTED:
            # Whoever is delivered again, because its worker was late to renew the lease, has started before.
            admitted.setdefault(run.identity, answer.milliseconds)
        return answer

    limits.admit = noting  # type: ignore[method-assign]
    async with several_workers(docket, 3):
        await until_all_ended(docket)

    for execution in executions:
        await execution.sync()
        assert execution.state is ExecutionState.COMPLETED
    starts = sorted(admitted.values())
    assert len(starts) == 26
    spans = [later - at for at, later in zip(starts, starts[limit:], strict=False)]
    assert min(spans) >= window / timedelta(milliseconds=1)


def rate(limit: int, *, drops: bool = False) -> Question:
    """One of so many starts in a million milliseconds."""
    return Question("rate", "rate", limit, 1_000_000, int(drops))


async def test_a_rate_gives_each_of_those_who_wait_a_moment_of_its_own(docket: Docket) -> None:
    limits = docket.storage.limits
    answers = [await limits.admit(stranger(n), [rate(2)]) for n in range(6)]

    assert [answer.word for answer in answers] == [Word.ADMITTED] * 2 + [Word.DELAYED] * 4
    assert [round(answer.milliseconds / 1_000_000) for answer in answers[2:]] == [1, 1, 2, 2]
    # Asking again is answered as before.
    assert 900_000 < (await limits.admit(stranger(2), [rate(2)])).milliseconds <= 1_000_000
    assert (await limits.admit(stranger(0), [rate(2)])).word is Word.ADMITTED


async def test_a_run_that_waits_for_two_rates_has_one_moment_at_both(docket: Docket) -> None:
    limits = docket.storage.limits
    slow = Question("rate", "slow", 1, 2_000_000)
    both = [rate(1), slow]
    assert (await limits.admit(stranger(0), both)).word is Word.ADMITTED
    answer = await limits.admit(stranger(1), both)

    assert (answer.word, answer.gate) == (Word.DELAYED, 1)
    async with docket.redis() as client:
        moments: list[Any] = [
            await client.zrange(docket.key(f"moments:{name}"), 0, -1, withscores=True)
            for name in ("rate", "slow")
        ]
    assert moments[0] == moments[1] != []


async def test_the_last_of_those_who_wait_takes_a_moment_that_is_given_back(
    docket: Docket,
) -> None:
    limits = docket.storage.limits
    runs = await claimed_runs(docket, 5)
    answers = [await limits.admit(entrant(run), [rate(1)]) for run in runs]
    due = int(time.time() * 1000)
    for run, answer in zip(runs[1:], answers[1:], strict=True):
        await settle(docket, run, "delay", due=due + answer.milliseconds)

    await docket.cancel(runs[1].key)
    await docket.cancel(runs[2].key)

    records = await docket.storage.executions.read(*(run.key for run in runs[3:]))
    dues = [record.due.timestamp() * 1000 - due for record in records if record is not None]
    assert [round(one, -6) for one in dues] == [2_000_000, 1_000_000]
    async with docket.redis() as client:
        waiting = await client.zrange(docket.key("moments:rate"), 0, -1)
    assert len(waiting) == 2


async def test_a_rate_that_drops_gives_no_moments_away(docket: Docket) -> None:
    limits = docket.storage.limits
    answers = [await limits.admit(stranger(n), [rate(2, drops=True)]) for n in range(4)]

    assert [answer.word for answer in answers] == [Word.ADMITTED] * 2 + [Word.DROPPED] * 2
    async with docket.redis() as client:
        assert not await client.exists(docket.key("moments:rate"))


async def test_a_start_that_did_not_take_place_is_not_counted(docket: Docket) -> None:
    limits = docket.storage.limits
    gates = [Question("cooldown", "one", 10_000, drops=1), rate(1, drops=True)]
    first, second = await claimed_runs(docket, 2)
    two = entrant(second)
    assert (await limits.admit(entrant(first), gates)).word is Word.ADMITTED
    assert (await limits.admit(two, gates)).word is Word.DROPPED

    # A gate of somebody else, behind them, did not let it in.
    await settle(docket, first, "dropped")

    assert (await limits.admit(two, gates)).word is Word.ADMITTED


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
    left = {
        key
        for key in await keys_of(docket)
        if not key.startswith(("runs:", "results:", "stored", "dead", "format"))
    }

    async with docket.redis() as client:
        # One whose time has come meanwhile has none any more: its answer is -2.
        unlimited = [key for key in left if await client.ttl(docket.key(key)) == -1]
    assert unlimited == []
    assert {
        key for key in left if key.startswith(("slots", "waiters", "holding", "waiting", "sizes"))
    } == set()


@pytest.mark.thorough
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
