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
        records: how many records of executions it announced.
    """

    records: int = 0


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
    count = 0
    async for command in monitor.listen():
        text = command["command"]
        if text.endswith("the end"):
            break
        if command["client_type"] != "lua":
            count = 0
        elif text.upper().startswith("PEXPIRE") and ":runs:" in text:
            count += 1
            found.records = max(found.records, count)
