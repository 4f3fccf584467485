"""The way to a docket of a program that does not await: opened when it is first used, in each process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

from typing_extensions import override

from ..docket import Docket
from ..errors import Closed
from .bridge import Bridge, expect_no_loop, result_of
from .loop_thread import LoopThread, has_failed
from .process import process

T = TypeVar("T")


class OwnBridge(Bridge):
    """A bridge to a docket that lives in the loop thread of each process that uses it.

    Arguments:
        docket: the docket; it is entered and left here.
    """

    def __init__(self, docket: Docket) -> None:
        self._docket = docket
        self._thread: LoopThread | None = None
        """Thread in which it was opened last: that of the parent, in a fork that has not used it yet."""
        self._opening: futures.Future[None] | None = None
        self._closing: futures.Future[None] | None = None
        self._is_closed = False

    @override
    def reach(self) -> asyncio.AbstractEventLoop:
        thread, opening = self._thread, self._opening
        if thread is None or thread is not process.thread or opening is None or has_failed(opening):
            thread, opening = self._begin()
        result_of(opening, thread.loop)
        return thread.loop

    @override
    def call(self, function: Callable[[], T]) -> T:
        # Nothing else uses this docket in its loop but the calls of this program.
        return function()

    @override
    def open(self) -> None:
        expect_no_loop()
        self._is_closed = False
        self.reach()

    @override
    def close(self) -> None:
        expect_no_loop()
        with process.lock:
            self._is_closed = True
            opening, self._opening = self._opening, None
            thread = self._thread
            # What a fork has inherited is open in its parent only.
            if thread is None or thread is not process.thread or opening is None:
                return
            self._closing = thread.begin(thread.close(self._docket, opening))
        result_of(self._closing, thread.loop)

    def _begin(self) -> tuple[LoopThread, futures.Future[None]]:
        """Begin to open it in this process, unless another thread has."""
        with process.lock:
            if self._is_closed:
                raise Closed(
                    f"expected an open docket, found that {self._docket.name!r} was closed; open it again: "
                    "with docket: ..."
                )
            thread = process.running()
            if thread is not self._thread:
                if self._thread is not None:
                    process.keep(self._docket.begin_anew())
                self._opening = self._closing = None
                # Last, as other threads look at it without the lock.
                self._thread = thread
            if self._opening is None or has_failed(self._opening):
                self._opening = thread.begin(thread.open(self._docket, self._closing))
            return thread, self._opening
