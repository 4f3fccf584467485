"""A FastAPI app that starts exports and sends how far they have come.

python -m examples.fastapi_exports
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from docket import Docket, Progress, Worker
from docket.contrib.fastapi import OpenDocket, event_stream, lifespan

docket = Docket()


async def export(rows: int, progress: Progress = Progress()) -> None:
    """Write rows to a file."""
    await progress.set_total(rows)
    for _ in range(rows):
        await progress.increment()


@asynccontextmanager
async def with_worker(app: FastAPI) -> AsyncGenerator[None, None]:
    """Work beside the app, which is enough for a small one."""
    async with lifespan(docket)(app), Worker(docket) as worker:
        working = asyncio.create_task(worker.run_forever())
        yield
        working.cancel()
        await working


app = FastAPI(lifespan=with_worker)


@app.post("/exports", status_code=202)
async def start(rows: int, docket: OpenDocket) -> dict[str, str]:
    """Start an export."""
    execution = await docket.add(export)(rows)
    return {"key": execution.key}


@app.get("/exports/{key}/events")
async def follow(key: str, docket: OpenDocket) -> StreamingResponse:
    """Follow one to its end."""
    execution = await docket.get_execution(key)
    if execution is None:
        raise HTTPException(404)
    return event_stream(execution)


async def main() -> None:
    """Export, and watch it as a browser does."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
    async with app.router.lifespan_context(app), client:
        key = (await client.post("/exports", params={"rows": 20})).json()["key"]
        text = (await client.get(f"/exports/{key}/events", timeout=60)).text
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    print("rows", max(event.get("current") or 0 for event in events))
    print(next(event["state"] for event in reversed(events) if event["type"] == "state"))


if __name__ == "__main__":
    asyncio.run(main())
