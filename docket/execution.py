"""An execution: one call of a task, from the moment it is scheduled until its record expires."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, Literal, NamedTuple

from typing_extensions import Self

from .annotations import compact_signature, get_signature, logged_parameters
from .annotations import plain_signatures as _signature_cache
from .calls.context import ExecutionContext
from .calls.progress import ExecutionProgress
from .calls.registry import StandIn, TaskFunction, name_of
from .calls.results import pointer_to
from .errors import DocketError, ResultEvicted, ServerRefused, ServerUnavailable, Undecodable
from .foundation.call_options import NO_OPTIONS, CallOptions
from .foundation.events import ProgressEvent, StateEvent, iso
from .foundation.lifecycle import Disposition, ExecutionState
from .foundation.plain import plain
from .foundation.units import from_due, from_milliseconds, milliseconds, to_due
from .instrumentation import tracing
from .serialization import Context, place_of_call, place_of_result
from .storage.claims import Consumer, Settlement, Verdict
from .storage.dead import Retried, read_lineage
from .storage.executions import (
    NewExecution,
    Record,
    Scheduled,
    queue_argument,
)
from .storage.keys import DEFAULT_QUEUE
from .storage.limits import Question
from .storage.scripting.nonces import new_nonce
from .storage.subscriptions import RESYNC, Event

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
    "_signature_cache",
    "compact_signature",
    "get_signature",
]


class ExecutionCancelled(Exception):
    """The execution whose result was asked for has been cancelled."""


@dataclass(frozen=True)
class TaskCall:
    """A call that is not scheduled yet: what ``Docket.call`` makes and ``add_many`` takes."""

    function: TaskFunction
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: str
    when: datetime
    function_name: str | None = None
    immediate: bool = field(default=False, kw_only=True)
    """Due at once, by the server's clock; ``when`` is then only what the caller's clock said."""
    is_fresh: bool = field(default=False, kw_only=True)
    """True if its key was made for this one use, and is not shared."""
    is_bound: bool = field(default=False, kw_only=True)
    """True if its arguments are known to fit."""
    options: CallOptions = field(default=NO_OPTIONS, kw_only=True)
    """Its queue, its tags and the like, where they are its own."""


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


class _Settled(NamedTuple):
    """The result of an execution as it is stored, and the record that a signed one is bound to, if any."""

    record: Record | None
    result: bytes | None
    is_evicted: bool


class Execution:
    """One call of a task, known by its key.

    What stands in it is what was known when it was scheduled, claimed or last ``sync``\\ ed.
    """

    def __init__(
        self,
        docket: ExecutionContext,
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
        self._lineage = ""
        self._progress: ExecutionProgress | None = None
        self.when = when
        self.attempt = attempt
        self.message_id = message_id
        self.state = ExecutionState.SCHEDULED
        self.disposition = Disposition.LOADED
        self.schedule_exception: Exception | None = None
        self.fence: int | None = None
        self.consumer: str | None = None
        """The worker that has it, or had it last: one life of it."""
        self.worker: str | None = None
        self.started_at: datetime | None = None
        self.completed_at: datetime | None = None
        self.error: str | None = None
        self.reason: str | None = None
        self.result_key: str | None = None
        self.identity = ""
        """Identity of this acceptance of its key: the same for all attempts of a call, and another one for
        each run of a perpetual task.
        """
        self.admitted_by: set[Question] = set()
        """The gates that have let this run in, by what they ask."""
        self.slot: str | None = None
        """Slot that it was given while it waited: the slots of a concurrency limit, a newline, the limit."""
        self.queue = DEFAULT_QUEUE
        self.options = NO_OPTIONS
        """The options of its call, which hold for all its attempts."""
        self.next_run: NextRun | None = None
        """The run that a handler has decided to follow the one under way."""

    @classmethod
    def of(cls, docket: ExecutionContext, record: Record) -> Self:
        """Build the execution from its record.

        A task that is not known here, or arguments that cannot be read, do not hide it: its function
        then only names it, and its arguments are empty.
        """
        function = docket.registry.tasks.get(record.task) or _unknown(record.task)
        try:
            args, kwargs = docket.serializer.load_call(
                record.call,
                get_signature(function),
                context=place_of_call(record.task, record.key),
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
    def retries(self) -> list[Retried]:
        """Retries by hand, with the end before each; the last eight at most."""
        return read_lineage(self._lineage)

    @property
    def docket(self) -> ExecutionContext:
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
        """Its key: unique among the live executions of its docket."""
        return self._key

    @property
    def trace_context(self) -> tracing.Context | None:
        """The trace that it was added in."""
        return self._trace_context

    def incoming_span_links(self) -> list[tracing.Link]:
        """Return the link to the span that it was added in; none if there was none."""
        return tracing.links_to(self._trace_context)

    def general_labels(self) -> Mapping[str, str]:
        """Return the labels of metrics about it: bounded by the number of tasks."""
        return {"docket.task": self._function_name}

    def specific_labels(self) -> Mapping[str, str | int]:
        """Return the attributes of spans and logs about it: its own values, too many for metrics."""
        return {
            "docket.task": self._function_name,
            "docket.key": self._key,
            "docket.when": self.when.isoformat(),
            "docket.attempt": self.attempt,
        }

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of its call."""
        return self.options.tags

    @property
    def redelivered(self) -> bool:
        """True if a worker has lost it before."""
        return self._redelivered

    @property
    def generation(self) -> int:
        """Number of times that its key has been scheduled: grows with each replacement, retry and renewal."""
        return self._generation

    @property
    def progress(self) -> ExecutionProgress:
        """Its progress."""
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

    @property
    def bound_arguments(self) -> Mapping[str, Any]:
        """The arguments by the names of the parameters, defaults included.

        Those that do not fit the task are left out: looking at it must not fail.
        """
        try:
            given = self.arguments
        except TypeError:
            return self._kwargs
        defaults = {
            name: parameter.default
            for name, parameter in get_signature(self._function).parameters.items()
            if parameter.default is not parameter.empty
        }
        return {**defaults, **given}

    def get_argument(self, parameter: str) -> Any:
        """Return the argument that was given for a parameter.

        Raises:
            KeyError: none was given; defaults do not count.
            TypeError: the arguments do not fit the task.
        """
        return self.arguments[parameter]

    def call_repr(self) -> str:
        """Return the call as logs show it; only arguments annotated with ``Logged`` are visible."""
        logged = logged_parameters(self._function)
        if not logged:
            hidden = ", ".join(["..."] * len(self._args) + [f"{name}=..." for name in self._kwargs])
            return f"{self._function_name}({hidden}){{{plain(self._key)}}}"

        def shown(name: str, value: Any) -> str:
            return logged[name].format(value) if name in logged else "..."

        names = chain(get_signature(self._function).parameters, repeat(""))
        given = [
            *(shown(name, value) for name, value in zip(names, self._args, strict=False)),
            *(f"{name}={shown(name, value)}" for name, value in self._kwargs.items()),
        ]
        return f"{self._function_name}({', '.join(given)}){{{plain(self._key)}}}"

    def successor(self) -> Execution:
        """Return the run that follows this one, by what a handler has decided."""
        following = self.next_run
        assert following is not None
        args = self._args if following.args is None else following.args
        kwargs = self._kwargs if following.kwargs is None else following.kwargs
        when = following.at or datetime.now(timezone.utc) + following.after
        successor = Execution(
            self._home, self._function, args, kwargs, self._key, when, following.attempt,
            function_name=self._function_name,
        )  # fmt: skip
        successor.options = self.options
        return successor

    def learn(self, answer: Scheduled) -> None:
        """Take over the outcome of the call that scheduled it."""
        self.disposition = answer.disposition
        self._generation = answer.generation
        if answer.state is not None:
            self.state = answer.state
        if answer.is_unknown:
            self.schedule_exception = ServerUnavailable(
                f"it is not known whether {self._function_name} {plain(self._key)} was scheduled: the server "
                "did not answer when it was asked first, and the record may be gone; look for its "
                "effect, and call again to schedule it anew"
            )
        elif answer.disposition is Disposition.FAILED:
            self.schedule_exception = ServerRefused(
                f"the server refused to schedule {self._function_name} {plain(self._key)}: {answer.error}"
            )

    async def schedule(
        self,
        replace: bool = False,
        reschedule_message: bytes | None = None,
        expected_generation: int = 0,
    ) -> Disposition:
        """Schedule it as it stands here: its arguments, its due time, its attempt.

        Arguments:
            replace: in place of any execution with this key.
            reschedule_message: the message of the run of this execution that is under way, and that
                this is to follow: its end and this are recorded together.
            expected_generation: the generation that it is to follow; another one makes it SUPERSEDED.

        Raises:
            PayloadTooLarge, NotSerializable: its arguments cannot be stored.
        """
        if reschedule_message is not None:
            self.message_id = reschedule_message
            self.disposition = await self._reschedule(expected_generation or self._generation)
            return self.disposition
        if expected_generation and await self._is_beyond(expected_generation):
            self.disposition = Disposition.SUPERSEDED
            return self.disposition
        call = TaskCall(self._function, self._args, self._kwargs, self._key, self.when)
        new = new_execution(self, call, new_nonce(), tracing.outgoing())
        mode: Literal["add", "replace"] = "replace" if replace else "add"
        with self._home.unanswered.sending(mode, [new]) as sent:
            (answer,) = await self._home.storage.executions.schedule(sent, mode=mode)
        self.learn(answer)
        return self.disposition

    async def claim(self, worker: str) -> bool:
        """Take it to run it here, by hand; workers do not need this.

        Without an end (``mark_as_completed`` and its like) it is delivered to a worker again.

        Arguments:
            worker: who takes it.

        Returns whether it was to be had: not superseded, running elsewhere, or ended.
        """
        consumer = f"{worker}:{secrets.token_hex(4)}"
        begun = await self._home.storage.executions.begin(self._key, self._generation, consumer)
        if begun is None:
            return False
        self.state = ExecutionState.RUNNING
        self.worker, self.consumer, self.identity = worker, consumer, begun.identity
        self.message_id, self.queue, self.fence = begun.message, begun.queue, begun.fence
        self._generation = begun.generation
        self.started_at = from_milliseconds(begun.started)
        return True

    async def mark_as_completed(self, result_key: str | None = None) -> None:
        """Record that it has completed; a run that may no longer do so changes nothing.

        Arguments:
            result_key: the key of its result in the docket's ``result_storage``.
        """
        await self._end("completed", result_key=result_key)

    async def mark_as_failed(self, error: str | None = None, result_key: str | None = None) -> None:
        """Record that it has failed for good; a run that may no longer do so changes nothing.

        Arguments:
            error: the error.
            result_key: the key of its exception in the docket's ``result_storage``.
        """
        await self._end("failed", error=error or "", result_key=result_key)

    async def mark_as_cancelled(self) -> None:
        """Record that it was cancelled; one that others run is asked to end."""
        if self.fence is not None and self.state is ExecutionState.RUNNING:
            await self._end("cancelled")
            return
        await self._home.storage.executions.cancel(self._key, self._home.record_ttl)
        await self.sync()

    async def is_superseded(self) -> bool:
        """Return True if its key has moved on to another generation, or is no longer known."""
        return await self._is_beyond(self._generation)

    async def _is_beyond(self, generation: int) -> bool:
        (record,) = await self._home.storage.executions.read(self._key)
        return record is None or record.generation > generation

    async def _end(self, word: str, *, error: str = "", result_key: str | None = None) -> None:
        if self.fence is None and not await self.claim(self.worker or self._home.name):
            return
        ttl = self._home.dead_ttl if word == "failed" else self._home.record_ttl
        settlement = self._settlement(
            word,
            self._generation,
            error=error,
            reason=word if word != "completed" else "",
            result=await self._sealed(word) if result_key is None else pointer_to(result_key),
            ttl=milliseconds(ttl),
        )
        await self._settle(settlement)
        await self.sync()

    async def _sealed(self, word: str) -> bytes:
        """Return the mark that there is no result, signed if results are."""
        serializer = self._home.serializer
        if word != "completed" or not serializer.signing_keys:
            return b""
        (record,) = await self._home.storage.executions.read(self._key)
        return b"" if record is None else serializer.dump_result(None, context=_place_of(record))

    async def _reschedule(self, generation: int) -> Disposition:
        due, when = to_due(self.when)
        settlement = self._settlement(
            "again",
            generation,
            due=due,
            when=when,
            attempt=self.attempt,
            call=dump_call(self),
        )
        if self.fence is None or await self._settle(settlement) is not Verdict.RECORDED:
            return Disposition.SUPERSEDED
        await self.sync()
        return Disposition.SCHEDULED

    def _settlement(self, word: str, generation: int, **fields: Any) -> Settlement:
        return Settlement(
            message=self.message_id or b"",
            queue=queue_argument(self.queue),
            key=self._key,
            generation=generation,
            fence=self.fence or 0,
            identity=self.identity,
            word=word,
            **fields,
        )

    async def _settle(self, settlement: Settlement) -> Verdict:
        ours = Consumer(self.worker or "", self.consumer or "", (), 0, 0, 0)
        exchange = self._home.storage.exchange(ours)
        ((verdict,), _) = await exchange.trade([settlement], 0)
        return verdict

    def as_message(self) -> dict[bytes, bytes]:
        """Return the execution as fields of bytes, for programs that transport it by themselves."""
        return {
            b"key": self._key.encode(),
            b"when": self.when.isoformat().encode(),
            b"function": self._function_name.encode(),
            b"call": dump_call(self),
            b"attempt": str(self.attempt).encode(),
            b"generation": str(self._generation).encode(),
        }

    @classmethod
    async def from_message(
        cls,
        docket: ExecutionContext,
        message: dict[bytes, bytes],
        redelivered: bool = False,
        fallback_task: TaskFunction | None = None,
        message_id: bytes | None = None,
        sync: bool = True,
    ) -> Self:
        """Return the execution that ``as_message`` has made these fields of.

        Arguments:
            docket: where it lives.
            message: the fields.
            redelivered: whether a worker has lost it before.
            fallback_task: called in the place of a task that is not known.
            message_id: its message on the stream.
            sync: whether to read how it stands now.

        Raises:
            ValueError: its task is not known here, and there is no fallback.
            Undecodable: its arguments cannot be read.
        """
        name = message[b"function"].decode()
        function = docket.registry.tasks.get(name) or fallback_task
        if function is None:
            raise ValueError(f"Task function {name!r} is not registered with the current docket")
        key = message[b"key"].decode()
        args, kwargs = docket.serializer.load_call(
            message[b"call"], get_signature(function), context=place_of_call(name, key)
        )
        execution = cls(
            docket,
            function,
            args,
            kwargs,
            key,
            datetime.fromisoformat(message[b"when"].decode()),
            int(message[b"attempt"]),
            redelivered=redelivered,
            function_name=name,
            generation=int(message[b"generation"]),
            message_id=message_id,
        )
        if sync:
            await execution.sync()
        return execution

    async def sync(self) -> None:
        """Read how it stands now, its progress included."""
        record, progress = await self._home.storage.executions.read_with_progress(self._key)
        self.progress.take(progress)
        if record is not None:
            self._take(record)

    async def get_result(
        self, *, timeout: timedelta | None = None, deadline: datetime | None = None
    ) -> Any:
        """Wait until it has ended, and return the result of the task.

        Returns None as well when nothing was stored: the record has expired, or results are not kept. Where
        results are signed, a record without one is an error: it has been taken away. While a caller waits
        here, the result is not evicted.

        Arguments:
            timeout: how long to wait; None is forever.
            deadline: until when to wait.

        Raises:
            TimeoutError: it has not ended in time.
            ExecutionCancelled: it was cancelled.
            Undecodable: its result is damaged, forged or taken away.
            ResultEvicted: it was evicted, as results took more memory than they may.
            Exception: the very error that the task failed with; of an error that is not kept, or was evicted,
                one line, and that is never signed.

        Example:
            >>> execution = await docket.add(greet)("Jane")
            >>> greeting = await execution.get_result(timeout=timedelta(seconds=5))
        """
        if timeout is not None and deadline is not None:
            raise ValueError("Cannot specify both timeout and deadline")
        if deadline is not None:
            timeout = deadline - datetime.now(timezone.utc)
        await self.sync()
        settled = await self._until_finished(timeout) if self.state.is_live else None
        return await self._outcome(settled)

    async def subscribe(
        self, *, ready: asyncio.Event | None = None
    ) -> AsyncGenerator[StateEvent | ProgressEvent, None]:
        """Yield the current state and progress, then every change; the last one is the final state.

        Arguments:
            ready: set as soon as nothing that happens from now on can be missed.
        """
        keys = self._home.storage.keys
        states, progress = keys.state(self._key), keys.progress(self._key)
        async with self._home.storage.subscriptions.listen(states, progress) as listener:
            await listener.until_in_step(states, progress)
            # Everything that has happened before is read now, and everything after that is heard of.
            yield await self._state_event(RESYNC)
            yield await self.progress.event(RESYNC)
            if ready is not None:
                ready.set()
            while not self.state.is_terminal:
                channel, event = await listener.next()
                if channel == states:
                    told = await self._state_event(event)
                    if told.get("error") is None:
                        # Programs ask whether it is there.
                        told.pop("error")
                    yield told
                else:
                    yield await self.progress.event(event)

    async def _state_event(self, event: Event) -> StateEvent:
        if event is RESYNC or not self._hear(event):
            await self.sync()
        return StateEvent(
            type="state",
            key=self._key,
            state=self.state,
            when=self.when.isoformat(),
            worker=self.worker,
            started_at=iso(self.started_at),
            completed_at=iso(self.completed_at),
            error=self.error,
        )

    async def _until_finished(self, timeout: timedelta | None) -> _Settled:
        seconds = None if timeout is None else timeout.total_seconds()
        try:
            if seconds is not None and seconds <= 0:
                raise asyncio.TimeoutError
            return await asyncio.wait_for(self._follow_to_the_end(), seconds)
        except asyncio.TimeoutError:
            raise TimeoutError(
                f"Timeout waiting for execution {plain(self._key)} to complete"
            ) from None

    async def _follow_to_the_end(self) -> _Settled:
        channel = self._home.storage.keys.state(self._key)
        async with self._home.storage.subscriptions.listen(channel) as listener:
            while self.state.is_live:
                _, event = await listener.next()
                if event is RESYNC or not self._hear(event):
                    (record,) = await self._home.storage.executions.read(self._key)
                    if record is None:
                        break
                    self._take(record)
            # Still listening: nothing is evicted that somebody listens for.
            return await self._settled()

    async def _outcome(self, settled: _Settled | None) -> Any:
        if self.state is ExecutionState.CANCELLED:
            raise ExecutionCancelled(f"Execution {plain(self._key)} was cancelled")
        stored = await self._load(settled or await self._settled())
        if self.state is ExecutionState.FAILED:
            raise Exception(self._why()) if stored is None else stored
        return stored

    def _why(self) -> str:
        """Return the line about an error of which no more is kept."""
        line = self.error or "Task execution failed"
        if self._home.serializer.signing_keys:
            return f"it has failed, and the reason is not signed: {line}"
        return line

    async def stored(self) -> Any:
        """Return what is kept of its end: the result of the task, or the error that it failed with.

        Raises:
            Undecodable: it cannot be read, or it was signed and is gone.
            ResultEvicted: it was evicted.
        """
        return await self._load(await self._settled())

    async def _load(self, settled: _Settled) -> Any:
        record = settled.record
        self._find_result(settled.result is not None)
        stored = await self._home.results.find(settled.result)
        if stored is None:
            if settled.is_evicted and self.state is ExecutionState.COMPLETED:
                raise ResultEvicted(
                    f"the result of {plain(self._key)} was evicted, as the results of "
                    f"{self._home.name!r} took more memory than results.max_memory allows: raise that, "
                    "keep results for less long (result_ttl), or ask for them earlier"
                )
            if record is not None and self.state is ExecutionState.COMPLETED:
                raise Undecodable(
                    f"expected the signed result of {plain(self._key)}, found none: it has been taken "
                    "away, or its worker has no signing key, or is of an older release"
                )
            return None
        place = () if record is None else _place_of(record)
        if self.state is ExecutionState.FAILED:
            return self._home.serializer.load_error(stored, context=place)
        annotation = get_signature(self._function).return_annotation
        return self._home.serializer.load_result(stored, annotation, context=place)

    async def _settled(self) -> _Settled:
        executions = self._home.storage.executions
        if not self._home.serializer.signing_keys:
            return _Settled(None, *await executions.result(self._key))
        record, result = await executions.read_with_result(self._key)
        if record is not None and result is None:
            # Its key may just have come to stand for another run: both are not read at one moment.
            record, result = await executions.read_with_result(self._key)
        # Without the record it is unknown which run it is the result of.
        if record is None:
            return _Settled(None, None, False)
        return _Settled(record, result, record.is_evicted)

    def _find_result(self, is_there: bool) -> None:
        self.result_key = f"{self._key}:{self._generation}" if is_there else None

    def _take(self, record: Record) -> None:
        self.state = record.state
        self.when = record.due
        self.attempt = record.attempt
        self.queue = record.queue
        self.fence = record.fence
        self.worker = record.worker
        self.consumer = record.consumer
        self.identity = record.identity
        self.started_at = record.started_at
        self.completed_at = record.completed_at
        self.error = record.error
        self.reason = record.reason
        self._generation = record.generation
        self._lineage = record.lineage
        self.options = CallOptions.read(record.options)
        self._find_result(record.has_result)

    def _hear(self, event: bytes) -> bool:
        """Take over an event of the scripts: six lines, the error last; return False if it is not one."""
        try:
            word, due, worker, started, completed, error = event.decode().split("\n", 5)
            state = ExecutionState(word)
            self._hear_due(due)
            self.started_at = from_milliseconds(started) if started else None
            self.completed_at = from_milliseconds(completed) if completed else None
        except ValueError:
            return False
        self.state = state
        self.worker = worker or None
        self.error = error or None
        return True

    def _hear_due(self, told: str) -> None:
        """Take over a due time; most events have whole ms only, so it may be known more exactly here."""
        due, _, when = told.partition(" ")
        if when or (due and int(due) != to_due(self.when)[0]):
            self.when = from_due(due, when)


def new_execution(
    execution: Execution, call: TaskCall, nonce: str, trace: str = "", strike: str = ""
) -> NewExecution:
    """Return the execution of a call in the words of the storage.

    Arguments:
        execution: the execution to schedule.
        call: its call.
        nonce: distinguishes a call whose reply was lost from another one with the same key.
        trace: the trace that it is added in.
        strike: the identity of the rule that parks it, if one does.

    Raises:
        PayloadTooLarge, NotSerializable: its arguments cannot be stored.
    """
    due, when = (0, "") if call.immediate else to_due(execution.when)
    return NewExecution(
        key=execution.key,
        nonce=nonce,
        due=due,
        task=execution.function_name,
        call=dump_call(execution),
        queue=execution.options.lane,
        attempt=execution.attempt,
        trace=trace,
        strike=strike,
        when=when,
        options=execution.options.text,
    )


def dump_call(execution: Execution) -> bytes:
    """Return the arguments of an execution as they are stored.

    Raises:
        PayloadTooLarge, NotSerializable: they cannot be stored.
    """
    return execution.docket.serializer.dump_call(
        execution.args,
        execution.kwargs,
        get_signature(execution.function),
        context=place_of_call(execution.function_name, execution.key),
        nonce=new_nonce(),
        written=isinstance(execution.function, StandIn),
    )


def _place_of(record: Record) -> Context:
    return place_of_result(record.task, record.key, record.generation, record.call)


@lru_cache(maxsize=1024)
def _unknown(name: str) -> TaskFunction:
    """Return a stand-in for an unknown task: one for each, whose signature is inspected once."""

    async def unknown_task(*_: Any, **__: Any) -> None:
        raise DocketError(f"the task {name!r} is not known here")

    unknown_task.__name__ = name
    return unknown_task
