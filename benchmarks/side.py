"""Measures one checkout of docket, whichever is on the path: prints one JSON line.

    python benchmarks/side.py ROW URL COUNT

Uses nothing but what every release has: the public API, and what the server says of itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from docket import Docket, Worker

NAME = "side"


async def noop(number: int) -> int:
    """The task of all measurements."""
    return number


@asynccontextmanager
async def counting(client: Any, count: int, found: dict[str, float]) -> AsyncGenerator[None]:
    """Count for the length of a block what the server does for each of so many tasks."""
    await client.config_resetstat()
    before = _cpu(await client.info("cpu"))
    yield
    cpu = _cpu(await client.info("cpu")) - before
    commands = await client.info("commandstats")
    # What this program asks is none of it.
    ours = ("cmdstat_info", "cmdstat_config|resetstat", "cmdstat_config")
    calls = sum(row["calls"] for name, row in commands.items() if name not in ours)
    found["redis_cpu"] = cpu / count * 1e6
    found["commands"] = calls / count


def _cpu(about: dict[str, float]) -> float:
    return about["used_cpu_user"] + about["used_cpu_sys"]


async def _fill(docket: Docket, count: int, when: datetime | None = None) -> None:
    for at in range(0, count, 5000):
        numbers = range(at, min(at + 5000, count))
        await docket.add_many([docket.call(noop, when=when)(number) for number in numbers])


async def drain(docket: Docket, client: Any, count: int, concurrency: int) -> dict[str, float]:
    """How fast what is queued comes to its end."""
    await _fill(docket, count)
    found: dict[str, float] = {}
    async with Worker(docket, concurrency=concurrency) as worker:
        async with counting(client, count, found):
            start = time.perf_counter()
            await worker.run_until_finished()
            found["value"] = count / (time.perf_counter() - start)
    return found


async def add(docket: Docket, client: Any, count: int) -> dict[str, float]:
    """One after the other."""
    found: dict[str, float] = {}
    async with counting(client, count, found):
        start = time.perf_counter()
        for number in range(count):
            await docket.add(noop)(number)
        found["value"] = count / (time.perf_counter() - start)
    return found


async def add_bulk(docket: Docket, client: Any, count: int) -> dict[str, float]:
    """Many at a time."""
    found: dict[str, float] = {}
    async with counting(client, count, found):
        start = time.perf_counter()
        await _fill(docket, count)
        found["value"] = count / (time.perf_counter() - start)
    return found


async def latency(docket: Docket, client: Any, count: int) -> dict[str, float]:
    """From an add to its result, in ms, an idle worker in the same program."""
    took: list[float] = []
    found: dict[str, float] = {}
    times = min(count, 500)
    async with Worker(docket) as worker:
        running = asyncio.create_task(worker.run_forever())
        for number in range(50):  # connections are made, scripts are loaded
            await (await docket.add(noop)(number)).get_result()
        async with counting(client, times, found):
            for number in range(times):
                start = time.perf_counter()
                execution = await docket.add(noop)(number)
                assert await execution.get_result() == number
                took.append((time.perf_counter() - start) * 1000)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return {**found, "value": sorted(took)[len(took) // 2]}


async def memory(docket: Docket, client: Any, count: int, delay: float) -> dict[str, float]:
    """What the server holds for one execution that waits, in bytes: what all keys together take."""
    when = datetime.now(timezone.utc) + timedelta(seconds=delay) if delay else None
    await _fill(docket, count, when)
    # Not used_memory: what the allocator keeps of what was there before is in it.
    total = 0
    async for key in client.scan_iter(count=1000):
        total += await client.memory_usage(key, samples=0)
    return {"value": total / count}


async def measure(row: str, url: str, count: int) -> dict[str, float]:
    """One row."""
    async with Docket(NAME, url) as docket, docket.redis() as client:
        docket.register(noop)
        match row:
            case "drain_10":
                return await drain(docket, client, count, 10)
            case "drain_100":
                return await drain(docket, client, count, 100)
            case "add":
                return await add(docket, client, count)
            case "add_bulk":
                return await add_bulk(docket, client, count)
            case "latency":
                return await latency(docket, client, count)
            case "memory_queued":
                return await memory(docket, client, count, 0)
            case _:
                return await memory(docket, client, count, 86_400)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(asyncio.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
