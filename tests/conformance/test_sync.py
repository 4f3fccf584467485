"""A docket for code that does not await, on every kind of server."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

from docket import Disposition, Docket, SyncDocket, Worker
from docket.sync import Bridge

from .conftest import working

PATIENCE = timedelta(seconds=60)


async def double(number: int) -> int:
    return number * 2


async def test_a_plain_program_adds_follows_and_looks_after_work(
    docket: Docket, worker: Worker
) -> None:
    docket.register(double)
    sync = SyncDocket.of(docket, Bridge.here())

    def program() -> list[Any]:
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        calls = [sync.call(double, later, f"later-{number}")(number) for number in range(3)]
        assert len(sync.add_many(calls)) == len(sync.replace_many(calls)) == 3
        assert sync.add(double, key="later-1")(1).disposition is Disposition.ALREADY_SCHEDULED
        sync.cancel("later-1")
        assert sorted(one.key for one in sync.snapshot().future) == ["later-0", "later-2"]
        assert sync.strike_preview(double, "number", ">", 1).scheduled == 1
        sync.strike(double, "number", "==", 5)
        assert sync.add(double)(5).disposition is Disposition.STRUCK
        assert len(sync.strikes()) == 1
        sync.restore(double, "number", "==", 5)
        events = sync.add(double, key="now")(21).subscribe()
        states = [event["state"] for event in events if event["type"] == "state"]
        found = sync.get_execution("now")
        assert found is not None
        return [states[-1], found.get_result(timeout=PATIENCE), sync.clear()]

    async with working(worker):
        assert await asyncio.to_thread(program) == ["completed", 42, 2]
