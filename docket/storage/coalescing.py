"""Adds of many tasks in one moment share a round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .executions import NewExecution, Scheduled

TOGETHER = 1 << 20
"""Bytes of calls that go out together, unless a single one is larger: all its callers wait for a batch."""

Mode: TypeAlias = Literal["add", "replace"]
Send: TypeAlias = "Callable[[Mode, Sequence[NewExecution]], Awaitable[list[Scheduled]]]"


class _Waiting(NamedTuple):
    mode: Mode
    execution: NewExecution
    answer: asyncio.Future[Scheduled]


class Coalescing:
    """The sender of executions: one goes at once, and those that come while it is under way go together.

    A caller that adds one after the other waits for nothing. Of many tasks that add in the same turn of the
    event loop the first one goes alone, and all others together, in their order; each hears its own answer.

    Arguments:
        send: schedules a batch; its answers are in the same order.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._under_way = 0
        self._waiting: list[_Waiting] = []
        self._batches: set[asyncio.Task[None]] = set()

    async def schedule(self, mode: Mode, execution: NewExecution) -> Scheduled:
        """Schedule one; what ``send`` raises for the batch that it went with is raised here.

        A caller that is cancelled before it went out has scheduled nothing; after that it is unknown.
        """
        if not self._under_way:
            self._under_way += 1
            try:
                (scheduled,) = await self._send(mode, [execution])
            finally:
                self._under_way -= 1
            return scheduled
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._depart)
        self._waiting.append(_Waiting(mode, execution, loop.create_future()))
        return await self._waiting[-1].answer

    def _depart(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in _batches(one for one in waiting if not one.answer.done()):
            self._under_way += 1
            task = asyncio.create_task(self._travel(batch), name="docket adds")
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _travel(self, batch: Sequence[_Waiting]) -> None:
        try:
            answers = await self._send(batch[0].mode, [one.execution for one in batch])
        except Exception as error:
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
        else:
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
        finally:
            self._under_way -= 1
            for one in batch:
                one.answer.cancel()


def _batches(waiting: Iterator[_Waiting]) -> Iterator[list[_Waiting]]:
    """Yield the executions that go out together: neighbours of one mode, up to ``TOGETHER``."""
    for _, neighbours in groupby(waiting, lambda one: one.mode):
        batch: list[_Waiting] = []
        size = 0
        for one in neighbours:
            size += len(one.execution.call)
            if batch and size > TOGETHER:
                yield batch
                batch, size = [], len(one.execution.call)
            batch.append(one)
        yield batch
