"""An execution: one call of a task, from the moment it is scheduled until its record expires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, Protocol, TypedDict

from typing_extensions import Self

from .annotations import get_signature, logged_parameters
from .errors import DocketError, ServerRefused, Undecodable
from .instrumentation import tracing
from .lifecycle import Disposition, ExecutionState
from .registry import Registry, TaskFunction, name_of
from .serialization import Serializer
from .storage.executions import (
    NewExecution,
    Record,
    Scheduled,
    from_milliseconds,
    to_milliseconds,
)
from .storage.keys import DEFAULT_QUEUE
from .storage.progress import ProgressRecord, read_progress
from .storage.storage import Storage
from .storage.subscriptions import RESYNC

__all__ = [
    "Disposition",
    "Execution",
    "ExecutionCancelled",
    "ExecutionProgress",
    "ExecutionState",
    "ProgressEvent",
    "StateEvent",
    "TaskCall",
    "TaskFunction",
]


class ExecutionCancelled(Exception):
    """The execution whose result was asked for has been cancelled."""


class StateEvent(TypedDict):
    """An execution has entered a state; times are ISO texts."""

    type: Literal["state"]
    key: str
    state: str
    when: str
    worker: str | None
    started_at: str | None
    completed_at: str | None
    error: str | None


class ProgressEvent(TypedDict):
    """An execution has come further."""

    type: Literal["progress"]
    key: str
    current: int | None
    total: int
    message: str | None
    updated_at: str | None


class Home(Protocol):
    """What an execution needs of the docket that it lives in."""

    @property
    def name(self) -> str:
        """The name of the docket."""
        ...

    @property
    def storage(self) -> Storage:
        """What Redis holds."""
        ...

    @property
    def registry(self) -> Registry:
        """The tasks that are known here."""
        ...

    @property
    def serializer(self) -> Serializer:
        """How arguments and results become bytes."""
        ...


@dataclass(frozen=True)
class TaskCall:
    """A call that is not scheduled yet: what ``Docket.call`` makes and ``add_many`` takes."""

    function: TaskFunction
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: str
    when: datetime
    function_name: str | None = None
    immediate: bool = False
    """Due at once, by the server's clock; ``when`` is then only what the caller's clock said."""


@dataclass(frozen=True, slots=True)
class NextRun:
    """The run that follows one: recorded in the place of its end, together with it.

    Arguments:
        at: when it is due; None leaves that to ``after``.
        after: how long after the end of this run it is due.
        attempt: which attempt it is.
        args: its positional arguments; None leaves all arguments as they are.
        kwargs: its keyword arguments.
        is_perpetual: whether it is due to the task's own rhythm, rather than to a failure.
    """

    at: datetime | None
    after: timedelta
    attempt: int
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None
    is_perpetual: bool = False


class Execution:
    """One call of a task, known by its key.

    What stands in it is what was known when it was scheduled, claimed or last ``sync``\\ ed.
    """

    def __init__(
        self,
        docket: Home,
        function: TaskFunction,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        key: str,
        when: datetime,
        attempt: int,
        trace_context: tracing.Context | None = None,
        redelivered: bool = False,
        function_name: str | None = None,
        generation: int = 0,
        message_id: bytes | None = None,
    ) -> None:
        self._home = docket
        self._function = function
        self._function_name = function_name or name_of(function)
        self._args = args
        self._kwargs = kwargs
        self._key = key
        self._trace_context = trace_context
        self._redelivered = redelivered
        self._generation = generation
        self._progress: ExecutionProgress | None = None
        self.when = when
        self.attempt = attempt
        self.message_id = message_id
        self.state = ExecutionState.SCHEDULED
        self.disposition = Disposition.LOADED
        self.schedule_exception: Exception | None = None
        self.fence: int | None = None
        self.worker: str | None = None
        self.started_at: datetime | None = None
        self.completed_at: datetime | None = None
        self.error: str | None = None
        self.reason: str | None = None
        self.result_key: str | None = None
        self.queue = DEFAULT_QUEUE
        self.next_run: NextRun | None = None
        """What a handler has decided to follow the run that is under way."""

    @classmethod
    def of(cls, docket: Home, record: Record) -> Self:
        """The execution that a record tells of.

        A task that is not known here, or arguments that can not be read, do not hide it: its function
        then only names it, and its arguments are empty.
        """
        function = docket.registry.tasks.get(record.task) or _unknown(record.task)
        try:
            args, kwargs = docket.serializer.load_call(
                record.call, get_signature(function), context=record.task
            )
        except Undecodable:
            args, kwargs = (), {}
        execution = cls(
            docket,
            function,
            args,
            kwargs,
            record.key,
            record.due,
            record.attempt,
            tracing.incoming(record.trace),
            redelivered=record.crashes > 0,
            function_name=record.task,
            generation=record.generation,
        )
        execution._take(record)
        return execution

    def __repr__(self) -> str:
        return f"<Execution {self.call_repr()} {self.state.value}>"

    @property
    def docket(self) -> Home:
        """The docket that it lives in."""
        return self._home

    @property
    def function(self) -> TaskFunction:
        """The task."""
        return self._function

    @property
    def function_name(self) -> str:
        """The name of the task."""
        return self._function_name

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return self._args

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments."""
        return self._kwargs

    @property
    def key(self) -> str:
        """What it is known by: unique among the live executions of its docket."""
        return self._key

    @property
    def trace_context(self) -> tracing.Context | None:
        """The trace that it was added in."""
        return self._trace_context

    def incoming_span_links(self) -> list[tracing.Link]:
        """The link to the span that it was added in; none if there was none."""
        return tracing.links_to(self._trace_context)

    def general_labels(self) -> Mapping[str, str]:
        """What metrics about it are labelled with: bounded by how many tasks there are."""
        return {"docket.task": self._function_name}

    def specific_labels(self) -> Mapping[str, str | int]:
        """What spans and logs about it carry: its own values, too many for metrics."""
        return {
            "docket.task": self._function_name,
            "docket.key": self._key,
            "docket.when": self.when.isoformat(),
            "docket.attempt": self.attempt,
        }

    @property
    def redelivered(self) -> bool:
        """Whether a worker has lost it before."""
        return self._redelivered

    @property
    def generation(self) -> int:
        """How often its key has been scheduled: grows with each replacement, retry and renewal."""
        return self._generation

    @property
    def progress(self) -> ExecutionProgress:
        """How far it has come."""
        if self._progress is None:
            self._progress = ExecutionProgress(self._home, self._key)
        return self._progress

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments that were given, by the names of the parameters.

        Raises:
            TypeError: they do not fit the task.
        """
        bound = get_signature(self._function).bind_partial(*self._args, **self._kwargs)
        for name, parameter in bound.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD and name in bound.arguments:
                bound.arguments.update(bound.arguments.pop(name))
        return bound.arguments

    def get_argument(self, parameter: str) -> Any:
        """The argument that was given for a parameter.

        Raises:
            KeyError: none was given; defaults do not count.
            TypeError: the arguments do not fit the task.
        """
        return self.arguments[parameter]

    def call_repr(self) -> str:
        """The call as logs show it; only arguments annotated with ``Logged`` are visible."""
        logged = logged_parameters(self._function)
        try:
            arguments = self.arguments
        except TypeError:
            arguments = dict.fromkeys(self._kwargs)
        shown = ", ".join(
            f"{name}={logged[name].format(value) if name in logged else '...'}"
            for name, value in arguments.items()
        )
        return f"{self._function_name}({shown}){{{self._key}}}"

    def learn(self, answer: Scheduled) -> None:
        """Take over what became of the call that scheduled it."""
        self.disposition = answer.disposition
        self._generation = answer.generation
        if answer.state is not None:
            self.state = answer.state
        if answer.disposition is Disposition.FAILED:
            self.schedule_exception = ServerRefused(
                f"the server refused to schedule {self._function_name} {self._key}: {answer.error}"
            )

    async def sync(self) -> None:
        """Read how it stands now."""
        (record,) = await self._home.storage.executions.read(self._key)
        if record is not None:
            self._take(record)

    async def get_result(
        self, *, timeout: timedelta | None = None, deadline: datetime | None = None
    ) -> Any:
        """Wait until it has ended, and give what the task returned.

        Returns None as well when nothing was stored: the record has expired, or results are not kept.

        Arguments:
            timeout: how long to wait; None is without end.
            deadline: until when to wait.

        Raises:
            TimeoutError: it has not ended in time.
            ExecutionCancelled: it was cancelled.
            Exception: the very error that the task failed with.

        Example:
            >>> execution = await docket.add(greet)("Jane")
            >>> greeting = await execution.get_result(timeout=timedelta(seconds=5))
        """
        if timeout is not None and deadline is not None:
            raise ValueError("Cannot specify both timeout and deadline")
        if deadline is not None:
            timeout = deadline - datetime.now(timezone.utc)
        await self.sync()
        if self.state.is_live:
            await self._until_finished(timeout)
        return await self._outcome()

    async def subscribe(
        self, *, ready: asyncio.Event | None = None
    ) -> AsyncGenerator[StateEvent | ProgressEvent, None]:
        """The state and the progress as they are, then every change.

        Arguments:
            ready: set as soon as nothing that happens from now on can be missed.
        """
        keys = self._home.storage.keys
        states, progress = keys.state(self._key), keys.progress(self._key)
        async with self._home.storage.subscriptions.listen(states, progress) as listener:
            while True:
                channel, event = await listener.next()
                if channel == states:
                    yield await self._state_event(event)
                    continue
                yield await self.progress.event(event)
                if ready is not None:
                    ready.set()

    async def _state_event(self, event: bytes) -> StateEvent:
        if event == RESYNC:
            await self.sync()
        else:
            self._hear(event)
        return StateEvent(
            type="state",
            key=self._key,
            state=self.state.value,
            when=self.when.isoformat(),
            worker=self.worker,
            started_at=_iso(self.started_at),
            completed_at=_iso(self.completed_at),
            error=self.error,
        )

    async def _until_finished(self, timeout: timedelta | None) -> None:
        seconds = None if timeout is None else timeout.total_seconds()
        try:
            if seconds is not None and seconds <= 0:
                raise asyncio.TimeoutError
            await asyncio.wait_for(self._follow_to_the_end(), seconds)
        except asyncio.TimeoutError:
            raise TimeoutError(f"Timeout waiting for execution {self._key} to complete") from None

    async def _follow_to_the_end(self) -> None:
        channel = self._home.storage.keys.state(self._key)
        async with self._home.storage.subscriptions.listen(channel) as listener:
            while self.state.is_live:
                _, event = await listener.next()
                if event == RESYNC:
                    (record,) = await self._home.storage.executions.read(self._key)
                    if record is None:
                        return
                    self._take(record)
                else:
                    self._hear(event)

    async def _outcome(self) -> Any:
        if self.state is ExecutionState.CANCELLED:
            raise ExecutionCancelled(f"Execution {self._key} was cancelled")
        stored = await self._home.storage.executions.result(self._key)
        if self.state is ExecutionState.FAILED:
            if stored is None:
                raise Exception(self.error or "Task execution failed")
            raise self._home.serializer.load_error(stored)
        if stored is None:
            return None
        annotation = get_signature(self._function).return_annotation
        return self._home.serializer.load_result(stored, annotation)

    def _take(self, record: Record) -> None:
        self.state = record.state
        self.when = record.due
        self.attempt = record.attempt
        self.queue = record.queue
        self.fence = record.fence
        self.worker = record.worker
        self.started_at = record.started_at
        self.completed_at = record.completed_at
        self.error = record.error
        self.reason = record.reason
        self._generation = record.generation
        if self.state.is_terminal:
            self.result_key = self._key

    def _hear(self, event: bytes) -> None:
        """Take over what an event of the scripts tells: six lines, the error last."""
        state, due, worker, started, completed, error = event.decode().split("\n", 5)
        self.state = ExecutionState(state)
        self.when = from_milliseconds(due) if due else self.when
        self.worker = worker or None
        self.started_at = from_milliseconds(started) if started else None
        self.completed_at = from_milliseconds(completed) if completed else None
        self.error = error or None


class ExecutionProgress:
    """How far an execution has come: a current value, a total and a message."""

    def __init__(self, docket: Home, key: str) -> None:
        self._home = docket
        self._key = key
        self.current: int | None = None
        self.total: int = 1
        self.message: str | None = None
        self.updated_at: datetime | None = None

    async def set_total(self, total: int) -> None:
        """Say what ``current`` counts towards.

        Raises:
            ValueError: the total is less than 1.
        """
        if total < 1:
            raise ValueError("Total must be at least 1")
        self._take(await self._home.storage.progress.change(self._key, "total", total))

    async def increment(self, amount: int = 1) -> None:
        """Come further.

        Raises:
            ValueError: the amount is less than 1.
        """
        if amount < 1:
            raise ValueError("Amount must be at least 1")
        self._take(await self._home.storage.progress.change(self._key, "increment", amount))

    async def set_message(self, message: str | None) -> None:
        """Say what is going on; None says nothing."""
        self._take(await self._home.storage.progress.change(self._key, "message", message or ""))

    async def sync(self) -> None:
        """Read how it stands now."""
        self._take(await self._home.storage.progress.read(self._key))

    async def event(self, event: bytes) -> ProgressEvent:
        """What an event of the scripts tells, or how it stands if events may have been missed."""
        if event == RESYNC:
            await self.sync()
        else:
            current, total, updated_at, message = event.split(b"\n", 3)
            self._take(read_progress(current, total, message, updated_at))
        return ProgressEvent(
            type="progress",
            key=self._key,
            current=self.current,
            total=self.total,
            message=self.message,
            updated_at=_iso(self.updated_at),
        )

    def _take(self, record: ProgressRecord) -> None:
        self.current = record.current
        self.total = 100 if record.total is None else record.total
        self.message = record.message
        self.updated_at = record.updated_at


def new_execution(
    execution: Execution, call: TaskCall, nonce: bytes, trace: str = ""
) -> NewExecution:
    """The execution of a call in the words of the storage.

    Arguments:
        execution: what is scheduled.
        call: what it was made of.
        nonce: tells a call whose reply was lost from another one with the same key.
        trace: the trace that it is added in.

    Raises:
        PayloadTooLarge, NotSerializable: its arguments can not be stored.
    """
    serializer = execution.docket.serializer
    return NewExecution(
        key=execution.key,
        nonce=nonce,
        due=0 if call.immediate else to_milliseconds(execution.when),
        task=execution.function_name,
        call=serializer.dump_call(
            execution.args,
            execution.kwargs,
            get_signature(execution.function),
            context=execution.function_name,
        ),
        attempt=execution.attempt,
        trace=trace,
    )


def _unknown(name: str) -> TaskFunction:
    async def unknown_task(*_: Any, **__: Any) -> None:
        raise DocketError(f"the task {name!r} is not known here")

    unknown_task.__name__ = name
    return unknown_task


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
