"""The way from a thread into an event loop, and back with the outcome."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent import futures
from typing import Any, Final, NoReturn, TypeVar

from ..errors import Closed, WouldBlock

T = TypeVar("T")

GLANCE: Final = 1.0
"""Seconds after which a thread that waits looks whether the loop is still there."""


class Bridge:
    """A bridge on which an event loop that runs elsewhere does what a thread waits for.

    Arguments:
        loop: the loop; it runs in another thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @classmethod
    def here(cls) -> Bridge:
        """Return a bridge into the loop that runs here."""
        return cls(asyncio.get_running_loop())

    def wait(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what the loop has come to, or raise that.

        Arguments:
            ask: called in the loop.

        Raises:
            WouldBlock: this is a thread of an event loop, and all that it does would stand still.
            Closed: the loop has ended.
        """
        _expect_no_loop()

        async def answer() -> T:
            return await ask()

        coroutine = answer()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            self._say_closed()
        while not futures.wait([future], GLANCE).done:
            # Who waits for a loop that has ended would wait for ever.
            if self._loop.is_closed():
                self._say_closed()
        return future.result()

    def stream(self, ask: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
        """Yield what an async generator yields in the loop, each value as it comes.

        Arguments:
            ask: makes the generator.

        Raises:
            as ``wait``.
        """
        source = ask()

        async def following() -> list[T]:
            async for one in source:
                return [one]
            return []

        try:
            while given := self.wait(following):
                yield from given
        finally:
            self._close(source)

    def _close(self, generator: AsyncGenerator[Any, None]) -> None:
        """Close a generator of the loop; nothing waits for that, as this may be any thread."""

        async def close() -> None:
            # One that still runs, as its thread was interrupted, ends with the loop.
            with contextlib.suppress(RuntimeError):
                await generator.aclose()

        closing = close()
        try:
            asyncio.run_coroutine_threadsafe(closing, self._loop)
        except RuntimeError:
            # The loop is over, and all that was in it.
            closing.close()

    def _say_closed(self) -> NoReturn:
        raise Closed(
            "expected the event loop that this docket was opened in, found that it has ended; use the docket "
            "only as long as its worker runs"
        )


class Tied:
    """An object that lives in this process alone: it refuses to be handed to another one."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"expected values that can go to another process, found a {type(self).__name__}, which is tied "
            'to this one; leave out `runner = "process"`, or do without it in this task'
        )


def _expect_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WouldBlock(
        "expected a plain function in a thread of its own, found a running event loop, which this call would "
        "hold up; in async code take docket: Docket = CurrentDocket(), and await its calls"
    )
