"""Who holds what, and how long a holder is believed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from docket import Docket, ExecutionState
from docket.storage import claims
from docket.storage.claims import (
    Claimed,
    ClaimReply,
    Claims,
    Consumer,
    Hold,
    Settlement,
    release,
    renew,
)
from docket.storage.keys import WORKER_GROUP
from tests.routing import route

LEASE = 30_000
QUEUES = ("default", "other")


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"leases-{uuid.uuid4().hex[:12]}", "memory://leases") as docket:
        docket.register(work)
        docket.register(work, names=["work elsewhere"])
        await route(docket.storage, {"work elsewhere": "other"})
        yield docket


async def work() -> None: ...


def worker(docket: Docket, name: str, *queues: str, lease: int = LEASE) -> Claims:
    return docket.storage.exchange(Consumer(name, name, queues or QUEUES, lease, 60_000, 60_000))


async def claim(exchange: Claims, slots: int = 10, **how: object) -> ClaimReply:
    _, catch = await exchange.trade([], slots, **how)  # type: ignore[arg-type]
    assert catch is not None
    return catch


async def end_lease(docket: Docket, consumer: str) -> None:
    await docket.storage.connection.send(("ZADD", docket.storage.keys.leases, 1, consumer))


async def consumers(docket: Docket, queue: str = "default") -> set[str]:
    async with docket.redis() as client:
        found = await client.xinfo_consumers(docket.storage.keys.stream(queue), WORKER_GROUP)
    return {one["name"].decode() for one in found}


async def keys(catch: ClaimReply) -> list[str]:
    return [one.key for one in catch.claimed]


async def test_the_next_expiry_is_that_of_the_holders_own_lease(docket: Docket) -> None:
    await docket.add(work, key="held")()
    long, short = worker(docket, "long"), worker(docket, "short", lease=100)
    assert await keys(await claim(long)) == ["held"]

    catch = await claim(short)

    assert catch.claimed == []
    assert catch.next_expiry is not None
    assert LEASE - 5_000 < catch.next_expiry <= LEASE
    assert await short.next_expiry() is not None
    assert await long.next_expiry() is not None  # the idle one is remembered, too


async def test_what_a_silent_worker_held_in_queues_of_others_is_left_to_them(
    docket: Docket,
) -> None:
    await docket.add(work, key="here")()
    await docket.add("work elsewhere", key="there")()
    assert len((await claim(worker(docket, "silent"))).claimed) == 2
    await end_lease(docket, "silent")

    assert await keys(await claim(worker(docket, "one", "default"))) == ["here"]
    assert await consumers(docket) == {"one"}
    assert await keys(await claim(worker(docket, "two", "other"))) == ["there"]
    assert await consumers(docket, "other") == {"two"}


async def test_a_worker_that_renews_late_keeps_what_nobody_has_taken(docket: Docket) -> None:
    await docket.add("work elsewhere", key="there")()
    (held,) = (await claim(worker(docket, "late"))).claimed
    await end_lease(docket, "late")
    assert (await claim(worker(docket, "one", "default"))).claimed == []
    assert await _holds(docket, "late", held) == [Hold.HELD]

    assert (await claim(worker(docket, "two", "other"))).claimed == []


async def test_a_worker_that_renews_very_many_late_keeps_all_of_them(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEWED", 2)
    for number in range(3):
        await docket.add(work, key=f"here {number}")()
    await docket.add("work elsewhere", key="there")()
    held = (await claim(worker(docket, "late"))).claimed
    assert [one.queue for one in held] == ["", "", "", "other"]
    await end_lease(docket, "late")
    assert (await claim(worker(docket, "one", "neither"))).claimed == []

    assert await _holds(docket, "late", *held) == [Hold.HELD] * 4
    assert (await claim(worker(docket, "two"))).claimed == []


async def test_a_late_worker_does_not_take_over_from_itself(docket: Docket) -> None:
    await docket.add("work elsewhere", key="there")()
    late = worker(docket, "late")
    assert len((await claim(late)).claimed) == 1
    await end_lease(docket, "late")
    assert (await claim(worker(docket, "one", "default"))).claimed == []

    assert (await claim(late, held=1)).claimed == []
    assert (await claim(worker(docket, "two", "other"))).claimed == []


async def test_a_consumer_without_a_lease_gets_time_to_renew_it(docket: Docket) -> None:
    await docket.add(work)()
    (held,) = (await claim(worker(docket, "one"))).claimed
    await docket.storage.connection.send(("DEL", docket.storage.keys.leases))

    assert (await claim(worker(docket, "two", lease=100))).claimed == []
    assert await _holds(docket, "one", held) == [Hold.HELD]
    await docket.storage.connection.send(("DEL", docket.storage.keys.leases))
    assert (await claim(worker(docket, "three", lease=100))).claimed == []
    await end_lease(docket, "one")

    assert len((await claim(worker(docket, "four"))).claimed) == 1


async def test_idle_workers_that_were_killed_leave_the_groups(docket: Docket) -> None:
    await docket.add(work)()
    await claim(worker(docket, "busy"))
    for name in ("idle one", "idle two"):
        await claim(worker(docket, name))
        await end_lease(docket, name)

    await claim(worker(docket, "alive"))

    assert await consumers(docket) == {"busy", "alive"}


async def test_recovery_goes_on_over_several_claims_before_anything_fresh(docket: Docket) -> None:
    await docket.add_many([docket.call(work, key=f"lost {n}")() for n in range(5)])
    me = worker(docket, "me")
    await claim(me, 5)
    await docket.add(work, key="fresh")()
    held: list[Claimed] = []
    recovered: list[bool] = []
    for _ in range(3):
        catch = await claim(me, 2, holding=[b"-", *(one.holder for one in held)], held=len(held))
        held += catch.claimed
        recovered.append(catch.is_recovered)
    assert recovered[-1]
    assert {one.key for one in held} == {*(f"lost {n}" for n in range(5)), "fresh"}
    assert held[-1].key == "fresh"
    assert {one.crashes for one in held} == {0}


async def test_a_worker_that_has_more_than_it_knows_is_told_to_recover(docket: Docket) -> None:
    await docket.add(work)()
    await claim(worker(docket, "me"))

    assert not (await claim(worker(docket, "me"))).is_recovered


async def test_calls_come_along_up_to_a_budget_and_are_read_later(docket: Docket) -> None:
    call = b"x" * (1 << 20)
    await docket.add_many([docket.call(work, key=f"{n}")() for n in range(6)])
    async with docket.redis() as client:
        for n in range(6):
            await client.hset(docket.storage.keys.run(str(n)), "call", call)
    me = worker(docket, "me")

    claimed = (await claim(me)).claimed

    assert [one.is_complete for one in claimed] == [True] * 4 + [False] * 2
    async with docket.redis() as client:
        await client.hset(docket.storage.keys.run("5"), "fence", "1")
    assert await me.read_calls(claimed[4:]) == [call, None]
    async with docket.redis() as client:
        await client.set(docket.storage.keys.run("4"), "something else")
    assert await me.read_calls(claimed[4:5]) == [None]


async def test_bad_records_and_entries_are_put_aside_alone(docket: Docket) -> None:
    await docket.add_many([docket.call(work, key=key)() for key in ("good", "bad")])
    async with docket.redis() as client:
        await client.delete(docket.storage.keys.run("bad"))
        await client.set(docket.storage.keys.run("bad"), "something else")
        await client.xadd(docket.storage.keys.stream(), {"nothing": "of ours"})
        await client.set(docket.storage.keys.stream("other"), "something else")

    catch = await claim(worker(docket, "me"))

    assert await keys(catch) == ["good"]
    assert len(catch.broken) == 3
    (held,) = catch.claimed
    async with docket.redis() as client:
        await client.delete(docket.storage.keys.run("good"))
        await client.set(docket.storage.keys.run("good"), "something else")
    assert await _holds(docket, "me", held) == [Hold.BROKEN]


async def test_suspects_run_among_fewer_others_until_one_is_alone(docket: Docket) -> None:
    await docket.add_many([docket.call(work, key=f"{n}")() for n in range(6)])
    died = worker(docket, "one")
    assert len((await claim(died, 6)).claimed) == 6
    assert await _dies(docket, "one") == 6
    record = await docket.get_execution("0")
    assert record is not None
    assert (record.state, record.reason) == (ExecutionState.QUEUED, "suspect")

    catch = await claim(worker(docket, "two"))
    assert [one.company for one in catch.claimed] == [2, 2, 2]
    await _dies(docket, "two")
    await _complete(docket, worker(docket, "innocent"), 3)
    for name in ("three", "four", "five"):
        catch = await claim(worker(docket, name))
        assert [one.company for one in catch.claimed] == [0]
        if name != "five":
            (first,) = catch.claimed
            await worker(docket, name).trade([_completed(first)], 0)
    await _dies(docket, "five", "SIGSEGV")
    for name in ("six", "seven"):
        assert len((await claim(worker(docket, name))).claimed) == 1
        await _dies(docket, name, "SIGSEGV")

    catch = await claim(worker(docket, "eight"))

    assert catch.claimed == []
    ((key, _),) = catch.crashed
    (dead,) = await docket.storage.executions.read(key)
    assert dead is not None
    assert "SIGSEGV" in (dead.error or "")


async def test_a_worker_waits_for_others_to_end_before_it_runs_a_suspect(docket: Docket) -> None:
    await docket.add(work, key="suspect")()
    await claim(worker(docket, "one"))
    await _dies(docket, "one")
    await docket.add(work, key="fresh")()
    await _make_of_level(docket, "suspect", 2)

    catch = await claim(worker(docket, "two"), held=3)

    assert catch.is_waiting
    assert catch.claimed == []
    await docket.storage.connection.send(("ZADD", docket.storage.keys.suspects(), 1, "suspect"))
    assert await keys(await claim(worker(docket, "two"), held=3)) == ["suspect"]


async def test_only_a_quarantine_runs_suspects_and_it_runs_nothing_else(docket: Docket) -> None:
    await docket.add(work, key="suspect")()
    await claim(worker(docket, "one"))
    await _dies(docket, "one")
    await docket.add(work, key="fresh")()
    storage = docket.storage
    ward = Consumer("ward", "ward", QUEUES, LEASE, 60_000, 60_000, suspects_wait=60_000)
    quarantine = Consumer("q", "q", QUEUES, LEASE, 60_000, 60_000, suspects_wait=None)

    assert await keys(await claim(storage.exchange(ward))) == ["fresh"]
    catch = await claim(storage.exchange(quarantine))
    assert await keys(catch) == ["suspect"]
    await _dies(docket, "q")
    assert (await claim(worker(docket, "lone"))).claimed == []
    line = storage.connection.threaded()
    renew(line, storage.keys, "q", catch.claimed, LEASE, is_quarantine=True)
    line.close()
    await storage.workers.retire("q", "q", QUEUES)

    assert await keys(await claim(worker(docket, "lone"))) == ["suspect"]


async def test_what_was_ended_on_purpose_leaves_no_suspects(docket: Docket) -> None:
    await docket.add(work, key="one")()
    await claim(worker(docket, "drained"))

    assert await release(docket.storage.connection, docket.storage.keys, "drained", QUEUES, "") == 1

    (taken,) = (await claim(worker(docket, "heir"), lenient=True)).claimed
    assert (taken.crashes, taken.company) == (0, None)


async def _holds(docket: Docket, name: str, *held: Claimed) -> list[Hold]:
    line = docket.storage.connection.threaded()
    try:
        return renew(line, docket.storage.keys, name, held, LEASE)
    finally:
        line.close()


async def _dies(docket: Docket, name: str, death: str = "SIGKILL") -> int:
    return await release(docket.storage.connection, docket.storage.keys, name, QUEUES, death)


def _completed(run: Claimed) -> Settlement:
    given = (run.message, run.queue, run.key, run.generation, run.fence)
    return Settlement(*given, "completed", ttl=60_000)


async def _complete(docket: Docket, exchange: Claims, count: int) -> None:
    claimed = (await claim(exchange)).claimed
    assert len(claimed) == count
    await exchange.trade([_completed(run) for run in claimed], 0)


async def _make_of_level(docket: Docket, key: str, level: int) -> None:
    await docket.storage.connection.send(("HSET", docket.storage.keys.run(key), "suspect", level))
