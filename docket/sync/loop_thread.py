"""The thread with the event loop in which all dockets of a program live that does not await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from contextvars import Context
from typing import Any, Final, TypeVar

from ..docket import Docket

T = TypeVar("T")

PATIENCE: Final = 5.0
"""Seconds that a fork waits for the loop to stand still, and the end of a program for its dockets."""


class LoopThread:
    """An event loop in a thread of its own, and the dockets that are open in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._open: set[Docket] = set()
        """Touched in the loop only."""
        self._thread = threading.Thread(target=self._turn, name="docket", daemon=True)
        self._thread.start()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> futures.Future[T]:
        """Begin a coroutine in the loop, and return what it will come to."""
        # In a context of its own: tasks that stay would keep that of the request that came first.
        return Context().run(asyncio.run_coroutine_threadsafe, coroutine, self.loop)

    async def open(self, docket: Docket, closing: futures.Future[None] | None) -> None:
        """Enter a docket in the loop, once it was left before."""
        if closing is not None:
            await asyncio.wait([asyncio.wrap_future(closing)])
        await docket.__aenter__()
        self._open.add(docket)

    async def close(self, docket: Docket, opening: futures.Future[None]) -> None:
        """Leave a docket, once it was entered."""
        await asyncio.wait([asyncio.wrap_future(opening)])
        if docket in self._open:
            await self._leave(docket)

    def hold(self) -> Callable[[], object]:
        """Let the loop stand still, where it holds no lock; return what lets it go on."""
        stands, go_on = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            go_on.wait()

        self.loop.call_soon_threadsafe(stand)
        stands.wait(PATIENCE)
        return go_on.set

    def end(self) -> None:
        """Close all dockets and end the loop."""
        futures.wait([self.begin(self._close_all())], PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)

    @property
    def is_here(self) -> bool:
        """True in the thread itself."""
        return threading.current_thread() is self._thread

    async def _close_all(self) -> None:
        leaving = [self._leave(docket) for docket in self._open]
        await asyncio.gather(*leaving, return_exceptions=True)

    async def _leave(self, docket: Docket) -> None:
        self._open.discard(docket)
        await docket.__aexit__(None, None, None)

    def _turn(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        # Generators that were left in the middle go with the process; what they listened on is closed.
        self.loop.close()


def has_failed(future: futures.Future[None]) -> bool:
    """Return True if something was begun in vain."""
    return future.done() and (future.cancelled() or future.exception() is not None)
