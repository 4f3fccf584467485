"""How much one script does at most."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.client import Monitor

from docket import Docket


@dataclass
class Longest:
    """The most that one command did.

    Arguments:
        records: how many records of executions it wrote to.
        orphans: how many superseded runs it gave the slots of back.
    """

    records: int = 0
    orphans: int = 0


@asynccontextmanager
async def longest(docket: Docket) -> AsyncGenerator[Longest, None]:
    """Watch what scripts do meanwhile, by the commands that they send."""
    found = Longest()
    async with docket.redis() as client:
        assert isinstance(client, Redis)
        async with client.monitor() as monitor:
            yield found
            await client.echo("the end")
            await _count(monitor, found)


async def _count(monitor: Monitor, found: Longest) -> None:
    written: set[str] = set()
    freed: set[str] = set()
    async for command in monitor.listen():
        text = command["command"]
        if text.endswith("the end"):
            break
        if command["client_type"] != "lua":
            written, freed = set(), set()
            continue
        word, _, rest = text.partition(" ")
        if word.upper() in ("HSET", "HDEL", "PEXPIRE") and ":runs:" in rest:
            written.add(rest.partition(" ")[0])
            found.records = max(found.records, len(written))
        elif word.upper() == "SREM" and ":orphans:" in rest:
            freed.add(rest)
            found.orphans = max(found.orphans, len(freed))
