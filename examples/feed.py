"""A feed that is read page by page, again and again: a perpetual task, and what all its runs share.

python -m examples.feed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from docket import CurrentDocket, Depends, Docket, Perpetual, Shared, TaskLogger, Worker


class Feed:
    """Stands for a client with a connection pool: costly to make, made to be shared."""

    pages: tuple[list[str], ...] = (["a", "b"], ["c"], [])

    async def page(self, number: int) -> list[str]:
        """The entries of a page; none behind the last one."""
        return self.pages[number]


@asynccontextmanager
async def feed() -> AsyncGenerator[Feed, None]:
    """One client for the life of a worker."""
    print("connect")
    yield Feed()
    print("disconnect")


async def store(entry: str) -> None:
    """Keep one entry."""
    print("store", entry)


def marker() -> str:
    """A function that a dependency asks."""
    return "page"


async def read_feed(
    page: int = 0,
    client: Feed = Shared(feed),
    word: str = Depends(marker),
    docket: Docket = CurrentDocket(),
    log: logging.LoggerAdapter[logging.Logger] = TaskLogger(),
    perpetual: Perpetual = Perpetual(every=timedelta(milliseconds=50), automatic=True),
) -> None:
    """Read a page, and come back for the next one; the chain has the task's name as its key."""
    entries = await client.page(page)
    log.info("%s %s has %s entries", word, page, len(entries))
    for entry in entries:
        await docket.add(store, key=f"entry-{entry}")(entry)
    if entries:
        perpetual.perpetuate(page + 1)
    else:
        perpetual.cancel()


async def main() -> None:
    """Register the task: workers see to it that it runs."""
    async with Docket() as docket:
        docket.register(read_feed)
        docket.register(store)
        async with Worker(docket, concurrency=1) as worker:
            await worker.run_until_finished()


if __name__ == "__main__":
    asyncio.run(main())
