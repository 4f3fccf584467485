"""The client: schedules executions and looks after them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, overload

from typing_extensions import Self, Unpack

from .annotations import get_signature
from .calls.binding import bind
from .calls.payloads import serializer_at
from .calls.readers import Readers
from .calls.registry import Registry, TaskFunction
from .calls.results import Results, ResultStorage
from .calls.unanswered import UnansweredCalls
from .compat import KeyNames
from .connection.base import Credentials, RedisClient
from .connection.traced import Traced
from .connection.url import connect
from .discovery import address
from .errors import InvalidKey, InvalidOption, InvalidSetting, Undecodable
from .execution import Execution, TaskCall, new_execution
from .foundation.call_options import CallOptions, Options
from .foundation.durations import format_duration
from .foundation.lifecycle import Disposition, ExecutionState
from .foundation.names import check_name
from .foundation.uuid7 import new_key
from .insights import Insights
from .insights.snapshot import DocketSnapshot, RunningExecution, StrikePreview, snapshot_of
from .instrumentation import logs, telemetry, tracing
from .operations import Operations
from .result_storage import Kept
from .serialization import place_of_call
from .storage.audit import AuditLimits
from .storage.executions import NewExecution, Record
from .storage.history import NO_HISTORY, HistoryLimits
from .storage.scripting.nonces import FRESH, new_nonce
from .storage.scripting.retrying import REMEMBERED
from .storage.storage import Storage
from .storage.stored import ResultLimits
from .storage.workers import WorkerInfo
from .strikelist import (
    ACTIONS,
    Action,
    LiteralOperator,
    Operator,
    Restore,
    Rule,
    Strike,
    StrikeList,
    rule_for,
)

__all__ = [
    "Disposition",
    "Docket",
    "DocketSnapshot",
    "Operator",
    "Restore",
    "ResultStorage",
    "RunningExecution",
    "Strike",
    "StrikePreview",
    "TaskCall",
    "TaskFunction",
    "WorkerInfo",
]

P = ParamSpec("P")
R = TypeVar("R")

STANDARD_TASKS = "docket.tasks:standard_tasks"
LONGEST_KEY = 1024
"""Bytes in UTF-8: URLs and paths are keys, whole documents are not."""

EXECUTION_TTL = timedelta(minutes=15)
DEAD_LETTER_TTL = timedelta(days=7)
"""Time that dead letters are kept for replay, where finished executions are kept at all."""


class Docket(KeyNames):
    """A named collection of work on a Redis server: add tasks to it, look after them.

    Use it as an async context manager; tasks can be registered before it is entered.

    Arguments:
        name: the docket, the same for all who share the work.
        url: the server. Left out, both come from ``DOCKET_NAME`` and ``DOCKET_URL``, else from the
            ``docket.toml`` that ``DOCKET_CONFIG`` names or that lies in the working directory, else they
            are ``docket`` and ``redis://localhost:6379/0``.
        heartbeat_interval: the interval at which workers report that they live.
        missed_heartbeats: the number of missed ones after which a worker counts as gone.
        execution_ttl: how long finished executions and their results are kept.
        result_storage: where results are kept, in the place of Redis: an ``AsyncKeyValue`` store of
            py-key-value.
        enable_internal_instrumentation: show the docket's own Redis traffic in traces.
        credential_provider: gives user and password where they rotate.
        config: the docket.toml to take name, url and security from; ``False`` is none, even if one lies
            there.
        codecs: the codecs that are allowed; ``("safe",)`` refuses pickle on both sides.
        signing_keys: secrets by id; the first one signs, all of them verify.
        max_payload: the limit of serialized arguments in bytes.
        lazy: enter it also while nothing answers at the url: workers wait until something does, and calls
            try for a while. Left out, it is so where a url is given.
        history: how much is remembered of what has ended; left out, ``[history]`` of the docket.toml says it.
        results: how much memory results may take; left out, ``[results]`` of the docket.toml says it.
        audit: how much is kept of what operators have done; left out, ``[audit]`` of the docket.toml says it.

    Raises:
        ConfigurationError: a file or a variable has an impossible value; an argument is an
            ``InvalidSetting``.
        ServerUnavailable: on entering, when nothing answers where a url was not given.

    Example:
        >>> async with Docket() as docket:
        ...     await docket.add(greet)("Jane")
        ...     await docket.add(greet, when=soon)("John", greeting="Howdy")
    """

    def __init__(
        self,
        name: str | None = None,
        url: str | None = None,
        heartbeat_interval: timedelta = timedelta(seconds=2),
        missed_heartbeats: int = 5,
        execution_ttl: timedelta | None = None,
        result_storage: ResultStorage | None = None,
        enable_internal_instrumentation: bool = False,
        credential_provider: Credentials | None = None,
        *,
        config: str | Path | Literal[False] | None = None,
        codecs: Sequence[str] | None = None,
        signing_keys: Mapping[str, bytes] | None = None,
        max_payload: int | None = None,
        lazy: bool | None = None,
        history: HistoryLimits | None = None,
        results: ResultLimits | None = None,
        audit: AuditLimits | None = None,
    ) -> None:
        self.lazy = _is_elsewhere(url) if lazy is None else lazy
        found = address.find(name, url, config=config)
        self.name = check_name("docket", found.name)
        self.url = found.url
        self.heartbeat_interval = heartbeat_interval
        self.missed_heartbeats = missed_heartbeats
        self.execution_ttl = next(
            ttl for ttl in (execution_ttl, found.execution_ttl, EXECUTION_TTL) if ttl is not None
        )
        _check_lengths(heartbeat_interval, missed_heartbeats, self.execution_ttl)
        self.enable_internal_instrumentation = enable_internal_instrumentation
        self.credential_provider = credential_provider
        self.serializer = serializer_at(found, codecs, signing_keys, max_payload)
        self.registry = Registry()
        # By its path, as an application's own: tasks stand above the docket that runs them.
        self.registry.register_collection(STANDARD_TASKS)
        self._limits = (
            history or _history_at(found),
            results or _results_at(found),
            audit or _audit_at(found),
        )
        self._own_result_storage = result_storage
        self._make_connection()

    def _make_connection(self) -> None:
        """Make all that belongs to one process; nothing is connected yet."""
        connection = connect(self.url, credential_provider=self.credential_provider)
        self._users: list[Callable[[bool], Awaitable[None]]] = []
        """Users that have to end before the docket can be left."""
        self._connection = (
            Traced(connection) if self.enable_internal_instrumentation else connection
        )
        self.storage = Storage(self._connection, self.name, *self._limits)
        self.unanswered = UnansweredCalls(self.record_ttl)
        self._readers = Readers(self.storage.workers, self.silence, self.heartbeat_interval)
        self.result_storage: ResultStorage = (
            Kept(self.storage, self.results_collection, self.get_execution)
            if self._own_result_storage is None
            else self._own_result_storage
        )
        self.results = Results(self._own_result_storage, self.results_collection)
        self.strike_list = StrikeList(
            self.url,
            self.name,
            self.enable_internal_instrumentation,
            serializer=self.serializer,
            storage=self.storage,
        )

    def begin_anew(self) -> object:
        """Forget all that a fork has inherited, so that it can enter this docket for itself.

        Returns what was forgotten: it is to be kept, because its end would touch the sockets of the parent.
        """
        left = vars(self).copy()
        for name in ("insights", "operations"):
            vars(self).pop(name, None)
        self._make_connection()
        return left

    @classmethod
    def from_config(cls, path: str | Path, **options: Any) -> Self:
        """Return the docket that a configuration file describes; the environment overrides the file.

        Arguments:
            path: the docket.toml.
            options: further arguments of ``Docket``.

        Raises:
            ConfigurationError: the file cannot be read.

        Example:
            >>> async with Docket.from_config("docket.toml") as docket: ...
        """
        return cls(config=path, **options)

    async def __aenter__(self) -> Self:
        is_reached = await self.storage.open(lazy=self.lazy)
        try:
            await self.results.open()
            await self.strike_list.connect(is_reached=is_reached)
        except BaseException:
            await self.storage.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.refuse_strangers()
        try:
            if self._users:
                # Together, so that all of them hear of it if the caller is cancelled.
                at_once = exc_type is not None
                await asyncio.gather(*(stop(at_once) for stop in self._users))
        finally:
            await self.strike_list.close()
            await self.storage.close()

    @contextmanager
    def used_by(self, stop: Callable[[bool], Awaitable[None]]) -> Generator[None, None, None]:
        """Use it for the length of a block: leaving the docket earlier ends the block first.

        Arguments:
            stop: ends what uses it, and returns when that is done; at once, if it is given True, because
                an error has made an end of everything.
        """
        self._users.append(stop)
        try:
            yield
        finally:
            self._users.remove(stop)

    @property
    def tasks(self) -> dict[str, TaskFunction]:
        """The tasks that are known here, by name."""
        return self.registry.tasks

    @cached_property
    def insights(self) -> Insights:
        """Explanations of why its work runs, waits or has ended so."""
        return Insights(self.storage, self.strike_list, self.silence)

    @cached_property
    def operations(self) -> Operations:
        """Deeds of people on call: retry dead letters, cancel work, pause queues."""
        return Operations(self, self.silence)

    @property
    def silence(self) -> timedelta:
        """Time that a worker may be silent before it counts as gone."""
        return self.heartbeat_interval * self.missed_heartbeats

    def labels(self) -> Mapping[str, str]:
        """Return the labels of this docket's metrics and spans."""
        return {"docket.name": self.name}

    @asynccontextmanager
    async def redis(self) -> AsyncGenerator[RedisClient, None]:
        """Yield a redis-py client on this docket's connections; replies are bytes."""
        yield self._connection.client

    def register(
        self,
        function: TaskFunction,
        names: Sequence[str] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Make a task known under its own name, or under these names.

        Arguments:
            function: a coroutine function, or a plain function, which will run in a thread.
            names: names to use instead of the function's own.
            replace: let it take the place of another task of this name, which is refused otherwise.

        Raises:
            TypeError: it is not a function, or has no name of its own, as a lambda.
            ValueError: another function is known by this name, or its dependencies cannot be.
        """
        self.registry.register(function, names, replace=replace)

    def register_collection(self, collection_path: str) -> None:
        """Make all tasks of an iterable known, given as ``package.module:attribute``.

        Raises:
            ImportError, AttributeError: there is no such module or attribute.
        """
        self.registry.register_collection(collection_path)

    @overload
    def add(
        self,
        function: Callable[P, Awaitable[R]],
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[P, Awaitable[Execution]]: ...

    @overload
    def add(
        self,
        function: Callable[P, R],
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[P, Awaitable[Execution]]: ...

    @overload
    def add(
        self,
        function: str,
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[..., Awaitable[Execution]]: ...

    def add(
        self,
        function: Callable[..., Any] | str,
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[..., Awaitable[Execution]]:
        """Schedule a call of a task; it is durable when the returned coroutine has returned.

        A key that is scheduled, queued or running already is left alone: the execution then says
        ``Disposition.ALREADY_SCHEDULED``.

        Arguments:
            function: the task, or the name of a registered one.
            when: when it is due; now, if left out.
            key: what it is known by; a new unique key, if left out.
            options: options of this call, by name: ``queue``, ``priority`` (high, normal, low), ``expires``
                (a moment, or how long after it is due: what has not begun by then ends), ``timeout`` of an
                attempt, ``tags``, ``once`` (how long its key stays taken after its end; True is as long as
                its record lasts: then the execution says ``Disposition.ALREADY_DONE``).

        Raises:
            KeyError: no task of this name is registered.
            InvalidOption, InvalidName: an option cannot be so.
            WrongArguments: the arguments do not fit the task; a ``TypeError``.
            InvalidKey, PayloadTooLarge, NotSerializable: the call cannot be stored.
            ServerUnavailable: the server did not answer in time, or it is not known whether it had
                accepted the call before. Calling again with the same key and the same arguments is safe,
                from the same docket object and within 15 minutes: it is then the same call. Another
                process does not know that: there a call that has run to its end meanwhile runs again.
            Closed: the docket was left.
            OpenedElsewhere: the docket was entered in another event loop, or before a fork.

        Example:
            >>> await docket.add(greet, when=soon)("John", greeting="Howdy")
        """
        name, task = self.registry.named(function)
        checked = CallOptions.of(options)

        async def schedule(*args: Any, **kwargs: Any) -> Execution:
            bind(name, task, args, kwargs)
            call = _task_call(task, name, args, kwargs, when, key, checked, is_used_once=True)
            return await self._schedule_one("add", call)

        return schedule

    @overload
    def replace(
        self,
        function: Callable[P, Awaitable[R]],
        when: datetime,
        key: str,
        **options: Unpack[Options],
    ) -> Callable[P, Awaitable[Execution]]: ...

    @overload
    def replace(
        self, function: Callable[P, R], when: datetime, key: str, **options: Unpack[Options]
    ) -> Callable[P, Awaitable[Execution]]: ...

    @overload
    def replace(
        self, function: str, when: datetime, key: str, **options: Unpack[Options]
    ) -> Callable[..., Awaitable[Execution]]: ...

    def replace(
        self,
        function: Callable[..., Any] | str,
        when: datetime,
        key: str,
        **options: Unpack[Options],
    ) -> Callable[..., Awaitable[Execution]]:
        """Schedule a call of a task in place of any execution with this key.

        One that is running goes on, but is superseded: how it ends no longer touches the key.

        Arguments:
            function: the task, or the name of a registered one.
            when: when it is due.
            key: its key.
            options: as for ``add``; those of what it replaces are gone.

        Raises:
            as ``add``.
        """
        name, task = self.registry.named(function)
        checked = CallOptions.of(options)

        async def schedule(*args: Any, **kwargs: Any) -> Execution:
            bind(name, task, args, kwargs)
            return await self._schedule_one(
                "replace", _task_call(task, name, args, kwargs, when, key, checked)
            )

        return schedule

    @overload
    def call(
        self,
        function: Callable[P, Awaitable[R]],
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[P, TaskCall]: ...

    @overload
    def call(
        self,
        function: Callable[P, R],
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[P, TaskCall]: ...

    @overload
    def call(
        self,
        function: str,
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[..., TaskCall]: ...

    def call(
        self,
        function: Callable[..., Any] | str,
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[..., TaskCall]:
        """Describe a call without scheduling it, for ``add_many`` and ``replace_many``.

        Arguments:
            function: the task, or the name of a registered one.
            when: when it is due; now, if left out.
            key: what it is known by; a new unique key, if left out.
            options: as for ``add``.

        Example:
            >>> await docket.add_many(docket.call(greet)(name) for name in names)
        """
        name, task = self.registry.named(function)
        checked = CallOptions.of(options)
        given = name if isinstance(function, str) else None

        def describe(*args: Any, **kwargs: Any) -> TaskCall:
            bind(name, task, args, kwargs)
            return _task_call(task, given, args, kwargs, when, key, checked)

        return describe

    async def add_many(
        self, calls: Iterable[TaskCall], *, chunk_size: int | None = 1000
    ) -> list[Execution]:
        """Schedule many calls in few round trips; each one stands for itself.

        Arguments:
            calls: what ``call`` made.
            chunk_size: how many go out in one round trip; None is all at once.

        Returns the executions in the order of the calls. One that the server refused says
        ``Disposition.FAILED`` and carries ``schedule_exception``.

        Raises:
            ValueError: the chunk size is less than 1.
            ServerUnavailable: the server did not answer in time; chunks before that are scheduled.
        """
        return await self._schedule_many("add", calls, chunk_size)

    async def replace_many(
        self, calls: Iterable[TaskCall], *, chunk_size: int | None = 1000
    ) -> list[Execution]:
        """Schedule calls as ``add_many`` does, in place of those with their keys."""
        return await self._schedule_many("replace", calls, chunk_size)

    async def schedule(self, execution: Execution) -> None:
        """Schedule an execution that was made by hand.

        Raises:
            WrongArguments: its arguments do not fit its task.
        """
        _bind(execution)
        call = TaskCall(
            execution.function,
            execution.args,
            execution.kwargs,
            execution.key,
            execution.when,
            execution.function_name,
            options=execution.options,
        )
        with tracing.spanning("docket.schedule", lambda: self._about(execution)) as span:
            await self._schedule("schedule", [(execution, call)], 1)
            span.set_attribute("docket.disposition", execution.disposition.value)

    async def cancel(self, key: str) -> None:
        """Cancel an execution for good; a running one is notified, and ends at its next checkpoint.

        An unknown key is not an error.
        """
        with tracing.spanning("docket.cancel", lambda: {**self.labels(), "docket.key": key}):
            word = await self.storage.executions.cancel(key, self.record_ttl)
        logs.cancelled(key, word)
        telemetry.cancelled(self.labels())

    async def get_execution(self, key: str) -> Execution | None:
        """Return the execution with this key and its progress as they are now; None if there is none."""
        record, progress = await self.storage.executions.read_with_progress(key)
        if record is None:
            return None
        execution = Execution.of(self, record)
        execution.progress.take(progress)
        return execution

    async def clear(self, *, author: str = "", reason: str = "") -> int:
        """Cancel everything that is queued or scheduled, and return how many that were.

        Arguments:
            author: the person who asks for it.
            reason: the reason, for people.
        """
        recorded = self.operations.audit.recording("clear", author=author, reason=reason)
        with tracing.spanning("docket.clear", self.labels):
            async with recorded as recording:
                # How many there are is known when they are gone; of nothing there is no entry.
                recording.meant = await self.storage.executions.clear(self.record_ttl)
                recording.succeed(recording.meant)
            return recording.done

    async def strike(
        self,
        function: Callable[..., Any] | str | None = None,
        parameter: str | None = None,
        operator: Operator | LiteralOperator = "==",
        value: Hashable | None = None,
        *,
        reason: str = "",
        author: str = "",
        expires: datetime | timedelta | None = None,
        action: Action = "drop",
        delay: timedelta | None = None,
    ) -> None:
        """Strike out a task, or everything with such an argument, everywhere and until ``restore``.

        What runs already goes on.

        Arguments:
            function: the task; None, or ``"*"``, is any.
            parameter: the parameter to look at; None, or ``"*"``, strikes the whole task.
            operator: the comparison with its argument.
            value: the value to compare with.
            reason: the reason, for people.
            author: the person who asks for it.
            expires: when the strike is over by itself, or after how long, by the server's clock.
            action: ``drop`` cancels what is struck, and refuses what is added; ``park`` keeps both, and
                queues them again when the strike is over; ``delay`` puts off what is about to run, again
                and again until the strike is over, its attempt unspent.
            delay: the time by which it is put off each time.

        Raises:
            ValueError: there is no such operator or action, neither a function nor a parameter was given,
                or action and delay do not fit each other.
            TypeError: the value is not hashable.

        Example:
            >>> await docket.strike(send_email, "customer", "==", "acme")
            >>> await docket.strike("charge", reason="bank is down", action="park",
            ...                     expires=timedelta(hours=1))
        """
        if action not in ACTIONS:
            raise ValueError(f'expected the action "drop", "park" or "delay", found {action!r}')
        if (action == "delay") != (delay is not None):
            raise ValueError('expected a delay with the action "delay", and with no other')
        rule = replace(
            rule_for(self._name(function), parameter, operator, value),
            reason=reason,
            author=author,
            action=action,
            expires=_aware(expires) if isinstance(expires, datetime) else None,
            delay=delay,
        )
        lasting = expires if isinstance(expires, timedelta) else None
        about = {"rule": rule.describe(), "action": action, "expires": expires, "delay": delay}
        recorded = self.operations.audit.recording(
            "strike", author=author, reason=reason, about=about
        )
        with tracing.spanning("docket.strike", lambda: {**self.labels(), **rule.labels()}):
            async with recorded as recording:
                await self.strike_list.impose(rule, lasting=lasting)
                recording.succeed()

    async def restore(
        self,
        function: Callable[..., Any] | str | None = None,
        parameter: str | None = None,
        operator: Operator | LiteralOperator = "==",
        value: Hashable | None = None,
        *,
        reason: str = "",
        author: str = "",
    ) -> None:
        """Remove a strike, given as it was struck; what it has parked is queued again.

        Arguments:
            function, parameter, operator, value: as for ``strike``.
            reason: the reason, for people.
            author: the person who asks for it.
        """
        rule = rule_for(self._name(function), parameter, operator, value)
        recorded = self.operations.audit.recording(
            "restore", author=author, reason=reason, about={"rule": rule.describe()}
        )
        with tracing.spanning("docket.restore", lambda: {**self.labels(), **rule.labels()}):
            async with recorded as recording:
                is_active = rule.identity in self.strike_list.rules
                await self.strike_list.lift(rule)
                recording.succeed(int(is_active))
                recording.refuse("not_active", int(not is_active))

    async def strikes(self) -> list[Rule]:
        """Return the active strikes, oldest first: what, why, by whom, since when and until when."""
        await self.strike_list.refresh()
        rules = self.strike_list.rules.values()
        return sorted(rules, key=lambda rule: (str(rule.since), rule.identity))

    async def strike_preview(
        self,
        function: Callable[..., Any] | str | None = None,
        parameter: str | None = None,
        operator: Operator | LiteralOperator = "==",
        value: Hashable | None = None,
    ) -> StrikePreview:
        """Count the executions that such a strike would hit now; everything that waits or runs is read.

        Arguments:
            as for ``strike``.

        Raises:
            as ``strike``.

        Example:
            >>> (await docket.strike_preview(send_email, "customer", "==", "acme")).queued
            1742
        """
        rule = rule_for(self._name(function), parameter, operator, value)
        found: dict[str, ExecutionState | None] = {}
        async for record in self.storage.executions.everything():
            if rule.task in (None, record.task):
                execution = Execution.of(self, record)
                if rule.conditions and not self._is_readable(record):
                    found[record.key] = None
                elif rule.strikes(execution):
                    found[record.key] = record.state
        counts = Counter(found.values())
        return StrikePreview(
            counts[ExecutionState.SCHEDULED],
            counts[ExecutionState.QUEUED],
            counts[ExecutionState.RUNNING],
            counts[None],
        )

    def _is_readable(self, record: Record) -> bool:
        """Return True if the arguments of an execution have names here."""
        if record.task not in self.tasks:
            return False
        try:
            self.serializer.load_call(record.call, context=place_of_call(record.task, record.key))
        except Undecodable:
            return False
        return True

    async def wait_for_strikes_loaded(self) -> None:
        """Wait until the active strikes are known here."""
        await self.strike_list.wait_for_strikes_loaded()

    async def snapshot(self) -> DocketSnapshot:
        """Take a snapshot of the docket: what is in the future, due and running, and the workers."""
        taken = datetime.now(timezone.utc)
        records = [record async for record in self.storage.executions.everything()]
        return snapshot_of(self, records, await self.workers(), taken)

    async def workers(self) -> Collection[WorkerInfo]:
        """Return the workers that live."""
        return await self.storage.workers.living(self.silence)

    async def task_workers(self, task_name: str) -> Collection[WorkerInfo]:
        """Return the workers that live and know a task."""
        return await self.storage.workers.knowing(task_name, self.silence)

    @property
    def record_ttl(self) -> timedelta:
        """Time that the record of a finished execution is kept: long enough to answer a repeated call."""
        return max(self.execution_ttl, REMEMBERED)

    @property
    def dead_ttl(self) -> timedelta:
        """Time that dead letters are kept; no longer than others where nothing is to be kept."""
        return max(self.record_ttl, DEAD_LETTER_TTL) if self.execution_ttl else self.record_ttl

    def dump_call(
        self, task: str, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """Return the arguments of a call as they are stored.

        Arguments:
            task: the name of the task.
            key: what the call is known by.
            args: the positional ones.
            kwargs: the keyword ones.

        Raises:
            WrongArguments: they do not fit the task.
            PayloadTooLarge, NotSerializable: they cannot be stored.
        """
        function = self.registry.find(task)
        bind(task, function, args, kwargs)
        signature = get_signature(function)
        return self.serializer.dump_call(
            args, kwargs, signature, context=place_of_call(task, key), nonce=new_nonce()
        )

    def _name(self, function: TaskFunction | str | None) -> str | None:
        return self.registry.name_of(function) if callable(function) else function

    async def _schedule_one(self, mode: Literal["add", "replace"], call: TaskCall) -> Execution:
        execution = self._execution(call)
        with tracing.spanning(f"docket.{mode}", lambda: self._about(execution)) as span:
            await self._schedule(mode, [(execution, call)], 1)
            span.set_attribute("docket.disposition", execution.disposition.value)
            if execution.schedule_exception is not None:
                raise execution.schedule_exception
        return execution

    async def _schedule_many(
        self, mode: Literal["add", "replace"], calls: Iterable[TaskCall], chunk_size: int | None
    ) -> list[Execution]:
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
        pairs = [(self._execution(call), call) for call in calls]
        for execution, call in pairs:
            # All of them, before the first one is sent: a call may also have been described by hand.
            if not call.is_bound:
                _bind(execution)
        size = chunk_size or max(len(pairs), 1)
        counts = {**self.labels(), "docket.batch.count": len(pairs)}
        with tracing.spanning(f"docket.{mode}_many", lambda: counts) as span:
            await self._schedule(mode, pairs, size)
            executions = [execution for execution, _ in pairs]
            stricken = sum(one.disposition is Disposition.STRUCK for one in executions)
            span.set_attribute("docket.batch.stricken", stricken)
        return executions

    async def _schedule(
        self,
        mode: Literal["add", "replace", "schedule"],
        pairs: Sequence[tuple[Execution, TaskCall]],
        size: int,
    ) -> None:
        """Schedule what is not struck, so many at a time, and give each execution its outcome."""
        kept: list[Execution] = []
        new: list[NewExecution] = []
        trace = tracing.outgoing()
        for execution, call in pairs:
            rule = self.strike_list.find(execution)
            if rule is not None and rule.action == "drop":
                execution.disposition = Disposition.STRUCK
                self._tell(mode, execution)
                continue
            # One that parks is the server's to apply, if it is still active there; one that delays,
            # the worker's.
            parks = rule.identity if rule is not None and rule.action == "park" else ""
            kept.append(execution)
            # Each call of a batch is one of its own, also of a key that the batch names twice.
            nonce = FRESH if call.is_fresh else new_nonce()
            new.append(new_execution(execution, call, nonce, trace, parks))
        await self._readers.refuse_unread(new)
        way: Literal["add", "replace"] = "replace" if mode == "replace" else "add"
        # All of a batch is sent again if any of it was not answered.
        with self.unanswered.sending(way, new) as sent:
            for at in range(0, len(sent), size):
                answers = await self.storage.executions.schedule(sent[at : at + size], mode=way)
                for execution, answer in zip(kept[at : at + size], answers, strict=True):
                    execution.learn(answer)
                    self._tell(mode, execution)

    def _tell(self, mode: str, execution: Execution) -> None:
        if execution.disposition is Disposition.STRUCK:
            logs.struck_at_add(execution.call_repr)
        labels = {**self.labels(), **execution.general_labels()}
        telemetry.scheduled(mode, execution.disposition, labels)

    def _about(self, execution: Execution) -> Mapping[str, str | int]:
        """Return the attributes of a client span about the execution that it schedules."""
        return {
            **self.labels(),
            **execution.specific_labels(),
            "code.function.name": execution.function_name,
        }

    def _execution(self, call: TaskCall) -> Execution:
        execution = Execution(
            self,
            call.function,
            call.args,
            call.kwargs,
            call.key,
            call.when,
            attempt=1,
            function_name=call.function_name or self.registry.name_of(call.function),
        )
        execution.options = call.options
        return execution


def _task_call(
    task: TaskFunction,
    name: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    when: datetime | None,
    key: str | None,
    options: CallOptions,
    *,
    is_used_once: bool = False,
) -> TaskCall:
    due = datetime.now(timezone.utc) if when is None else _aware(when)
    _check_options(options, when, key)
    if key is None:
        fresh = new_key()
        return TaskCall(
            task,
            args,
            kwargs,
            fresh,
            due,
            name,
            immediate=when is None,
            is_fresh=is_used_once,
            is_bound=True,
            options=options,
        )
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidKey(f"expected a string as the key, found {key!r}")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKey(
            f"expected a key that UTF-8 can say, found {key[:80]!r}; name undecodable bytes by their "
            "hexadecimal digits, say"
        ) from None
    if size > LONGEST_KEY:
        raise InvalidKey(
            f"expected a key of at most {LONGEST_KEY} bytes, found {key[:80]!r}… ({size} bytes); shorten it, "
            "take a digest of it, or leave it out to get a unique one"
        )
    return TaskCall(
        task, args, kwargs, key, due, name, immediate=when is None, is_bound=True, options=options
    )


def _check_options(options: CallOptions, when: datetime | None, key: str | None) -> None:
    if options.once and key is None:
        raise InvalidOption(
            "expected a key with once: a call that is made again is known by its key; give it one"
        )
    expires = options.expires
    if isinstance(expires, datetime) and when is not None and expires <= when:
        raise InvalidOption(
            f"expected expires after when ({when.isoformat()}), found {expires.isoformat()}: it could never "
            "begin"
        )


def _bind(execution: Execution) -> None:
    bind(execution.function_name, execution.function, execution.args, execution.kwargs)


def _history_at(found: address.Address) -> HistoryLimits:
    if found.has_history is False:
        return NO_HISTORY
    usual = HistoryLimits()
    return HistoryLimits(
        usual.keep if found.history_keep is None else found.history_keep,
        found.history_memory or usual.max_memory,
    )


def _results_at(found: address.Address) -> ResultLimits:
    return ResultLimits() if found.result_memory is None else ResultLimits(found.result_memory)


def _audit_at(found: address.Address) -> AuditLimits:
    usual = AuditLimits()
    return AuditLimits(
        found.audit_keep or usual.keep,
        found.audit_memory or usual.max_memory,
    )


def _aware(when: datetime) -> datetime:
    if not isinstance(when, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected a datetime as when, found {when!r}")
    if when.tzinfo is None:
        raise ValueError(
            f"expected an aware datetime, found {when!r}; add a time zone, "
            "such as datetime.now(timezone.utc) + timedelta(minutes=5)"
        )
    return when


def _check_lengths(heartbeat: timedelta, missed: int, ttl: timedelta) -> None:
    if heartbeat <= timedelta():
        raise InvalidSetting(
            f"expected a heartbeat_interval longer than zero, found {format_duration(heartbeat)}"
        )
    if missed < 1:
        raise InvalidSetting(f"expected missed_heartbeats of 1 or more, found {missed}")
    if ttl < timedelta():
        raise InvalidSetting(
            f"expected an execution_ttl of zero or more, found {format_duration(ttl)}"
        )


def _is_elsewhere(url: str | None) -> bool:
    """Return True if a url names a server that comes and goes without us."""
    return url is not None and not url.lower().startswith(("memory:", "embedded:"))
