"""Forks while other threads hold every lock that there is; prints what the children have found."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from docket import Docket, SyncDocket
from docket.connection.memory import MemoryServer
from docket.sync import Bridge, SyncExecution
from docket.sync.process import process

THREADS = 4


def work(number: int) -> None: ...


def forked(body: Callable[[], object]) -> object:
    """What a child comes to, as text."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        try:
            found = repr(body())
        except BaseException as error:
            found = f"{type(error).__name__}: {error}"
        os.write(sink, found.encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as text:
        found = text.read()
    os.waitpid(child, 0)
    return found


def adds(docket: SyncDocket, count: int) -> int:
    """Add from threads, and count those that are new."""
    with ThreadPoolExecutor(THREADS) as threads:
        keys = {one.key for one in threads.map(docket.add(work), range(count))}
    return len(keys)


def child(docket: SyncDocket, before: SyncExecution) -> list[object]:
    """Use in a fork what its parent has opened."""
    added = adds(docket, 8)
    before.sync()
    assert docket.insights.glance().queues
    # The child of the child.
    again = forked(lambda: adds(docket, 2))
    docket.close()
    with docket:
        docket.add(work)(0)
    return [added, again]


def under_locks(body: Callable[[], object]) -> object:
    """Fork while another thread has the locks."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with process.lock, MemoryServer._lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        return forked(body)
    finally:
        done.set()
        holder.join()


async def in_worker(url: str) -> object:
    """Fork in a plain task: its docket is that of the worker's process."""
    async with Docket("forking-worker", url, config=False) as docket:
        given = SyncDocket.of(docket, Bridge.here())
        return await asyncio.to_thread(forked, lambda: given.add(work)(1))


def main(url: str, name: str) -> None:
    docket = SyncDocket(name, url, config=False)
    print(forked(lambda: adds(docket, 3)))
    before = docket.add(work)(0)
    print(under_locks(lambda: child(docket, before)))
    thread = process.thread
    assert thread is not None

    async def fork() -> object:
        return forked(lambda: "child of the loop")

    print(thread.begin(fork()).result())
    # What the children have closed was theirs.
    adds(docket, 5)
    print(docket.snapshot().total_tasks)
    print(forked(docket.close))
    print(asyncio.run(in_worker(url)))
    docket.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
