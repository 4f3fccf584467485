"""The way from a thread into an event loop, and back with the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent import futures
from typing import Any, Final, NoReturn, TypeVar

from ..errors import Closed, OpenedElsewhere, WouldBlock

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
        self._pid = os.getpid()

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
            OpenedElsewhere: this is a fork of the process that the loop runs in.
        """
        expect_no_loop()
        return wait_in(self.reach(), ask)

    def call(self, function: Callable[[], T]) -> T:
        """Return what a plain function has come to in the loop, whose state it may change.

        Raises:
            as ``wait``.
        """

        async def called() -> T:
            return function()

        return self.wait(called)

    def open(self) -> None:
        """Open the docket, where that is not a matter of the loop's."""

    def close(self) -> None:
        """Close the docket, where it was opened here."""

    def reach(self) -> asyncio.AbstractEventLoop:
        """Return the loop.

        Raises:
            OpenedElsewhere: it runs in another process.
        """
        if os.getpid() != self._pid:
            raise OpenedElsewhere(
                f"expected the process that this docket was opened in ({self._pid}), found its fork "
                f"({os.getpid()}); open one here: with SyncDocket(name, url) as docket"
            )
        return self._loop

    def stream(self, ask: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
        """Yield what an async generator yields in the loop, each value as it comes.

        Arguments:
            ask: makes the generator.

        Raises:
            as ``wait``.
        """
        expect_no_loop()
        loop = self.reach()
        source = ask()

        async def following() -> list[T]:
            async for one in source:
                return [one]
            return []

        try:
            while given := self.wait(following):
                yield from given
        finally:
            _close(source, loop)


class Tied:
    """An object that lives in this process alone: it refuses to be handed to another one."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"expected values that can go to another process, found a {type(self).__name__}, which is tied "
            'to this one; leave out `runner = "process"`, or do without it in this task'
        )


def wait_in(loop: asyncio.AbstractEventLoop, ask: Callable[[], Awaitable[T]]) -> T:
    """Return what a loop of another thread has come to, or raise that.

    Raises:
        Closed: the loop has ended.
    """

    async def answer() -> T:
        return await ask()

    coroutine = answer()
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise _closed() from None
    return result_of(future, loop)


def result_of(future: futures.Future[T], loop: asyncio.AbstractEventLoop) -> T:
    """Return what a loop of another thread has come to once it has, or raise that.

    Raises:
        Closed: the loop has ended before.
    """
    while not future.done():
        # Who waits for a loop that has ended would wait for ever.
        if loop.is_closed():
            raise _closed()
        futures.wait([future], GLANCE)
    return future.result()


def _close(generator: AsyncGenerator[Any, None], loop: asyncio.AbstractEventLoop) -> None:
    """Close a generator of a loop; nothing waits for that, as this may be any thread."""

    async def close() -> None:
        # One that still runs, as its thread was interrupted, ends with the loop.
        with contextlib.suppress(RuntimeError):
            await generator.aclose()

    closing = close()
    try:
        asyncio.run_coroutine_threadsafe(closing, loop)
    except RuntimeError:
        # The loop is over, and all that was in it.
        closing.close()


def _closed() -> Closed:
    return Closed(
        "expected the event loop that this docket was opened in, found that it has ended; use the docket "
        "only as long as its worker or its program runs"
    )


def expect_no_loop() -> None:
    """Refuse to wait where an event loop runs.

    Raises:
        WouldBlock: one runs in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WouldBlock(
        "expected a plain function in a thread of its own, found a running event loop, which this call would "
        "hold up; in async code use Docket and await its calls: async with Docket(...) as docket, and in a "
        "task docket: Docket = CurrentDocket()"
    )
