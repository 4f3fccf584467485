"""FastAPI: a docket that lives as long as the app, and progress as server-sent events."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from docket import Docket, Progress, Worker
from docket.contrib import fastapi as kit
from docket.contrib.fastapi import OpenDocket, event_stream, lifespan
from docket.errors import Closed
from tests.compat.conftest import soon, working


async def export(rows: int, progress: Progress = Progress()) -> None:
    await progress.set_total(rows)
    await progress.increment(rows)


def create_app(docket: Docket) -> FastAPI:
    app = FastAPI(lifespan=lifespan(docket))

    @app.post("/exports/{key}")
    async def start(key: str, docket: OpenDocket) -> str:  # pyright: ignore[reportUnusedFunction]
        return (await docket.add(export, key=key)(3)).state.value

    @app.get("/exports/{key}")
    async def follow(  # pyright: ignore[reportUnusedFunction]
        key: str, docket: OpenDocket
    ) -> StreamingResponse:
        execution = await docket.get_execution(key)
        assert execution is not None
        return event_stream(execution)

    return app


@pytest.fixture
def unopened() -> Docket:
    return Docket(f"fastapi-{uuid.uuid4().hex[:12]}", "memory://fastapi", config=False)


@pytest.fixture
async def docket(unopened: Docket) -> AsyncIterator[Docket]:
    async with unopened as docket:
        yield docket


async def test_paths_are_given_the_docket_of_the_app_while_it_lives(unopened: Docket) -> None:
    app = create_app(unopened)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://app"
    ) as client:
        for _ in range(2):
            async with app.router.lifespan_context(app):
                assert (await client.post("/exports/a")).json() == "queued"
        with pytest.raises(Closed, match=r"with TestClient\(app\) as client"):
            await client.post("/exports/b")


async def test_a_client_follows_an_execution_to_its_end(docket: Docket) -> None:
    execution = await docket.add(export)(3)
    stream = event_stream(execution)
    sent: list[str] = []
    begun = asyncio.Event()

    async def read() -> None:
        async for part in stream.body_iterator:
            sent.append(str(part))
            begun.set()

    reading = asyncio.create_task(read())
    await begun.wait()
    async with Worker(docket) as worker, working(worker):
        await reading

    assert stream.media_type == "text/event-stream"
    assert stream.headers["x-accel-buffering"] == "no"
    names = [part.split("\n")[0] for part in sent]
    data: list[dict[str, Any]] = [json.loads(part.split("\ndata: ")[1]) for part in sent]
    assert names[:2] == ["event: state", "event: progress"]
    assert (data[0]["state"], data[-1]["state"]) == ("queued", "completed")
    assert any(one.get("current") == 3 for one in data)
    assert all(part.endswith("\n\n") for part in sent)


async def test_a_silent_stream_is_kept_alive_and_one_that_is_left_leaves_its_channels(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "SILENCE", 0.01)
    execution = await docket.add(export, soon(3600), "silent")(3)
    body = event_stream(execution).body_iterator
    assert isinstance(body, AsyncIterator)
    while str(await anext(body)) != ": nothing new\n\n":
        pass

    await body.aclose()  # type: ignore[union-attr]
    channel = docket.key("progress:silent")
    async with docket.redis() as client:
        while (await client.pubsub_numsub(channel))[0][1]:
            await asyncio.sleep(0.001)


async def test_a_stream_whose_server_refuses_ends_with_its_error(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = await docket.add(export, soon(3600))(3)

    async def refuse() -> None:
        raise Closed("gone")

    monkeypatch.setattr(execution, "sync", refuse)
    with pytest.raises(Closed, match="gone"):
        await anext(event_stream(execution).body_iterator)  # type: ignore[arg-type]
