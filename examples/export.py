"""A long export that is watched: progress, events, the result, and a cancellation.

python -m examples.export
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from docket import Docket, ExecutionCancelled, Progress, TaskKey, Worker


async def export(rows: int, key: str = TaskKey(), progress: Progress = Progress()) -> str:
    """Write rows to a file, and tell how far it has come."""
    await progress.set_total(rows)
    for _ in range(rows):
        await asyncio.sleep(0.001)
        await progress.increment()
    return f"{key}.csv"


async def watch(docket: Docket, key: str) -> None:
    """What a web page would show of it."""
    execution = await docket.get_execution(key)
    assert execution is not None
    async for event in execution.subscribe():
        if event["type"] == "progress" and event["current"] == event["total"]:
            print("rows", event["current"])
        if event["type"] == "state" and event["state"] == "completed":
            return


async def main() -> None:
    """Export twice, and think better of it once."""
    async with Docket() as docket, Worker(docket) as worker:
        working = asyncio.create_task(worker.run_forever())
        small = await docket.add(export, key="small")(20)
        await asyncio.wait_for(watch(docket, "small"), 10)
        print(await small.get_result(timeout=timedelta(seconds=10)))

        large = await docket.add(export, key="large")(1_000_000)
        await docket.cancel("large")
        try:
            await large.get_result(timeout=timedelta(seconds=10))
        except ExecutionCancelled:
            print("cancelled")
        working.cancel()
        await working


if __name__ == "__main__":
    asyncio.run(main())
