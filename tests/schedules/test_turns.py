"""A turn is never lost, and never held by what is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from docket import ExecutionState, Worker
from docket.errors import ServerUnavailable
from docket.storage.claims import Claimed, Claims, Consumer, Settlement, Verdict, release
from docket.storage.schedules import Tick

from .conftest import MINUTE, NOON, Host
from .test_overlap import EVERY_MINUTE, key

QUEUED = EVERY_MINUTE + 'overlap = "queue_all"\n'
S = ExecutionState


async def t() -> None: ...


async def fails() -> None:
    raise ValueError("no")


async def states(host: Host, *minutes: int) -> list[ExecutionState | None]:
    found = [await host.docket.get_execution(key(minute)) for minute in minutes]
    return [one and one.state for one in found]


async def waiting(host: Host, count: int = 3, text: str = QUEUED) -> None:
    """Have so many runs, of which the first has the turn."""
    host.docket.register(t)
    await host.declare(text)
    await host.wait(MINUTE, count)


async def test_a_run_that_is_replaced_passes_its_turn_on(host: Host) -> None:
    await waiting(host)
    assert await states(host, 1, 2, 3) == [S.QUEUED, S.SCHEDULED, S.SCHEDULED]

    await host.docket.replace(t, NOON + timedelta(hours=1), key(1))()
    assert await states(host, 1, 2, 3) == [S.SCHEDULED, S.QUEUED, S.SCHEDULED]
    # One that only waits has none to pass on, and leaves those that do.
    await host.docket.replace(t, NOON + timedelta(hours=1), key(3))()
    await host.docket.cancel(key(2))

    assert await host.docket.storage.executions.depths(["default"]) == (0, 2)
    assert await host.outcomes() == ["waits", "fired", "fired"]
    ends = [one.end for one in await host.schedules.outcomes("owner/s")]
    assert ends == ["replaced", "cancelled", "replaced"]
    async with host.docket.redis() as client:
        assert not await client.exists(host.docket.key("pending:owner/s"))
        assert not await client.exists(host.docket.key("waiters:schedule owner/s"))


async def replaced_while_it_runs(host: Host) -> tuple[Claims, Claimed]:
    """Have the first run be claimed, and its key stand for something else."""
    claimant = Consumer("w", "w:1", ("default",), 30_000, 60_000, 60_000)
    exchange = host.docket.storage.exchange(claimant)
    _, catch = await exchange.trade([], 1)
    assert catch is not None
    (claimed,) = catch.claimed
    assert claimed.key == key(1)
    await host.docket.replace(t, NOON + timedelta(hours=1), key(1))()
    return exchange, claimed


def completed(run: Claimed) -> Settlement:
    return Settlement(
        *(run.message, run.queue, run.key, run.generation, run.fence, "completed"),
        ttl=60_000,
        identity=run.identity,
    )


async def nothing_is_kept(host: Host) -> None:
    async with host.docket.redis() as client:
        assert not await client.exists(host.docket.key("holding"))
        assert not await client.exists(host.docket.key("orphans:w:1"))
        assert not await client.hexists(host.docket.key("schedule:owner/s"), "orphan")


async def test_a_running_one_that_is_replaced_passes_its_turn_on_when_it_has_ended(
    host: Host,
) -> None:
    await waiting(host, 2)
    exchange, run = await replaced_while_it_runs(host)
    await host.wait(MINUTE)
    assert await states(host, 1, 2, 3) == [S.SCHEDULED] * 3

    ((verdict,), _) = await exchange.trade([completed(run)], 0)
    assert verdict is Verdict.SUPERSEDED
    assert await states(host, 1, 2, 3) == [S.SCHEDULED, S.QUEUED, S.SCHEDULED]
    await nothing_is_kept(host)


async def test_a_running_one_that_is_replaced_passes_its_turn_on_when_its_worker_is_gone(
    host: Host,
) -> None:
    await waiting(host, 2)
    await replaced_while_it_runs(host)
    storage = host.docket.storage
    await release(storage.connection, storage.keys, "w:1", ["default"])
    assert await states(host, 2) == [S.QUEUED]
    await nothing_is_kept(host)


@pytest.mark.parametrize(
    ("overlap", "second"), [("skip", None), ("cancel_running", S.QUEUED), ("allow", S.QUEUED)]
)
async def test_what_a_due_time_becomes_while_a_replaced_run_goes_on(
    host: Host, overlap: str, second: ExecutionState | None
) -> None:
    await waiting(host, 1, EVERY_MINUTE + f'overlap = "{overlap}"\n')
    exchange, run = await replaced_while_it_runs(host)
    await host.wait(MINUTE)
    # What the key stands for now is not cancelled in the place of the run.
    assert await states(host, 1, 2) == [S.SCHEDULED, second]

    await exchange.trade([completed(run)], 0)
    await nothing_is_kept(host)
    await host.wait(MINUTE)
    assert await states(host, 3) == [S.QUEUED]


async def test_a_due_time_that_is_counted_from_the_end_waits_for_that_of_a_replaced_run(
    host: Host,
) -> None:
    await waiting(host, 1, EVERY_MINUTE + 'anchor = "finish"\n')
    exchange, run = await replaced_while_it_runs(host)
    await host.docket.cancel(key(1))
    await host.wait(MINUTE, 2)
    assert await host.outcomes() == ["fired"]

    await exchange.trade([completed(run)], 0)
    await host.wait(MINUTE)
    assert await host.outcomes() == ["fired", "fired"]


async def test_a_run_that_is_made_up_for_waits_for_a_replaced_one_of_its_key(host: Host) -> None:
    await waiting(host, 1, EVERY_MINUTE + 'overlap = "skip"\n')
    exchange, run = await replaced_while_it_runs(host)
    await host.docket.cancel(key(1))
    await host.sleep(timedelta(hours=1))
    entry = await host.timetable.find("s")
    await host.timetable.backfill(entry, NOON + 2 * MINUTE, NOON + 3 * MINUTE)
    assert await states(host, 2) == [S.SCHEDULED]

    await exchange.trade([completed(run)], 0)
    assert await states(host, 2) == [S.QUEUED]


async def test_a_run_that_is_cancelled_passes_its_turn_on(host: Host) -> None:
    await waiting(host)
    await host.docket.cancel(key(2))
    await host.docket.cancel(key(1))
    assert await states(host, 1, 2, 3) == [S.CANCELLED, S.CANCELLED, S.QUEUED]


async def test_a_waiting_run_of_another_type_is_passed_over(host: Host) -> None:
    await waiting(host)
    async with host.docket.redis() as client:
        await client.delete(host.docket.runs_key(key(2)))
        await client.set(host.docket.runs_key(key(2)), "not ours")
    await host.docket.cancel(key(1))
    assert await states(host, 3) == [S.QUEUED]
    async with host.docket.redis() as client:
        assert await client.zcard(host.docket.key("waiting")) == 0


async def test_a_struck_run_gives_its_turn_away_and_waits_for_another(host: Host) -> None:
    await waiting(host)
    await host.docket.strike(t, action="park")
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
    assert await states(host, 1, 2, 3) == [S.PARKED] * 3

    await host.docket.restore(t)

    assert await states(host, 1, 2, 3) == [S.QUEUED, S.SCHEDULED, S.SCHEDULED]
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
    assert await states(host, 1, 2, 3) == [S.COMPLETED] * 3
    assert await host.outcomes() == ["fired"] * 3


async def test_where_runs_may_overlap_those_that_are_released_do_not_wait(host: Host) -> None:
    await waiting(host, text=EVERY_MINUTE + 'overlap = "allow"\n')
    await host.docket.strike(t, action="park")
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
    await host.docket.restore(t)
    assert await states(host, 1, 2, 3) == [S.QUEUED] * 3


async def test_what_is_made_up_for_takes_turns_with_the_others(host: Host) -> None:
    await waiting(host, 1)
    entry = await host.timetable.find("s")

    done = await host.timetable.backfill(entry, NOON - 2 * MINUTE, NOON)

    assert [one.word for one in done] == ["FIRED", "FIRED"]
    assert await states(host, -2, -1, 1) == [S.SCHEDULED, S.SCHEDULED, S.QUEUED]
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()
    assert await states(host, -2, -1, 1) == [S.COMPLETED] * 3
    assert await host.outcomes() == ["backfilled", "backfilled", "fired"]


async def test_what_became_of_a_run_that_waited_is_noted_with_how_it_ended(host: Host) -> None:
    await waiting(host)
    assert await host.outcomes() == ["waits", "waits", "fired"]
    await host.docket.cancel(key(2))
    async with Worker(host.docket) as worker:
        await worker.run_until_finished()

    last, second, first = await host.schedules.outcomes("owner/s")

    assert [last.word, second.word, first.word] == ["fired", "cancelled", "fired"]
    assert [last.end, second.end, first.end] == ["completed", "cancelled", "completed"]
    assert last.took is not None
    assert second.took is None


@pytest.mark.parametrize("lasting", [2 * MINUTE, None])
async def test_a_pause_does_not_take_the_place_of_the_stop_after_failures(
    host: Host, lasting: timedelta | None
) -> None:
    host.docket.register(fails, ["t"])
    await host.declare(EVERY_MINUTE + "pause_on_failure = 2\n")
    entry = await host.timetable.find("s")
    async with Worker(host.docket) as worker:
        await host.wait(MINUTE)
        await worker.run_until_finished()
        await host.wait(MINUTE)
        # While the run that will stop it is under way, an operator pauses it for a while.
        await host.timetable.pause(entry, by="ann", reason="INC-7", lasting=lasting)
        await worker.run_until_finished()
    await host.wait(MINUTE, 4)

    entry, now = await host.timetable.find("s"), await host.now()
    stopped = "docket: 2 runs in a row have failed"
    assert entry.pause_at(now) == (stopped if lasting else "ann: INC-7")
    assert host.ticker.skipped == {"paused": 4}
    assert await host.timetable.resume(entry)
    assert (await host.timetable.find("s")).pause_at(now) == ""
    await host.wait(MINUTE)
    assert (await host.outcomes())[0] == "fired"


async def test_a_due_time_that_redis_did_not_hear_of_is_fired_when_it_does(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    await host.declare(EVERY_MINUTE)
    tick = host.schedules.tick

    async def away(*_: Any, **__: Any) -> Tick:
        raise ServerUnavailable("nothing answers")

    monkeypatch.setattr(host.schedules, "tick", away)
    with pytest.raises(ServerUnavailable):
        await host.wait(MINUTE)
    monkeypatch.setattr(host.schedules, "tick", tick)
    await host.ticker.fire_due()

    assert await host.outcomes() == ["fired"]


async def test_a_due_time_of_a_definition_that_is_no_more_waits_for_the_one_in_force(
    host: Host,
) -> None:
    await host.declare(EVERY_MINUTE)
    behind = host.ticker
    host.new_ticker()
    await host.declare(EVERY_MINUTE + "args = [1]\n")
    await host.sleep(MINUTE)

    await behind.fire_due()
    assert await host.outcomes() == []
    assert behind.next_times == {}
    await host.ticker.fire_due()
    assert await host.outcomes() == ["fired"]
