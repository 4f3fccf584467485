"""Runs in a peer's own environment: one measurement, printed as one line of JSON.

    python measure.py PEER ROW URL COUNT
    python measure.py PEER hold URL

The directory of this file is all that is on the path, so that each peer is imported from its environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any, Protocol


class Peer(Protocol):
    """What every adapter offers. ``seen`` is to be called by the task, with the tag that it was given."""

    distribution: str

    async def open(self, url: str, seen: Callable[[Any], None]) -> None: ...
    async def add(self, tag: Any) -> None: ...
    async def add_many(self, tags: Sequence[Any]) -> None: ...
    async def add_later(self, tag: Any, when: datetime) -> None: ...
    def working(self, concurrency: int) -> contextlib.AbstractAsyncContextManager[None]: ...
    async def close(self) -> None: ...


SLOWEST = 0.05
"""Seconds per task after which a measurement is given up."""


class Stalled(Exception):
    """Fewer tasks have started than were added."""


class Seen:
    """Counts tasks as they start, and when."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.count = 0
        self._wanted = 0
        self.first = asyncio.Event()
        self._all = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, tag: Any) -> None:
        self.count += 1
        self.delays.append(time.time() - float(tag))
        # Some peers run tasks in threads.
        if self.count == 1:
            self._loop.call_soon_threadsafe(self.first.set)
        if self.count == self._wanted:
            self._loop.call_soon_threadsafe(self._all.set)

    async def wait_for(self, count: int) -> None:
        self._wanted = count
        if self.count < count:
            limit = max(30, count * SLOWEST)
            try:
                await asyncio.wait_for(self._all.wait(), limit)
            except asyncio.TimeoutError:
                raise Stalled(f"{self.count} of {count} had started after {limit:.0f} s") from None


async def drain(peer: Peer, seen: Seen, count: int, concurrency: int) -> dict[str, float]:
    """Tasks per second until the last has started, and the seconds of CPU that 10,000 of them take."""
    await peer.add_many([0] * count)
    cpu, start = time.process_time(), time.perf_counter()
    async with peer.working(concurrency):
        await seen.wait_for(count)
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
    return {"value": count / seconds, "cpu": used / count * 10_000}


async def drain_10(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    return await drain(peer, seen, count, 10)


async def drain_100(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    return await drain(peer, seen, count, 100)


async def add(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    start = time.perf_counter()
    for number in range(count):
        await peer.add(number)
    return {"value": count / (time.perf_counter() - start)}


async def add_bulk(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    tags = list(range(count))
    start = time.perf_counter()
    await peer.add_many(tags)
    return {"value": count / (time.perf_counter() - start)}


async def latency(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    """From the call of add to the start of the task, one task each 20 ms."""
    number = min(count, 150)
    async with peer.working(10):
        await asyncio.sleep(1)
        for _ in range(number):
            await peer.add(time.time())
            await asyncio.sleep(0.02)
        await seen.wait_for(number)
    return percentiles(seen.delays)


async def lateness(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    """From the due time to the start of the task."""
    number = min(count, 150)
    async with peer.working(10):
        await asyncio.sleep(1)
        start = datetime.now(timezone.utc) + timedelta(seconds=0.5)
        for index in range(number):
            when = start + timedelta(milliseconds=13 * index)
            await peer.add_later(when.timestamp(), when)
        await seen.wait_for(number)
    return percentiles(seen.delays)


async def idle(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    """Redis commands per second of a worker that has nothing to do (total_commands_processed)."""
    async with peer.working(10):
        await asyncio.sleep(2)
        before = await commands(peer)
        start = time.perf_counter()
        await asyncio.sleep(10)
        # The first INFO is in the second one's count.
        return {"value": (await commands(peer) - before - 1) / (time.perf_counter() - start)}


async def memory_queued(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    count = max(count, FEWEST)
    return await memory(peer, count, lambda: peer.add_many(list(range(count))))


async def memory_future(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    count = max(count, FEWEST)
    when = datetime.now(timezone.utc) + timedelta(hours=1)

    async def add_all() -> None:
        for number in range(count):
            await peer.add_later(number, when)

    return await memory(peer, count, add_all)


FEWEST = 5000
"""Executions below which the server's own tables would be most of what is measured."""


async def memory(peer: Peer, count: int, fill: Callable[[], Any]) -> dict[str, float]:
    await peer.add_many([0])
    before = await info(peer, "memory", "used_memory")
    await fill()
    return {"value": (await info(peer, "memory", "used_memory") - before) / count}


async def recover_alone(peer: Peer, seen: Seen, count: int) -> dict[str, float]:
    """Seconds from the kill -9 of the process that runs a task until another, unsupervised one starts it."""
    name, _, url, _ = sys.argv[1:]
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, name, "hold", url), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        await peer.add(time.time())
        await asyncio.wait_for(holder.stdout.readline(), 30)
    finally:
        holder.kill()
        await holder.wait()
    killed = time.perf_counter()
    async with peer.working(10):
        await asyncio.wait_for(seen.first.wait(), LONGEST_RECOVERY)
        return {"value": time.perf_counter() - killed}


LONGEST_RECOVERY = 400
"""Seconds after which a lost task counts as lost."""


async def hold(name: str, url: str) -> None:
    """Work, and never end the first task."""

    def started(_: Any) -> None:
        print("started", flush=True)
        signal.pause()

    peer: Peer = importlib.import_module(f"peer_{name}").PEER
    await peer.open(url, started)
    async with peer.working(10):
        await asyncio.Event().wait()


async def gathered(add: Callable[[Any], Awaitable[None]], tags: Sequence[Any]) -> None:
    """The bulk of a peer that has no call for it: a hundred adds at a time."""
    for at in range(0, len(tags), 100):
        await asyncio.gather(*(add(tag) for tag in tags[at : at + 100]))


async def commands(peer: Peer) -> int:
    return await info(peer, "stats", "total_commands_processed")


async def info(peer: Peer, section: str, field: str) -> int:
    """Asked over a plain socket, so that no peer's client is involved."""
    host, port = sys.argv[3].removeprefix("redis://").split("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"INFO {section}\r\n".encode())
    size = int((await reader.readline())[1:])
    text = (await reader.readexactly(size)).decode()
    writer.close()
    return next(
        int(line.split(":")[1]) for line in text.splitlines() if line.startswith(f"{field}:")
    )


def percentiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000  # noqa: E731
    return {"value": at(0.5), "p99": at(0.99)}


ROWS = {
    row.__name__: row
    for row in (
        drain_10,
        drain_100,
        add,
        add_bulk,
        latency,
        lateness,
        idle,
        memory_queued,
        memory_future,
        recover_alone,
    )
}


async def main(name: str, row: str, url: str, count: int) -> None:
    peer: Peer = importlib.import_module(f"peer_{name}").PEER
    seen = Seen()
    await peer.open(url, seen)
    try:
        result = await ROWS[row](peer, seen, count)
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(peer.close(), 10)
    print(json.dumps({**result, "version": version(peer.distribution)}), flush=True)


@contextlib.asynccontextmanager
async def background(work: Any, stop: Callable[[asyncio.Task[Any]], Any]) -> AsyncIterator[None]:
    """Have a worker run for the length of a block."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        ending = stop(task)
        if ending is not None:
            await ending
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.wait_for(task, 15)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _, peer_name, row_name, server_url, *number = sys.argv
    # Under its own name the module is what the adapters import.
    sys.modules["measure"] = sys.modules["__main__"]
    if row_name == "hold":
        asyncio.run(hold(peer_name, server_url))
    else:
        asyncio.run(main(peer_name, row_name, server_url, int(number[0])))
