"""The calls of a docket, for code that does not await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, overload

from typing_extensions import Unpack

from ..calls.registry import TaskFunction
from ..docket import Docket
from ..execution import Execution, TaskCall
from ..foundation.call_options import Options
from ..insights.snapshot import StrikePreview
from ..storage.workers import WorkerInfo
from ..strikelist import Action, LiteralOperator, Operator, Rule
from .bridge import Bridge, Tied
from .execution import SyncExecution
from .insights import SyncInsights
from .operations import SyncOperations
from .snapshot import SyncDocketSnapshot

P = ParamSpec("P")
R = TypeVar("R")


class SyncCalls(Tied):
    """The calls of a docket; each returns when it is done.

    Arguments:
        docket: the docket.
        bridge: into the event loop that it is opened in.
    """

    def __init__(self, docket: Docket, bridge: Bridge) -> None:
        self._docket = docket
        self._bridge = bridge

    @property
    def name(self) -> str:
        """The name of the docket."""
        return self._docket.name

    @property
    def url(self) -> str:
        """URL of its server."""
        return self._docket.url

    @property
    def tasks(self) -> Mapping[str, TaskFunction]:
        """The tasks that are known here, by name."""
        return self._docket.tasks.copy()

    @property
    def insights(self) -> SyncInsights:
        """Explanations of why its work runs, waits or has ended so."""
        return SyncInsights(self._docket, self._bridge)

    @property
    def operations(self) -> SyncOperations:
        """The deeds that can be done to it."""
        return SyncOperations(self._docket, self._bridge)

    def labels(self) -> Mapping[str, str]:
        """Return the labels of this docket's metrics and spans."""
        return self._docket.labels()

    def key(self, suffix: str) -> str:
        """Return a key of its own below the docket's."""
        return self._docket.key(suffix)

    def register(
        self, function: TaskFunction, names: Sequence[str] | None = None, *, replace: bool = False
    ) -> None:
        """Make a task known, as ``Docket.register``."""
        self._bridge.call(lambda: self._docket.register(function, names, replace=replace))

    def register_collection(self, collection_path: str) -> None:
        """Make all tasks of an iterable known, as ``Docket.register_collection``."""
        self._bridge.call(lambda: self._docket.register_collection(collection_path))

    @overload
    def add(
        self,
        function: Callable[P, Awaitable[R]],
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[P, SyncExecution]: ...

    @overload
    def add(
        self,
        function: Callable[P, R],
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[P, SyncExecution]: ...

    @overload
    def add(
        self,
        function: str,
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[..., SyncExecution]: ...

    def add(
        self,
        function: Callable[..., Any] | str,
        when: datetime | None = None,
        key: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[..., SyncExecution]:
        """Schedule a call of a task; it is durable when the call returns.

        Arguments:
            as for ``Docket.add``.

        Raises:
            as ``Docket.add``.
        """
        self._expect_known(function)

        def schedule(*args: Any, **kwargs: Any) -> SyncExecution:
            return self._kept(
                lambda: self._docket.add(function, when, key, **options)(*args, **kwargs)
            )

        return schedule

    @overload
    def replace(
        self,
        function: Callable[P, Awaitable[R]],
        when: datetime,
        key: str,
        **options: Unpack[Options],
    ) -> Callable[P, SyncExecution]: ...

    @overload
    def replace(
        self, function: Callable[P, R], when: datetime, key: str, **options: Unpack[Options]
    ) -> Callable[P, SyncExecution]: ...

    @overload
    def replace(
        self, function: str, when: datetime, key: str, **options: Unpack[Options]
    ) -> Callable[..., SyncExecution]: ...

    def replace(
        self,
        function: Callable[..., Any] | str,
        when: datetime,
        key: str,
        **options: Unpack[Options],
    ) -> Callable[..., SyncExecution]:
        """Schedule a call of a task in the place of what the key stands for, as ``Docket.replace``."""
        self._expect_known(function)

        def schedule(*args: Any, **kwargs: Any) -> SyncExecution:
            return self._kept(
                lambda: self._docket.replace(function, when, key, **options)(*args, **kwargs)
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
        """Describe a call without scheduling it, for ``add_many`` and ``replace_many``."""
        self._expect_known(function)

        def describe(*args: Any, **kwargs: Any) -> TaskCall:
            return self._bridge.call(
                lambda: self._docket.call(function, when, key, **options)(*args, **kwargs)
            )

        return describe

    def add_many(
        self, calls: Iterable[TaskCall], *, chunk_size: int | None = 1000
    ) -> list[SyncExecution]:
        """Schedule many calls in few round trips, as ``Docket.add_many``."""
        described = list(calls)
        return self._all_kept(lambda: self._docket.add_many(described, chunk_size=chunk_size))

    def replace_many(
        self, calls: Iterable[TaskCall], *, chunk_size: int | None = 1000
    ) -> list[SyncExecution]:
        """Schedule calls as ``add_many`` does, in place of those with their keys."""
        described = list(calls)
        return self._all_kept(lambda: self._docket.replace_many(described, chunk_size=chunk_size))

    def cancel(self, key: str) -> None:
        """Cancel an execution for good; a running one is notified, and ends at its next checkpoint."""
        self._bridge.wait(lambda: self._docket.cancel(key))

    def get_execution(self, key: str) -> SyncExecution | None:
        """Return the execution with this key and its progress as they are now; None if there is none."""
        execution = self._bridge.wait(lambda: self._docket.get_execution(key))
        return None if execution is None else SyncExecution(execution, self._bridge)

    def clear(self, *, author: str = "", reason: str = "") -> int:
        """Cancel everything that is queued or scheduled, and return how many that were."""
        return self._bridge.wait(lambda: self._docket.clear(author=author, reason=reason))

    def strike(
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
        """Strike out a task, or all that has such an argument, as ``Docket.strike``."""
        self._bridge.wait(
            lambda: self._docket.strike(
                function,
                parameter,
                operator,
                value,
                reason=reason,
                author=author,
                expires=expires,
                action=action,
                delay=delay,
            )
        )

    def restore(
        self,
        function: Callable[..., Any] | str | None = None,
        parameter: str | None = None,
        operator: Operator | LiteralOperator = "==",
        value: Hashable | None = None,
        *,
        reason: str = "",
        author: str = "",
    ) -> None:
        """Remove a strike, given as it was struck; what it has parked is queued again."""
        self._bridge.wait(
            lambda: self._docket.restore(
                function, parameter, operator, value, reason=reason, author=author
            )
        )

    def strikes(self) -> list[Rule]:
        """Return the active strikes, oldest first."""
        return self._bridge.wait(self._docket.strikes)

    def strike_preview(
        self,
        function: Callable[..., Any] | str | None = None,
        parameter: str | None = None,
        operator: Operator | LiteralOperator = "==",
        value: Hashable | None = None,
    ) -> StrikePreview:
        """Count the executions that such a strike would hit now, as ``Docket.strike_preview`` does."""
        return self._bridge.wait(
            lambda: self._docket.strike_preview(function, parameter, operator, value)
        )

    def wait_for_strikes_loaded(self) -> None:
        """Wait until the active strikes are known here."""
        self._bridge.wait(self._docket.wait_for_strikes_loaded)

    def snapshot(self) -> SyncDocketSnapshot:
        """Take a snapshot of the docket: what is in the future, due and running, and the workers."""
        return SyncDocketSnapshot.of(self._bridge.wait(self._docket.snapshot), self._bridge)

    def workers(self) -> Collection[WorkerInfo]:
        """Return the workers that live."""
        return self._bridge.wait(self._docket.workers)

    def task_workers(self, task_name: str) -> Collection[WorkerInfo]:
        """Return the workers that live and know a task."""
        return self._bridge.wait(lambda: self._docket.task_workers(task_name))

    def _expect_known(self, function: Callable[..., Any] | str) -> None:
        """Refuse a name that is not known, as a docket does: before the call, not in it."""
        if isinstance(function, str):
            self._docket.registry.named(function)

    def _kept(self, ask: Callable[[], Awaitable[Execution]]) -> SyncExecution:
        return SyncExecution(self._bridge.wait(ask), self._bridge)

    def _all_kept(self, ask: Callable[[], Awaitable[list[Execution]]]) -> list[SyncExecution]:
        return [SyncExecution(one, self._bridge) for one in self._bridge.wait(ask)]
