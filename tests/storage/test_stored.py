"""Results take so much memory and no more: the oldest are evicted, and say so."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker
from docket.errors import ResultEvicted
from docket.storage.claims import Consumer, Settlement, Verdict
from docket.storage.scripting.retrying import value_of
from docket.storage.stored import UNLIMITED, ResultLimits
from tests.compat.conftest import (
    least_privileged,
    name,
    pytest_generate_tests,
    until,
    url,
    working,
)

__all__ = ["least_privileged", "name", "pytest_generate_tests", "url"]

SIZE = 1000
"""Bytes of a result, about."""

OF_ONE = SIZE + 400
"""Bytes that it counts at most."""

is_over: dict[str, asyncio.Event] = {}


async def text(size: int = SIZE) -> str:
    return "x" * size


async def gated(key: str) -> str:
    await is_over[key].wait()
    return "x" * SIZE


async def nothing() -> None: ...


async def failing() -> None:
    raise KeyError("x" * SIZE)


@asynccontextmanager
async def limited(
    most: int, name: str = "", url: str = "memory://results", **options: Any
) -> AsyncGenerator[Docket, None]:
    """A docket whose results may take so many bytes."""
    limits = ResultLimits(most)
    async with Docket(name or uuid.uuid4().hex, url, results=limits, **options) as docket:
        for task in (text, gated, nothing, failing):
            docket.register(task)
        yield docket


async def run(docket: Docket, *keys: str, size: int = SIZE, **options: Any) -> None:
    """Have results stored under these keys, one after the other."""
    for key in keys:
        await docket.add(text, key=key, **options)(size)
    async with Worker(docket, concurrency=1) as worker:
        await worker.run_until_finished()


async def result_of(docket: Docket, key: str) -> Any:
    execution = await docket.get_execution(key)
    assert execution is not None
    return await execution.get_result(timeout=timedelta(seconds=60))


async def send(docket: Docket, word: str, key: str, *rest: Any) -> Any:
    command = (word, docket.storage.keys.named(key), *rest)
    (reply,) = await docket.storage.connection.send(command)
    return value_of(reply)


async def index(docket: Docket) -> dict[str, bytes]:
    """The bytes by class, as they are counted."""
    found = await send(docket, "HGETALL", "stored")
    return {name.decode(): size for name, size in zip(found[::2], found[1::2], strict=True)}


async def test_the_oldest_results_are_evicted_and_say_so(url: str, name: str) -> None:
    keys = [f"r{number}" for number in range(6)]
    async with limited(3 * OF_ONE, name, url) as docket:
        await run(docket, *keys)

        for key in keys[:3]:
            with pytest.raises(ResultEvicted, match=f"the result of {key} was evicted"):
                await result_of(docket, key)
            execution = await docket.get_execution(key)
            assert execution is not None
            assert execution.state.value == "completed"
        for key in keys[3:]:
            assert await result_of(docket, key) == "x" * SIZE
        use = await docket.storage.stored.use()
        assert 3 * SIZE < use.bytes <= use.limit == 3 * OF_ONE
        assert use.evicted == 3
        assert use.last_evicted_at is not None
        assert (await docket.operations.check()).is_well


async def test_a_result_that_a_caller_waits_for_is_not_evicted(url: str, name: str) -> None:
    is_over.update({key: asyncio.Event() for key in ("waited", "not")})
    async with limited(1, name, url) as docket, Worker(docket) as worker, working(worker):
        waited = await docket.add(gated, key="waited")("waited")
        alone = await docket.add(gated, key="not")("not")
        waiting = asyncio.create_task(waited.get_result())
        channel = docket.storage.keys.state("waited")

        async def is_heard() -> bool:
            words = ("NUMSUB", "SHARDNUMSUB") if channel.startswith("{") else ("NUMSUB",)
            asked = [("PUBSUB", word, channel) for word in words]
            replies = await docket.storage.connection.send(*asked)
            return any(value_of(reply)[1] for reply in replies)

        await until(is_heard)
        for event in is_over.values():
            event.set()

        assert await waiting == "x" * SIZE
        await worker_has_settled(docket, "not")
        with pytest.raises(ResultEvicted):
            await alone.get_result()
        # It stays until its time is over, and counts.
        assert await result_of(docket, "waited") == "x" * SIZE
        assert set(await index(docket)) == {"kept"}
        assert (await docket.operations.check()).is_well


async def worker_has_settled(docket: Docket, key: str) -> None:
    async def is_over() -> bool:
        execution = await docket.get_execution(key)
        return execution is not None and execution.state.is_terminal

    await until(is_over)


async def test_the_worker_counts_evictions_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    async with limited(OF_ONE) as docket:
        for key in ("a", "b", "c"):
            await docket.add(text, key=key)()
        async with Worker(docket, concurrency=1) as worker:
            await worker.run_until_finished()

    assert worker.tally.counts["docket_results_evicted", ""] == 2
    warnings = [one.getMessage() for one in caplog.records if "results.max_memory" in one.message]
    assert len(warnings) == 1


async def test_what_is_of_a_call_that_runs_once_is_not_evicted_and_counts() -> None:
    async with limited(2 * OF_ONE) as docket:
        await run(docket, "charge", once=timedelta(hours=1))
        await run(docket, "a", "b", "c")

        assert await result_of(docket, "charge") == "x" * SIZE
        assert await result_of(docket, "c") == "x" * SIZE
        with pytest.raises(ResultEvicted):
            await result_of(docket, "b")
        assert set(await index(docket)) == {"900000", "kept"}


async def test_a_result_that_ended_otherwise_counts_no_more() -> None:
    async with limited(100 * OF_ONE) as docket:
        await run(docket, "again")
        await docket.add(failing, key="dead")()
        await run(docket)
        assert set(await index(docket)) == {"900000", "604800000"}

        await docket.add(nothing, key="again")()
        assert set(await index(docket)) == {"604800000"}
        await docket.operations.discard("dead")
        assert await index(docket) == {}

        # By itself: as if its time were over.
        await run(docket, "old", "older")
        for member in await send(docket, "ZRANGE", "stored:900000", 0, -1):
            await send(docket, "ZADD", "stored:900000", 5, member)
        await send(docket, "DEL", "results:old")
        await send(docket, "DEL", "results:older")
        await run(docket, "new")
        assert await send(docket, "ZRANGE", "stored:900000", 0, -1) == [b"1004:new"]
        assert (await docket.operations.check()).is_well

        # Nothing has to be stored for that: now and then a claim looks as well.
        await send(docket, "ZADD", "stored:900000", 5, b"1004:new")
        await run(docket)
        assert await index(docket) == {}


async def test_a_settlement_that_is_sent_again_counts_its_result_once() -> None:
    async with limited(100 * OF_ONE) as docket:
        await docket.add(text, key="twice")()
        consumer = Consumer("w", "w:1", ("default",), 60_000, 60_000, 60_000)
        exchange = docket.storage.exchange(consumer)
        _, catch = await exchange.trade([], 1)
        assert catch is not None
        (claimed,) = catch.claimed
        words = (claimed.message, claimed.queue, claimed.key, claimed.generation, claimed.fence)
        settlement = Settlement(
            *words, "completed", result=b"12345", ttl=60_000, identity=claimed.identity
        )

        verdicts = [(await exchange.trade([settlement], 0))[0] for _ in range(2)]

        assert verdicts == [[Verdict.RECORDED], [Verdict.ALREADY]]
        assert await index(docket) == {"60000": b"335"}


async def test_failures_keep_their_line_and_signed_results_are_told_from_stolen_ones() -> None:
    keys = {"k": b"0123456789abcdef0123456789abcdef"}
    async with limited(1, signing_keys=keys) as docket:
        failed = await docket.add(failing, key="failed")()
        await run(docket, "signed")

        with pytest.raises(ResultEvicted):
            await result_of(docket, "signed")
        with pytest.raises(Exception, match=r"not signed: KeyError: 'xxx"):
            await failed.get_result()


@pytest.mark.thorough
async def test_a_limit_that_was_lowered_is_reached_in_slices() -> None:
    async with limited(1 << 20) as docket:
        await docket.add_many(docket.call(text)(1) for _ in range(700))
        async with Worker(docket, concurrency=100) as worker:
            await worker.run_until_finished()
        async with limited(1000, docket.name) as lower:
            await run(lower, "one")
            assert (await lower.storage.stored.use()).evicted == 500
            await run(lower, "two")

            use = await lower.storage.stored.use()
            assert use.bytes <= use.limit
            assert use.evicted == 701 - use.bytes // 320 + 1


async def test_nothing_is_counted_without_a_limit_and_nothing_costs_anything_without_results() -> (
    None
):
    async with Docket(uuid.uuid4().hex, "memory://results", results=UNLIMITED) as docket:
        docket.register(text)
        await run(docket, "kept")
        assert await result_of(docket, "kept") == "x" * SIZE
        assert await index(docket) == {}
        assert (await docket.operations.check()).is_well

    async with limited(1 << 20, url="memory://results-counted") as docket:
        before = await _calls(docket)
        await docket.add_many(docket.call(nothing)() for _ in range(100))
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        between = await _calls(docket)
        await docket.add_many(docket.call(text)() for _ in range(100))
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        after = await _calls(docket)
    assert _more(before, between, "hincrby", "strlen") == [0, 0]
    zadd, hincrby = _more(between, after, "zadd", "hincrby")
    assert 100 <= zadd <= 110  # with leases and heartbeats
    assert hincrby <= 100


async def _calls(docket: Docket) -> dict[str, int]:
    async with docket.redis() as client:
        any_client: Any = client
        stats: dict[str, Any] = await any_client.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items()}


def _more(before: dict[str, int], after: dict[str, int], *words: str) -> list[int]:
    return [after.get(word, 0) - before.get(word, 0) for word in words]


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "stored", "mine"),
        ("SET", "stored:900000", "mine"),
        ("HSET", "stored", "900000", "many"),
        ("HSET", "stored", "5", "999999999"),
        ("ZADD", "stored:900000", 9e12, "none of ours"),
    ],
    ids=str,
)
async def test_what_is_damaged_in_the_index_hinders_no_end(command: tuple[Any, ...]) -> None:
    async with limited(2 * OF_ONE) as docket:
        await send(docket, *command)
        await run(docket, "a", "b")

        for key in ("a", "b"):
            assert await result_of(docket, key) == "x" * SIZE
        if command[0] != "SET":
            assert (await docket.storage.stored.use()).evicted == 0


async def test_what_counts_is_what_redis_takes() -> None:
    async with limited(1 << 20) as docket:
        await docket.add_many(docket.call(text)() for _ in range(200))
        async with Worker(docket, concurrency=100) as worker:
            await worker.run_until_finished()
        async with docket.redis() as client:
            any_client: Any = client
            keys = [key async for key in any_client.scan_iter(f"{docket.name}:results:*")]
            keys.append(docket.storage.keys.named("stored:900000"))
            taken = sum([await any_client.memory_usage(key, samples=0) for key in keys])

        counted = (await docket.storage.stored.use()).bytes
    assert len(keys) == 201
    # The entry that holds each time to live is not told.
    assert taken <= counted <= 1.2 * taken
