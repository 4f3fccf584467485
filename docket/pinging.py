"""The time from an add to an outcome, queue by queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from .docket import Docket
from .execution import Execution
from .foundation.lifecycle import Disposition, ExecutionState
from .foundation.uuid7 import new_key
from .storage.executions import NewExecution, queue_argument
from .storage.scripting.nonces import FRESH

TASK: Final = "sleep"
"""Task that a ping adds: every worker knows it, and for no time at all it does nothing."""

PATIENCE: Final = timedelta(seconds=10)
"""Time that an answer is waited for by default."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The outcome of one ping.

    Arguments:
        queue: the queue that it was added to.
        took: how long it took from the add to the recorded outcome, by the server's clock; None if it has
            not completed in time.
        waited: the part of that in which it waited for a worker.
        worker: the worker that ran it.
        trouble: why it has not completed; empty if it has.
        advice: what can be done about that.
    """

    queue: str
    took: timedelta | None = None
    waited: timedelta | None = None
    worker: str | None = None
    trouble: str = ""
    advice: str = ""


async def ping(
    docket: Docket, queues: Sequence[str] = (), *, timeout: timedelta = PATIENCE
) -> list[Pong]:
    """Add one call that does nothing to each queue, and wait for how they end.

    One that has not ended in time is cancelled, and says why it has not.

    Arguments:
        docket: the docket.
        queues: where to add them; left out, the queues that living workers serve and those where work is due.
        timeout: how long each may take.

    Raises:
        ServerUnavailable: the server did not answer in time.

    Example:
        >>> [pong] = await ping(docket, ["default"])
        >>> pong.took
        datetime.timedelta(microseconds=4000)
    """
    names = dict.fromkeys(queues) or await _queues(docket)
    return await asyncio.gather(*(_ping(docket, name, timeout) for name in names))


async def _queues(docket: Docket) -> list[str]:
    """Return the queues that are served, or should be: the default queue if there are none."""
    storage = docket.storage
    due = (await storage.executions.backlog()).due
    served = await storage.workers.served(docket.silence)
    return sorted({*served, *(name for name, count in due.items() if count)}) or ["default"]


async def _ping(docket: Docket, queue: str, timeout: timedelta) -> Pong:
    key = f"ping-{new_key()}"
    call = docket.dump_call(TASK, key, (0.0,), {})
    new = NewExecution(key, FRESH, 0, TASK, call, queue_argument(queue))
    (said,) = await docket.storage.executions.schedule([new])
    if said.disposition is Disposition.FAILED:
        return Pong(queue, trouble=f"It was not accepted: {said.error}.")
    execution = await docket.get_execution(key)
    if execution is None:
        advice = f"`docket restore {TASK}` takes the strike back"
        return Pong(queue, trouble=f"A strike forbids the task {TASK}.", advice=advice)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_ended(execution), timeout.total_seconds())
    await execution.sync()
    began, ended = execution.started_at, execution.completed_at
    if execution.state is ExecutionState.COMPLETED and began and ended:
        due = execution.when
        return Pong(queue, ended - due, began - due, execution.worker)
    why = await docket.insights.explain(key)
    await docket.cancel(key)
    trouble, advice = (why.sentence, why.advice) if why else ("Its record is gone.", "")
    return Pong(queue, worker=execution.worker, trouble=trouble, advice=advice)


async def _ended(execution: Execution) -> None:
    """Wait until it has ended."""
    async with contextlib.aclosing(execution.subscribe()) as events:
        async for _ in events:
            pass
