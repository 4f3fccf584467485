"""Time travel: what falls due within a span runs at its own time, and nobody waits."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    Cron,
    CurrentDocket,
    CurrentExecution,
    Debounce,
    Docket,
    Execution,
    ExponentialRetry,
    Perpetual,
    RateLimit,
    Retry,
    Worker,
    testing,
)
from docket.dependencies import current_docket
from docket.errors import EndlessWork, ImmovableTime
from docket.storage.clock import Clock
from docket.testing import advance
from tests.routing import route

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

seen: list[tuple[str, datetime | None]] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


def see(what: str, execution: Execution) -> None:
    seen.append((what, execution.started_at))


async def note(what: str, execution: Execution = CurrentExecution()) -> None:
    see(what, execution)


def gaps(ran: list[testing.Ran]) -> list[timedelta]:
    """The time between the starts of runs that follow each other."""
    starts = [one.execution.started_at for one in ran if one.execution.started_at]
    return [later - earlier for earlier, later in itertools.pairwise(starts)]


async def test_what_falls_due_runs_at_its_own_time(docket: Docket) -> None:
    due = await testing.now(docket) + 2 * HOUR
    await docket.add(note, when=due)("a")

    (ran,) = await advance(docket, 3 * HOUR)

    assert seen == [("a", due)]
    assert (ran.task, ran.outcome, ran.execution.started_at) == ("note", "completed", due)
    await testing.assert_no_tasks(docket)


async def test_the_docket_is_later_by_the_span(docket: Docket) -> None:
    before = await testing.now(docket)

    await advance(docket, 3 * HOUR)

    assert 3 * HOUR <= await testing.now(docket) - before < 3 * HOUR + MINUTE


async def test_time_goes_on_afterwards(docket: Docket) -> None:
    await advance(docket, HOUR)
    before = await testing.now(docket)

    while await testing.now(docket) == before:
        await asyncio.sleep(0.001)

    assert await testing.now(docket) - before < MINUTE


async def test_what_is_due_already_runs_first(docket: Docket) -> None:
    await docket.add(note, when=await testing.now(docket) + HOUR)("later")
    await docket.add(note)("now")

    await advance(docket, timedelta(0))
    assert [what for what, _ in seen] == ["now"]

    await advance(docket, HOUR)
    assert [what for what, _ in seen] == ["now", "later"]


async def test_runs_come_in_the_order_in_which_they_fall_due(docket: Docket) -> None:
    start = await testing.now(docket)
    for minutes in (50, 10, 40, 20, 30):
        await docket.add(note, when=start + minutes * MINUTE)(str(minutes))

    ran = await advance(docket, HOUR)

    assert [what for what, _ in seen] == ["10", "20", "30", "40", "50"]
    assert [one.execution.args for one in ran] == [("10",), ("20",), ("30",), ("40",), ("50",)]


async def test_what_falls_due_together_runs_together(docket: Docket) -> None:
    both = asyncio.Event()
    running: list[str] = []

    async def meet(name: str) -> None:
        running.append(name)
        if len(running) == 2:
            both.set()
        await both.wait()

    due = await testing.now(docket) + HOUR
    await docket.add(meet, when=due)("a")
    await docket.add(meet, when=due)("b")

    ran = await advance(docket, HOUR)

    assert [one.outcome for one in ran] == ["completed", "completed"]


async def test_what_lies_beyond_the_span_stays(docket: Docket) -> None:
    start = await testing.now(docket)
    await docket.add(note, when=start + HOUR)("a")
    await docket.add(note, when=start + 5 * HOUR)("b")

    await advance(docket, 3 * HOUR)

    assert [what for what, _ in seen] == ["a"]
    await testing.assert_task_scheduled(docket, note, args=("b",))


async def test_what_a_task_schedules_within_the_span_runs_too(docket: Docket) -> None:
    async def first(
        docket: Docket = CurrentDocket(), execution: Execution = CurrentExecution()
    ) -> None:
        await docket.add(note, when=execution.when + HOUR)("second")

    due = await testing.now(docket) + HOUR
    await docket.add(first, when=due)()

    ran = await advance(docket, 3 * HOUR)

    assert [one.task for one in ran] == ["first", "note"]
    assert seen == [("second", due + HOUR)]


async def test_what_a_task_adds_for_now_runs_at_the_time_of_that_task(docket: Docket) -> None:
    async def first() -> None:
        await current_docket.get().add(note)("second")

    due = await testing.now(docket) + HOUR
    await docket.add(first, when=due)()

    await advance(docket, 3 * HOUR)

    assert seen == [("second", due)]


async def test_a_perpetual_task_keeps_its_rhythm_to_the_millisecond(docket: Docket) -> None:
    async def tick(perpetual: Perpetual = Perpetual(every=HOUR, automatic=True)) -> None:
        await asyncio.sleep(0.005)  # how long it takes must not move its next run

    docket.register(tick)

    first = await advance(docket, 3 * HOUR)
    second = await advance(docket, 3 * HOUR)

    assert len(first) == 4
    assert len(second) == 3
    assert gaps(first + second) == [HOUR] * 6
    assert {one.outcome for one in first} == {"perpetuated"}


async def test_a_perpetual_task_that_fails_goes_on_and_tells_its_error(docket: Docket) -> None:
    async def stumble(perpetual: Perpetual = Perpetual(every=HOUR)) -> None:
        raise ValueError("ouch")

    await docket.add(stumble)()

    ran = await advance(docket, HOUR)

    assert [(one.outcome, str(one.error)) for one in ran] == [("failed", "ouch")] * 2


async def test_a_cron_runs_in_its_slots(docket: Docket) -> None:
    async def report(
        cron: Cron = Cron("*/15 * * * *"), execution: Execution = CurrentExecution()
    ) -> None:
        see("report", execution)

    docket.register(report)

    await advance(docket, HOUR)

    slots = [started for _, started in seen if started]
    assert len(slots) == 4
    assert all(slot.minute % 15 == 0 and slot.second == 0 == slot.microsecond for slot in slots)
    assert slots[-1] - slots[0] == 45 * MINUTE


async def test_a_cron_that_is_met_later_counts_from_the_moved_time(docket: Docket) -> None:
    async def report(cron: Cron = Cron("0 0 * * *")) -> None: ...

    await advance(docket, timedelta(days=40))
    docket.register(report)
    midnight = (await testing.now(docket)).replace(hour=0, minute=0, second=0, microsecond=0)

    ran = await advance(docket, timedelta(days=1))

    assert [one.execution.when for one in ran] == [midnight + timedelta(days=1)]


async def test_automatic_tasks_can_be_left_alone(docket: Docket) -> None:
    async def tick(perpetual: Perpetual = Perpetual(every=HOUR, automatic=True)) -> None: ...

    docket.register(tick)

    assert await advance(docket, HOUR, schedule_automatic_tasks=False) == []


async def test_further_attempts_come_after_their_pauses(docket: Docket) -> None:
    async def fetch(retry: Retry = Retry(attempts=3, delay=10 * MINUTE)) -> int:
        if retry.attempt < 3:
            raise ConnectionError(f"attempt {retry.attempt}")
        return retry.attempt

    await docket.add(fetch)()

    ran = await advance(docket, HOUR)

    assert [(one.outcome, one.execution.attempt) for one in ran] == [
        ("retried", 1),
        ("retried", 2),
        ("completed", 3),
    ]
    assert str(ran[0].error) == "attempt 1"
    assert ran[2].result == 3
    assert gaps(ran) == [10 * MINUTE, 10 * MINUTE]


async def test_an_exponential_retry_grows_without_anybody_waiting(docket: Docket) -> None:
    async def push(retry: ExponentialRetry = ExponentialRetry(5, MINUTE, HOUR)) -> None:
        raise ConnectionError

    await docket.add(push)()

    ran = await advance(docket, HOUR)

    assert gaps(ran) == [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]
    assert [one.outcome for one in ran] == ["retried"] * 4 + ["failed"]


async def test_a_rate_is_kept_in_the_moved_time(docket: Docket) -> None:
    async def call(rate: RateLimit = RateLimit(2, per=HOUR)) -> None: ...

    for _ in range(6):
        await docket.add(call)()

    assert len(await advance(docket, timedelta(0))) == 2
    assert len(await advance(docket, HOUR)) == 2
    assert len(await advance(docket, HOUR)) == 2


@pytest.mark.parametrize("name", ["orders", r"what*?[ever]^\\"])
async def test_a_cooldown_is_over_when_its_window_is(name: str) -> None:
    async def sync(cooldown: Cooldown = Cooldown(HOUR)) -> None: ...

    async def outcome_before(span: timedelta) -> str:
        await docket.add(sync)()
        (ran,) = await advance(docket, timedelta(0))
        await advance(docket, span)
        return ran.outcome

    async with Docket(name, f"memory://{uuid.uuid4().hex}") as docket:
        assert await outcome_before(20 * MINUTE) == "completed"
        assert await outcome_before(50 * MINUTE) == "dropped"
        assert await outcome_before(MINUTE) == "completed"


async def test_a_debounce_settles_without_anybody_waiting(docket: Docket) -> None:
    async def save(debounce: Debounce = Debounce(10 * MINUTE)) -> None: ...

    await docket.add(save)()
    await docket.add(save)()

    ran = await advance(docket, HOUR)

    assert sorted(one.outcome for one in ran) == ["completed", "dropped"]


async def test_slots_are_handed_on(docket: Docket) -> None:
    async def build(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> int:
        return number

    for number in range(5):
        await docket.add(build)(number)

    ran = await advance(docket, timedelta(0))

    assert sorted(one.result for one in ran) == [0, 1, 2, 3, 4]


async def test_a_strike_is_over_when_its_time_is(docket: Docket) -> None:
    await docket.strike(note, expires=HOUR)
    await docket.add(note)("struck")
    assert await advance(docket, 30 * MINUTE) == []

    await advance(docket, HOUR)
    await docket.add(note)("free")
    await advance(docket, timedelta(0))

    assert [what for what, _ in seen] == ["free"]
    assert await docket.strikes() == []


async def test_what_a_strike_has_parked_runs_when_it_is_over(docket: Docket) -> None:
    over = await testing.now(docket) + HOUR
    await docket.strike(note, "what", "==", "a", expires=HOUR, action="park")
    await docket.add(note)("a")
    await docket.add(note, when=over + HOUR)("b")

    await advance(docket, 3 * HOUR)

    assert [what for what, _ in seen] == ["a", "b"]


async def test_a_strike_that_the_moved_time_has_passed_already_is_over(docket: Docket) -> None:
    await advance(docket, timedelta(days=2))
    await docket.strike(note, expires=datetime.now(timezone.utc) + timedelta(days=1))
    before = await testing.now(docket)

    await advance(docket, HOUR)

    assert await testing.now(docket) - before >= HOUR
    assert await docket.strikes() == []


async def test_work_of_other_queues_runs_as_well(docket: Docket) -> None:
    await route(docket.storage, {"note": "slow"})
    await docket.add(note, when=await testing.now(docket) + HOUR)("a")

    (ran,) = await advance(docket, HOUR)

    assert ran.execution.queue == "slow"


async def test_the_worker_can_be_told_which_queues(docket: Docket) -> None:
    await route(docket.storage, {"note": "slow"})
    await docket.add(note)("a")

    assert await advance(docket, HOUR, queues=["default"]) == []


async def test_another_docket_of_the_same_server_keeps_its_time(docket: Docket) -> None:
    async with Docket(uuid.uuid4().hex, docket.url) as other:
        await advance(docket, timedelta(days=365))

        assert abs(await testing.now(other) - datetime.now(timezone.utc)) < MINUTE


async def test_another_client_of_the_docket_sees_the_moved_time(docket: Docket) -> None:
    async with Docket(docket.name, docket.url) as client:
        start = await testing.now(client)
        await client.add(note, when=start + HOUR)("a")
        docket.register(note)

        await advance(docket, 2 * HOUR)

        assert await testing.now(client) - start >= 2 * HOUR
        assert seen == [("a", start + HOUR)]


async def test_a_worker_sees_the_moved_time(docket: Docket, worker: Worker) -> None:
    await advance(docket, timedelta(days=365))
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold(execution: Execution = CurrentExecution()) -> None:
        see("held", execution)
        begun.set()
        await release.wait()

    await docket.add(hold)()
    working = asyncio.create_task(worker.run_until_finished())
    await begun.wait()

    assert [one.name for one in await docket.workers()] == [worker.name]
    release.set()
    await working
    ((_, started),) = seen
    assert started is not None
    assert abs(await testing.now(docket) - started) < MINUTE


async def test_the_time_of_a_docket_that_shows_its_traffic_can_be_moved(docket: Docket) -> None:
    async with Docket(uuid.uuid4().hex, docket.url, enable_internal_instrumentation=True) as traced:
        await traced.add(note, when=await testing.now(traced) + HOUR)("a")

        assert len(await advance(traced, HOUR)) == 1


async def test_work_without_an_end_is_told_of(docket: Docket) -> None:
    async def again(perpetual: Perpetual = Perpetual()) -> None: ...

    await docket.add(again)()

    with pytest.raises(
        EndlessWork, match=r"after 20 runs at most, found 2\d; again ran 2\d"
    ) as caught:
        await advance(docket, HOUR, most=20)

    assert "most=" in str(caught.value)
    assert await testing.now(docket) - datetime.now(timezone.utc) < MINUTE


async def test_the_time_of_a_shared_server_is_not_moved(shared: Docket) -> None:
    with pytest.raises(ImmovableTime, match=r"memory://.* found orders at redis://"):
        await advance(shared, HOUR)


async def test_a_task_that_is_run_by_a_journey_can_not_start_another(docket: Docket) -> None:
    async def travel() -> None:
        await advance(current_docket.get(), HOUR)

    await docket.add(travel)()

    (ran,) = await advance(docket, HOUR)

    assert isinstance(ran.error, ImmovableTime)
    assert "is being moved already" in str(ran.error)


async def test_time_does_not_go_backwards(docket: Docket) -> None:
    with pytest.raises(ValueError, match="expected a span of zero or more, found -1 day"):
        await advance(docket, -HOUR)


async def test_a_journey_that_is_cut_short_is_cancelled_and_lets_time_go_on(
    docket: Docket,
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await release.wait()

    await docket.add(hold, when=await testing.now(docket) + HOUR)()
    journey = asyncio.create_task(advance(docket, 2 * HOUR))
    await begun.wait()
    journey.cancel()
    release.set()

    with pytest.raises(asyncio.CancelledError):
        await journey

    clock = Clock(docket.storage.connection, docket.storage.keys)
    before = (await clock.look()).now
    while (await clock.look()).now == before:
        await asyncio.sleep(0.001)


async def test_what_another_worker_holds_is_waited_for(docket: Docket, worker: Worker) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await release.wait()
        seen.append(("held", None))

    await docket.add(hold)()
    working = asyncio.create_task(worker.run_until_finished())
    await begun.wait()
    asyncio.get_running_loop().call_later(0.05, release.set)

    assert await advance(docket, timedelta(0)) == []

    assert seen == [("held", None)]
    await working
