"""Docket for FastAPI: a docket that lives as long as the app, and progress as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Annotated, Final, TypeAlias

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from starlette.requests import HTTPConnection

from ..docket import Docket
from ..errors import Closed
from ..execution import Execution, ProgressEvent, StateEvent

Event: TypeAlias = StateEvent | ProgressEvent

SILENCE: Final = 15.0
"""Seconds after which a comment keeps a stream alive that has nothing to say: proxies end silent ones."""

HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Headers that keep caches and proxies from holding events back."""


def lifespan(docket: Docket) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan in which a docket is open; ``OpenDocket`` gives it to paths.

    Arguments:
        docket: the docket; it is entered when the app starts, and left when it ends.

    Example:
        >>> app = FastAPI(lifespan=lifespan(Docket()))
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncGenerator[None, None]:
        async with docket:
            app.state.docket = docket
            try:
                yield
            finally:
                del app.state.docket

    return living


def get_docket(connection: HTTPConnection) -> Docket:
    """Return the docket of the app that answers.

    Raises:
        Closed: the app has no ``lifespan`` of a docket, or did not start.
    """
    docket: Docket | None = getattr(connection.app.state, "docket", None)
    if docket is None:
        raise Closed(
            "expected an open docket in this app, found none; give it a lifespan: "
            "FastAPI(lifespan=docket.contrib.fastapi.lifespan(Docket())), and let it start: in tests, "
            "with TestClient(app) as client"
        )
    return docket


OpenDocket: TypeAlias = Annotated[Docket, Depends(get_docket)]
"""The docket of the app, for a parameter of a path: ``async def export(docket: OpenDocket)``."""


def event_stream(execution: Execution) -> StreamingResponse:
    """Return the state and the progress of an execution as server-sent events, until it has ended.

    The name of each event is its type, ``state`` or ``progress``; its data is the event as JSON.

    Arguments:
        execution: the execution to follow.
    """
    return StreamingResponse(_events(execution), media_type="text/event-stream", headers=HEADERS)


async def _events(execution: Execution) -> AsyncGenerator[str, None]:
    events: asyncio.Queue[Event | None] = asyncio.Queue()

    async def follow() -> None:
        try:
            async with aclosing(execution.subscribe()) as following:
                async for event in following:
                    events.put_nowait(event)
        finally:
            events.put_nowait(None)

    # A task of its own: it leaves the channels also where a client that goes away cancels all others.
    following = asyncio.create_task(follow(), name="docket event stream")
    try:
        while (text := await _next_of(events)) is not None:
            yield text
        await following
    finally:
        following.cancel()


async def _next_of(events: asyncio.Queue[Event | None]) -> str | None:
    """Return the next event as it is sent, a comment if none comes for a while, None behind the last one."""
    try:
        event = await asyncio.wait_for(events.get(), SILENCE)
    except asyncio.TimeoutError:
        return ": nothing new\n\n"
    return None if event is None else f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
