"""Adds work, writes down what was acknowledged, and waits for its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from docket import Disposition, Docket

from .ledger import Ledger
from .workers import tasks


async def produce(
    docket: Docket, ledger: Ledger, durations: Iterable[float], task: str = "work"
) -> list[str]:
    """Add one execution of each duration; all that was acknowledged is in the ledger afterwards."""
    (function,) = (function for function in tasks(ledger) if function.__name__ == task)
    # One of another ledger may be known by this name: it adds to the same docket for another part of a story.
    docket.register(function, replace=True)
    calls = [docket.call(function)(seconds) for seconds in durations]
    added = await docket.add_many(calls)
    for execution in added:
        assert execution.disposition is Disposition.SCHEDULED, execution.schedule_exception
        ledger.note("acked", execution.key)
    return [execution.key for execution in added]


async def until_ended(docket: Docket, keys: Iterable[str], seconds: float = 100.0) -> None:
    """Wait until all of these have an outcome."""
    open_keys = list(keys)
    deadline = time.monotonic() + seconds
    while open_keys:
        records = await docket.storage.executions.read(*open_keys)
        standing = dict(zip(open_keys, records, strict=True))
        open_keys = [
            key for key, record in standing.items() if record is None or record.state.is_live
        ]
        assert not open_keys or time.monotonic() < deadline, (
            f"{len(open_keys)} have no outcome: {[standing[key] for key in open_keys[:3]]}"
        )
        await asyncio.sleep(0.02)
