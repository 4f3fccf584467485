"""The calls that were too large to come along with a claim, read a slice at a time."""

from __future__ import annotations

import asyncio
from collections import deque

from ...storage.claims import SLICE_BYTES, Claimed, Claims
from ...storage.scripting.retrying import Backoff
from ..runs.slots import Run


class Loading:
    """The completion of runs that are held already, in the order in which they were claimed.

    On a slow line a reply with all calls of a claim would take longer than a reply is waited for; it
    would be asked for again, and never come.

    Arguments:
        exchange: where calls are read.
    """

    def __init__(self, exchange: Claims) -> None:
        self._exchange = exchange
        self._waiting: deque[tuple[Run, asyncio.Future[bool]]] = deque()
        self._reading: asyncio.Task[None] | None = None

    async def complete(self, run: Run) -> bool:
        """Wait until the call of a run is there; return False if another worker has taken the run over."""
        there: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((run, there))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="docket loading")
        return await there

    async def _read(self) -> None:
        backoff = Backoff(0.05, 1.4)
        try:
            while batch := self._next_slice():
                try:
                    await self._read_slice(batch)
                    backoff.reset()
                except Exception:
                    # The trade hears of a server that is away and reports it. A run must not wait for ever.
                    self._waiting.extendleft(reversed(batch))
                    await asyncio.sleep(backoff.next_pause())
        finally:
            self._reading = None

    async def _read_slice(self, batch: list[tuple[Run, asyncio.Future[bool]]]) -> None:
        calls = await self._exchange.read_calls([run.claimed for run, _ in batch])
        for (run, there), call in zip(batch, calls, strict=True):
            if call is not None:
                run.claimed = _with_call(run.claimed, call)
            if not there.done():
                there.set_result(call is not None)

    def _next_slice(self) -> list[tuple[Run, asyncio.Future[bool]]]:
        """Take the runs of the next reply; one that was stopped meanwhile no longer waits."""
        batch: list[tuple[Run, asyncio.Future[bool]]] = []
        size = 0
        while self._waiting:
            run, there = self._waiting[0]
            if batch and size + run.claimed.size > SLICE_BYTES:
                break
            self._waiting.popleft()
            if not there.done():
                batch.append((run, there))
                size += run.claimed.size
        return batch


def _with_call(claimed: Claimed, call: bytes) -> Claimed:
    # A call that was changed by hand has another size, and nothing is missing any more.
    return claimed._replace(call=call, size=len(call))
