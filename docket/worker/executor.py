"""From a claimed execution to an outcome: decode, admit, call, decide."""

from __future__ import annotations

import asyncio
import inspect
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from datetime import timedelta
from typing import Any

from ..annotations import get_signature
from ..docket import Docket
from ..errors import LeaseLost, SignatureMismatch, Undecodable, UnknownTask
from ..execution import Execution
from ..instrumentation.events import Observer
from ..lifecycle import DeadReason, ExecutionState, ParkedReason
from ..policy import TaskPolicy
from ..registry import TaskFunction
from ..storage.executions import from_milliseconds
from .outcome import (
    Cancelled,
    Completed,
    Dropped,
    Failed,
    Interrupted,
    Outcome,
    Parked,
    Retry,
    Superseded,
)
from .running import End, Run

current_execution: ContextVar[Execution] = ContextVar("docket_current_execution")

_ENDS: dict[End, Outcome] = {
    End.CANCELLED: Cancelled(),
    End.INTERRUPTED: Interrupted(),
    End.LOST: Superseded(),
}

_ENDINGS: dict[type[Outcome], str] = {
    Completed: "completed",
    Failed: "failed",
    Retry: "retried",
    Dropped: "struck",
    Parked: "parked",
    Cancelled: "cancelled",
    Interrupted: "interrupted",
    Superseded: "lost",
}


class Executor:
    """Runs tasks, each to exactly one outcome; nothing that a task does escapes from here.

    Arguments:
        docket: where the tasks are known, and the strikes.
        worker: the name of the worker, which executions show.
        observer: hears what happens.
        fallback: called in the place of tasks that are not known; without it they are parked.
    """

    def __init__(
        self,
        docket: Docket,
        worker: str,
        observer: Observer,
        fallback: TaskFunction | None = None,
    ) -> None:
        self._docket = docket
        self._worker = worker
        self._observer = observer
        self._fallback = fallback
        # Slots bound how many threads there are, not the pool: a slot is free again when a timeout
        # has given up on a thread that can not be stopped.
        self._threads = ThreadPoolExecutor(max_workers=1000, thread_name_prefix="docket-task")

    def close(self) -> None:
        """Take no more plain functions; those that run are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def outcome(self, run: Run, now: int) -> Outcome:
        """Run one execution and tell what it ended with.

        Arguments:
            run: what was claimed.
            now: the server's time in ms.
        """
        prepared = self._prepare(run)
        if not isinstance(prepared, Execution):
            return prepared
        claimed = run.claimed
        self._observer.started(
            claimed.task, prepared.call_repr, (now - claimed.due) / 1000, claimed.crashes
        )
        start = time.perf_counter()
        outcome = await self._attempt(run, prepared)
        seconds = time.perf_counter() - start
        self._observer.ended(claimed.task, prepared.call_repr, seconds, _ENDINGS[type(outcome)])
        return outcome

    def _prepare(self, run: Run) -> Execution | Outcome:
        """The execution, ready to be called, or the outcome of one that can not be."""
        claimed = run.claimed
        try:
            function = self._docket.registry.find(claimed.task)
        except UnknownTask:
            if self._fallback is None:
                self._observer.parked(claimed.task, claimed.key, ParkedReason.UNKNOWN_TASK.value)
                return Parked(ParkedReason.UNKNOWN_TASK)
            function = self._fallback
        try:
            execution = self._execution(run, function)
        except Undecodable as error:
            self._observer.undecodable(claimed.task, claimed.key, error)
            return Failed(error, DeadReason.UNDECODABLE)
        if self._docket.strike_list.is_stricken(execution):
            self._observer.struck(claimed.task, claimed.key)
            return Dropped("struck")
        return execution

    def _execution(self, run: Run, function: TaskFunction) -> Execution:
        claimed = run.claimed
        args, kwargs = self._docket.serializer.load_call(
            claimed.call, get_signature(function), context=claimed.task
        )
        execution = Execution(
            self._docket,
            function,
            args,
            kwargs,
            claimed.key,
            from_milliseconds(claimed.due),
            claimed.attempt,
            redelivered=claimed.crashes > 0,
            function_name=claimed.task,
            generation=claimed.generation,
            message_id=claimed.message,
        )
        execution.state = ExecutionState.RUNNING
        execution.fence = claimed.fence
        execution.worker = self._worker
        return execution

    async def _attempt(self, run: Run, execution: Execution) -> Outcome:
        policy = self._docket.registry.policy(execution.function_name)
        current_execution.set(execution)
        try:
            result = await self._call(run, execution, policy.timeout)
            return Completed(result, get_signature(execution.function).return_annotation)
        except asyncio.CancelledError:
            # Ended from outside; a task that cancels itself counts as cancelled, too.
            return _ENDS[run.end or End.CANCELLED]
        except LeaseLost:
            return Superseded()
        except Exception as error:
            return self._failure(execution, error, policy)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt of a task are its failure, not the worker's end.
            if isinstance(error, GeneratorExit):
                raise
            return self._failure(execution, error, policy)

    async def _call(self, run: Run, execution: Execution, timeout: timedelta | None) -> Any:
        calling = self._coroutine(run, execution)
        if timeout is None:
            return await calling
        return await asyncio.wait_for(calling, timeout.total_seconds())

    def _coroutine(self, run: Run, execution: Execution) -> Awaitable[Any]:
        function = execution.function
        try:
            if inspect.iscoroutinefunction(function):
                return checkpointed(function(*execution.args, **execution.kwargs), run)
            return self._in_thread(function, execution)
        except TypeError as error:
            raise SignatureMismatch(
                f"the stored arguments of {execution.key} do not fit "
                f"{execution.function_name}{get_signature(function)}: {error}"
            ) from error

    async def _in_thread(self, function: Callable[..., Any], execution: Execution) -> Any:
        context = copy_context()

        def call() -> Any:
            return context.run(function, *execution.args, **execution.kwargs)

        result = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        # A plain callable may wrap a coroutine function (functools.partial, a decorator).
        return await result if inspect.isawaitable(result) else result

    def _failure(
        self, execution: Execution, error: BaseException, policy: TaskPolicy
    ) -> Failed | Retry:
        if isinstance(error, SignatureMismatch):
            pause, reason = None, DeadReason.SIGNATURE
        else:
            pause, reason = policy.retry.pause_after(execution.attempt, error), DeadReason.FAILED
        seconds = None if pause is None else pause.total_seconds()
        self._observer.failed(execution.function_name, execution.call_repr, error, seconds)
        return Failed(error, reason) if pause is None else Retry(error, pause)


@types.coroutine
def checkpointed(coroutine: Coroutine[Any, Any, Any], run: Run) -> Generator[Any, Any, Any]:
    """Drive a coroutine, telling it ``LeaseLost`` where it would be told of a cancellation.

    asyncio can only throw ``CancelledError`` into a task. Between the task and its coroutine stands this
    generator, which says the truth instead when the lease is gone.
    """
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            awaited = step(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield awaited
            step = coroutine.send
        except asyncio.CancelledError as error:
            step = coroutine.throw
            value = _told(run) if run.end is End.LOST else error
        except BaseException as error:
            step, value = coroutine.throw, error


def _told(run: Run) -> LeaseLost:
    return LeaseLost(
        f"the lease of {run.claimed.task} {run.claimed.key} was lost: another worker has taken it over, "
        "and whatever this run ends with is refused; stop, and check writes to other systems with the "
        f"fence {run.claimed.fence}"
    )
