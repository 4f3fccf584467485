"""From a claimed execution to an outcome: decode, admit, call, decide."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextvars import copy_context
from datetime import timedelta
from typing import Any, Protocol

from ...annotations import compact_signature
from ...calls.binding import Shape, bind, shape_of
from ...calls.outline import outline
from ...calls.registry import TaskFunction
from ...connection.errors import is_of_redis
from ...dependencies.base import (
    AdmissionBlocked,
    CompletionHandler,
    Dependency,
    FailureHandler,
    Runtime,
    TaskOutcome,
)
from ...dependencies.concurrency_limit import ConcurrencyBlocked
from ...dependencies.resolution import Resolution, step_into
from ...dependencies.shared import SharedScope
from ...dependencies.timeout import Timeout
from ...docket import Docket
from ...errors import CodecRefused, LeaseLost, ModelMismatch, SignatureMismatch, Undecodable
from ...execution import Execution, NextRun
from ...foundation.call_options import CallOptions
from ...foundation.lifecycle import DeadReason, ExecutionState, ParkedReason
from ...foundation.plain import plain
from ...foundation.units import from_due, from_milliseconds
from ...instrumentation.events import Describe, Observer
from ...instrumentation.tracing import Performing, incoming
from ...runners.process import Processes
from ...serialization import CODECS_KEY, place_of_call
from ...storage.claims import Claimed
from ...strikelist import Rule
from ..copies import leave_if_copied, refuse_to_wait
from .ends import Raised, ended
from .outcome import (
    Cancelled,
    Completed,
    Delayed,
    Dropped,
    Failed,
    HandledElsewhere,
    Interrupted,
    Outcome,
    Parked,
    Perpetuated,
    Retried,
    Superseded,
    Waiting,
)
from .plans import Plan, Plans
from .slots import End, Run
from .threads import Threads

BLOCKED_PAUSE = timedelta(milliseconds=100)
"""Pause after which an execution comes again that a gate keeps out without saying for how long."""

_NAMES = ("__name__", "__qualname__")
"""Attributes that a runtime may want to know of the function that it calls."""

_ENDS: dict[End, Outcome] = {
    End.CANCELLED: Cancelled(),
    End.INTERRUPTED: Interrupted(),
    End.LOST: Superseded(),
}

_ENDINGS: dict[type[Outcome], str] = {
    Completed: "completed",
    Failed: "failed",
    Retried: "retried",
    Perpetuated: "perpetuated",
    Delayed: "delayed",
    Waiting: "delayed",
    HandledElsewhere: "handled",
    Dropped: "dropped",
    Parked: "parked",
    Cancelled: "cancelled",
    Interrupted: "interrupted",
    Superseded: "lost",
}


def ordered(run: Run, error: BaseException, is_ending: bool) -> Outcome | None:
    """Return the outcome that was ordered, if an error is the answer to an order.

    None was ordered where a future was cancelled that the task waits for, or where the task cancels
    itself: then it has failed, like with any other error. What others ask of the task counts only when
    the whole event loop is told to end; the run is handed back then.

    Arguments:
        run: the run that has ended.
        error: the error that it has ended with.
        is_ending: whether all tasks of the event loop were cancelled.
    """
    if isinstance(error, LeaseLost):
        return Superseded()
    if not isinstance(error, asyncio.CancelledError):
        return None
    if run.end is not None:
        return _ENDS[run.end]
    return Interrupted() if is_ending and run.is_cancelled_by_others else None


class Host(Protocol):
    """The worker, as far as its executor and its tasks see it."""

    @property
    def name(self) -> str:
        """The name that executions show."""
        ...

    async def complete(self, run: Run) -> bool:
        """Read what a claim has not brought along; return False if another worker has taken the run over."""
        ...

    @property
    def consumer(self) -> str:
        """Its name in the consumer group, unique to one life."""
        ...

    @property
    def docket(self) -> Docket:
        """The docket, which knows the tasks and the strikes."""
        ...

    @property
    def dependencies(self) -> Mapping[str, Dependency[Any]]:
        """The dependencies that are wrapped around every task."""
        ...

    @property
    def redelivery_timeout(self) -> timedelta:
        """Time after which others take over what it holds, if it is silent."""
        ...

    @property
    def is_ending(self) -> bool:
        """True if all tasks of its event loop were cancelled, as at the end of ``asyncio.run``."""
        ...


class Executor:
    """The runner of tasks, each to exactly one outcome; nothing that a task does escapes from here.

    Arguments:
        host: the worker.
        observer: hears what happens.
        fallback: called in place of unknown tasks; without it they are parked.
        timer: gives seconds that only measure how long a run has taken.
    """

    def __init__(
        self,
        host: Host,
        observer: Observer,
        fallback: TaskFunction | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._host = host
        self._timer = timer
        self._docket = host.docket
        self._labels = {**host.docket.labels(), "docket.worker": host.name}
        self._plans = Plans(host.docket.registry)
        self._observer = observer
        self._fallback = fallback
        self._shared = SharedScope()
        # Slots bound how many threads there are: a run holds its slot until its thread has ended.
        self._threads = Threads()
        self._processes = Processes()

    async def close(self) -> None:
        """Undo what tasks have shared, and take no more plain functions; running ones are not waited for."""
        self._threads.shutdown()
        await self._processes.close()
        await self._shared.close()

    async def outcome(self, run: Run, now: int) -> Outcome:
        """Run one execution and return its outcome.

        Arguments:
            run: the claimed execution.
            now: the server's time in ms.
        """
        told = run.end
        if told is not None:
            return _ENDS[told]
        run.begin_work()
        end = await ended(self._outcome(run, now))
        if isinstance(end, Raised):
            # An argument that cannot be shown, say: a run without an outcome would be taken for a crash.
            return self._ordered(run, end.error) or Failed(end.error)
        return end

    def _ordered(self, run: Run, error: BaseException) -> Outcome | None:
        return ordered(run, error, self._host.is_ending)

    async def _outcome(self, run: Run, now: int) -> Outcome:
        if not run.claimed.is_complete and not await self._host.complete(run):
            return Superseded()
        claimed = run.claimed
        plan = self._plans.find(claimed.task)
        if plan is None:
            if self._fallback is None or await self._is_automatic_elsewhere(claimed):
                self._observer.parked(claimed.task, claimed.key, ParkedReason.UNKNOWN_TASK.value)
                return Parked(ParkedReason.UNKNOWN_TASK)
            plan = self._plans.instead_of_unknown(claimed.task, self._fallback)
        elif not plan.policy.can_read(claimed.schema):
            parked = Parked(ParkedReason.ARGS_SCHEMA, detail=str(claimed.schema))
            self._observer.parked(claimed.task, claimed.key, parked.why)
            return parked
        prepared = self._prepare(claimed, plan, now)
        if not isinstance(prepared, Execution):
            return prepared
        with Performing(prepared, self._labels) as performing:
            return await self._perform(run, plan, prepared, now, performing)

    async def _perform(
        self, run: Run, plan: Plan, prepared: Execution, now: int, performing: Performing
    ) -> Outcome:
        claimed = run.claimed
        describe = _once(prepared.call_repr)
        self._observer.started(
            claimed.task,
            describe,
            (now - claimed.due) / 1000,
            claimed.crashes,
            prepared.attempt,
        )
        run.execution = prepared
        start = time.perf_counter()
        attempt = _Attempt(prepared, plan, self._timer)
        outcome = await self._attempt(run, attempt)
        seconds = run.seconds = time.perf_counter() - start
        if isinstance(outcome, Perpetuated):
            self._observer.perpetuated(claimed.task, describe, seconds)
        self._observer.ended(claimed.task, describe, seconds, attempt.ending(outcome))
        performing.conclude(attempt.error)
        return outcome

    def _prepare(self, claimed: Claimed, plan: Plan, now: int) -> Execution | Outcome:
        """Return the execution, ready to be called, or the outcome of one that cannot be."""
        try:
            execution = self._execution(claimed, plan, now)
        except ModelMismatch as error:
            parked = Parked(ParkedReason.SIGNATURE, detail=outline(plan.function))
            self._observer.parked(claimed.task, claimed.key, f"{parked.why} ({error})")
            return parked
        except CodecRefused:
            parked = Parked(ParkedReason.CODEC, detail=CODECS_KEY)
            self._observer.parked(claimed.task, claimed.key, parked.why)
            return parked
        except Undecodable as error:
            self._observer.undecodable(claimed.task, claimed.key, error)
            return Failed(error, DeadReason.UNDECODABLE)
        rule = self._docket.strike_list.find(execution)
        if rule is not None:
            return self._struck(claimed, rule)
        return execution

    def _struck(self, claimed: Claimed, rule: Rule) -> Outcome:
        self._observer.struck(claimed.task, claimed.key)
        if rule.action == "drop":
            return Dropped("struck")
        if rule.delay is not None:
            return Delayed("struck", rule.delay)
        self._observer.parked(claimed.task, claimed.key, ParkedReason.STRUCK.value)
        return Parked(ParkedReason.STRUCK, rule.identity)

    async def _is_automatic_elsewhere(self, claimed: Claimed) -> bool:
        """Return True if it looks like a newer worker's automatic task, which no fallback must swallow."""
        if claimed.key != claimed.task:
            return False
        return bool(await self._docket.task_workers(claimed.task))

    def _execution(self, claimed: Claimed, plan: Plan, now: int) -> Execution:
        args, kwargs = self._docket.serializer.load_call(
            self._brought_up(claimed, plan),
            plan.signature,
            context=place_of_call(claimed.task, claimed.key),
        )
        execution = Execution(
            self._docket,
            plan.function,
            args,
            kwargs,
            claimed.key,
            from_due(claimed.due, claimed.when),
            claimed.attempt,
            incoming(claimed.trace),
            redelivered=claimed.crashes > 0,
            function_name=claimed.task,
            generation=claimed.generation,
            message_id=claimed.message,
        )
        execution.state = ExecutionState.RUNNING
        execution.queue = claimed.queue
        execution.options = CallOptions.read(claimed.options)
        execution.fence = claimed.fence
        execution.slot = claimed.slot or None
        execution.worker = self._host.name
        execution.consumer = self._host.consumer
        execution.identity = claimed.identity
        execution.started_at = from_milliseconds(now)
        return execution

    def _brought_up(self, claimed: Claimed, plan: Plan) -> bytes:
        """Return the arguments in the shape that the task has now."""
        policy = plan.policy
        if claimed.schema == policy.args_schema or policy.upcast is None:
            return claimed.call
        serializer = self._docket.serializer
        place = place_of_call(claimed.task, claimed.key)
        written = serializer.is_written(claimed.call)
        # What is written becomes what it is meant to be when it has the shape of now.
        signature = None if written else plan.signature
        args, kwargs = serializer.load_call(claimed.call, signature, context=place)
        try:
            args, kwargs = policy.upcast(claimed.schema, args, kwargs)
            return serializer.dump_call(
                tuple(args), dict(kwargs), signature, context=place, written=written
            )
        except Exception as error:
            raise Undecodable(
                f"expected the arguments of {claimed.task!r} in the shape {policy.args_schema}; its upcast "
                f"could not bring them up from {claimed.schema}: {type(error).__name__}: {error}"
            ) from error

    async def _attempt(self, run: Run, attempt: _Attempt) -> Outcome:
        # The context is the run's own, and ends with it.
        step_into(self._host, attempt.execution)
        self._shared.step_in()
        end = await ended(self._work(run, attempt))
        if not isinstance(end, Raised):
            return end
        if isinstance(end.error, AdmissionBlocked):
            return self._blocked(attempt.execution, end.error)
        # SystemExit and KeyboardInterrupt of a task are its failure, not the worker's end.
        return self._ordered(run, end.error) or await self._failed(run, attempt, end.error)

    async def _work(self, run: Run, attempt: _Attempt) -> Outcome:
        execution, plan = attempt.execution, attempt.plan
        if plan.is_bare and not self._host.dependencies:
            result = await self._call(run, attempt, execution.args, {})
            return Completed(result, plan.returns)
        attempt.resolution = Resolution(self._host, execution, plan.instead)
        async with attempt.resolution as resolution:
            result = await self._call(run, attempt, resolution.args, resolution.arguments)
            handler = attempt.role(CompletionHandler)
            completed = Completed(result, plan.returns)
            if handler and await handler.on_complete(execution, attempt.outcome(result=result)):
                return self._following(execution, completed)
            return completed

    def _call(
        self, run: Run, attempt: _Attempt, args: tuple[Any, ...], resolved: dict[str, Any]
    ) -> Awaitable[Any]:
        execution = attempt.execution
        kwargs = {**execution.kwargs, **resolved} if resolved else execution.kwargs
        runtime = attempt.runtime
        if runtime is None:
            return self._coroutine(run, attempt, args, kwargs)

        @functools.wraps(execution.function, _NAMES, ())
        def call(*args: Any, **kwargs: Any) -> Awaitable[Any]:
            return self._coroutine(run, attempt, args, kwargs)

        return runtime.run(execution, call, args, kwargs)

    def _coroutine(
        self, run: Run, attempt: _Attempt, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Awaitable[Any]:
        execution = attempt.execution
        function = execution.function
        try:
            if attempt.plan.is_coroutine:
                return checkpointed(function(*args, **kwargs), run)
            # With a plain function, a call that fails looks like one that cannot be made.
            bind(execution.function_name, function, args, kwargs)
            if attempt.plan.policy.in_process:
                return self._processes.call(execution.function_name, function, args, kwargs)
            return self._in_thread(run, function, args, kwargs)
        except TypeError as error:
            raise SignatureMismatch(
                f"the stored arguments of {plain(execution.key)} do not fit "
                f"{execution.function_name}({compact_signature(attempt.plan.signature)}): {error}"
            ) from error

    async def _in_thread(
        self,
        run: Run,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        context = copy_context()
        original = os.getpid()

        def call() -> Any:
            run.thread = threading.get_ident()
            try:
                result = context.run(function, *args, **kwargs)
                leave_if_copied(original)
                return result
            except BaseException as error:
                leave_if_copied(original, error)
                # As a value: a future takes no StopIteration before Python 3.12, and would wait for ever.
                return Raised(error)
            finally:
                run.thread = None

        thread = asyncio.get_running_loop().run_in_executor(self._threads, call)
        result = await until_ended(thread, run.until_given_up())
        if isinstance(result, Raised):
            raise result.error
        # A plain callable may wrap a coroutine function (functools.partial, a decorator).
        return await result if inspect.isawaitable(result) else result

    def _blocked(self, execution: Execution, block: AdmissionBlocked) -> Outcome:
        if isinstance(block, ConcurrencyBlocked):
            return Waiting(block.concurrency_key, block.max_concurrent, block.definition)
        if block.handled:
            return HandledElsewhere()
        pause = block.retry_delay or BLOCKED_PAUSE
        self._observer.held_back(
            execution.function_name,
            execution.call_repr,
            block.reason,
            pause.total_seconds() if block.reschedule else None,
        )
        if not block.reschedule:
            return Dropped(block.reason)
        return Delayed(block.reason, pause, was_let_in=bool(execution.admitted_by))

    async def _failed(self, run: Run, attempt: _Attempt, error: BaseException) -> Outcome:
        """Return what follows a failure: another attempt, the next run of a perpetual task, or nothing."""
        execution = attempt.execution
        attempt.error = error
        outcome = await ended(self._after_failure(attempt, error))
        if isinstance(outcome, Raised):
            trouble = outcome.error
            if trouble is not error:
                trouble.__context__ = error
            outcome = self._ordered(run, trouble) or self._unarranged(trouble)
        if isinstance(outcome, Parked):
            self._observer.parked(
                execution.function_name, execution.key, f"{outcome.why} ({error})"
            )
            return outcome
        seconds = None
        if isinstance(outcome, Retried):
            seconds = outcome.next.after.total_seconds()
        elif isinstance(outcome, Delayed):
            seconds = outcome.pause.total_seconds()
        self._observer.failed(execution.function_name, execution.call_repr, error, seconds)
        return outcome

    def _unarranged(self, trouble: BaseException) -> Outcome:
        """Return the outcome of a run whose handlers could not say what follows.

        Where Redis was in their way, the run comes again: a chain must not end because of that.
        """
        if not is_of_redis(trouble):
            return Failed(trouble)
        return Delayed("redis", self._host.redelivery_timeout)

    async def _after_failure(self, attempt: _Attempt, error: BaseException) -> Outcome:
        execution = attempt.execution
        if isinstance(error, SignatureMismatch):
            return await self._unfit(attempt, error)
        ended = attempt.outcome(exception=error)
        if await self._is_retried(attempt, ended):
            return Retried(error, execution.next_run) if execution.next_run else HandledElsewhere()
        handler = attempt.role(CompletionHandler)
        if handler and await handler.on_complete(execution, ended):
            return self._following(execution, Failed(error))
        return Failed(error)

    async def _unfit(self, attempt: _Attempt, error: SignatureMismatch) -> Outcome:
        """Return the outcome of a call that does not fit here: another release at work may take it."""
        execution, function = attempt.execution, attempt.plan.function
        args, kwargs = execution.args, execution.kwargs
        if not shape_of(function).fits(args, kwargs):
            workers, silence = self._docket.storage.workers, self._docket.silence
            shapes = await workers.shapes(execution.function_name, silence, fallbacks=False)
            if any(Shape.read(shape).fits(args, kwargs) for shape in shapes):
                return Parked(ParkedReason.SIGNATURE, detail=outline(function))
        return Failed(error, DeadReason.SIGNATURE)

    async def _is_retried(self, attempt: _Attempt, ended: TaskOutcome) -> bool:
        policy, execution = attempt.plan.policy.retry, attempt.execution
        if policy is None:
            handler = attempt.role(FailureHandler)
            return handler is not None and await handler.handle_failure(execution, ended)
        assert ended.exception is not None
        pause = policy.pause_after(execution.attempt, ended.exception)
        if pause is not None:
            execution.next_run = NextRun(at=None, after=pause, attempt=execution.attempt + 1)
        return pause is not None

    def _following(self, execution: Execution, ended: Completed | Failed) -> Outcome:
        """Return the outcome that a handler has arranged."""
        if execution.next_run is None:
            return HandledElsewhere()
        return Perpetuated(execution.next_run, ended, execution.successor())


async def until_ended(thread: asyncio.Future[Any], given_up: asyncio.Future[None]) -> Any:
    """Return what a thread returns; when cancelled meanwhile, raise that once the thread has ended.

    Nothing stops a thread. A run that ended before its thread would give slots to others while the body still
    runs, and a retry would run beside it. Only a worker whose drain is over waits no longer: it promises to
    be gone by then, and hands the run back.

    Arguments:
        thread: what the thread returns, later.
        given_up: done when the worker waits no longer.
    """
    cancellation: asyncio.CancelledError | None = None
    while not (thread.done() or given_up.done()):
        try:
            await asyncio.wait([thread, given_up], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None and thread.done():
        return thread.result()
    # Nothing looks at it any more, and the loop may be closed when the thread ends.
    thread.cancel()
    raise cancellation or asyncio.CancelledError


class _Attempt:
    """One try of one execution: its plan, and what has been resolved for it so far."""

    def __init__(self, execution: Execution, plan: Plan, timer: Callable[[], float]) -> None:
        self.execution = execution
        self.plan = plan
        self.resolution: Resolution | None = None
        self.error: BaseException | None = None
        self._timer = timer
        self._start = timer()

    def ending(self, outcome: Outcome) -> str:
        """Return the observers' word for its end: a run that raised has failed, even if something follows."""
        if self.error is not None and not isinstance(outcome, Retried):
            return "failed"
        return _ENDINGS[type(outcome)]

    def role(self, kind: type[Any]) -> Any:
        """Return the dependency that plays a role; None if there is none."""
        return None if self.resolution is None else self.resolution.role(kind)

    @property
    def runtime(self) -> Any:
        """The runtime that calls it: the call goes before the configuration, and both before the code."""
        timeout = self.execution.options.timeout or self.plan.policy.timeout
        runtime = self.role(Runtime)
        if timeout is None:
            return runtime
        if not isinstance(runtime, Timeout):
            return Timeout(timeout)
        # The one that the task has, and may ask how much time is left.
        runtime.base = timeout
        return runtime

    def outcome(self, result: Any = None, exception: BaseException | None = None) -> TaskOutcome:
        """Return its outcome, in the words of the handlers."""
        duration = timedelta(seconds=self._timer() - self._start)
        return TaskOutcome(duration, result, exception)


@types.coroutine
def checkpointed(coroutine: Coroutine[Any, Any, Any], run: Run) -> Generator[Any, Any, Any]:
    """Drive a coroutine, and raise ``LeaseLost`` in it in place of a cancellation if its lease is lost.

    asyncio can only throw ``CancelledError`` into a task. Between the task and its coroutine stands this
    generator, which says the truth instead when the lease is gone.
    """
    original = os.getpid()
    run.coroutine = coroutine
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            awaited = step(value)
        except StopIteration as stop:
            leave_if_copied(original)
            return stop.value
        except BaseException as error:
            leave_if_copied(original, error)
            raise
        refuse_to_wait(original)
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
        f"the lease of {run.claimed.task} {plain(run.claimed.key)} was lost: another worker has taken it "
        "over, and whatever this run ends with is refused; stop, and check writes to other systems with the "
        f"fence {run.claimed.fence}"
    )


def _once(describe: Describe) -> Describe:
    """Return a description that is made when it is needed, and only once: each line of a run has it."""
    said = ""

    def describe_once() -> str:
        nonlocal said
        if not said:
            said = describe()
        return said

    return describe_once
