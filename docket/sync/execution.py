"""An execution and its progress, for code that does not await."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..calls.progress import ExecutionProgress
from ..calls.registry import TaskFunction
from ..execution import Execution
from ..foundation.call_options import CallOptions
from ..foundation.events import ProgressEvent, StateEvent
from ..foundation.lifecycle import Disposition, ExecutionState
from .bridge import Bridge, Tied


class SyncExecutionProgress(Tied):
    """The progress of an execution: a current value, a total and a message.

    Arguments:
        progress: the progress.
        bridge: the bridge to its loop.
    """

    def __init__(self, progress: ExecutionProgress, bridge: Bridge) -> None:
        self._progress = progress
        self._bridge = bridge

    @property
    def current(self) -> int | None:
        """The value reached so far; None before the first one."""
        return self._progress.current

    @property
    def total(self) -> int:
        """The value at which ``current`` is complete."""
        return self._progress.total

    @property
    def message(self) -> str | None:
        """The last message."""
        return self._progress.message

    @property
    def updated_at(self) -> datetime | None:
        """Time of the last change."""
        return self._progress.updated_at

    def set_total(self, total: int) -> None:
        """Set the value at which ``current`` is complete.

        Raises:
            ValueError: the total is less than 1.
        """
        self._bridge.wait(lambda: self._progress.set_total(total))

    def increment(self, amount: int = 1) -> None:
        """Increase the current value.

        Raises:
            ValueError: the amount is less than 1.
        """
        self._bridge.wait(lambda: self._progress.increment(amount))

    def set_message(self, message: str | None) -> None:
        """Set the message; None removes it."""
        self._bridge.wait(lambda: self._progress.set_message(message))

    def sync(self) -> None:
        """Read how it stands now."""
        self._bridge.wait(self._progress.sync)

    def subscribe(self) -> Generator[ProgressEvent, None, None]:
        """Yield the current state and progress, then every change; the last one is the final state."""
        return self._bridge.stream(self._progress.subscribe)


class SyncExecution(Tied):
    """One call of a task, known by its key; what an ``Execution`` knows, this knows, too.

    Arguments:
        execution: the execution.
        bridge: where it lives.
    """

    def __init__(self, execution: Execution, bridge: Bridge) -> None:
        self._execution = execution
        self._bridge = bridge

    def __repr__(self) -> str:
        return repr(self._execution).replace("<Execution", "<SyncExecution", 1)

    def __getattr__(self, name: str) -> Any:
        # Before there is anything to ask: copying and pickling look at an object that is not made yet.
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found = getattr(self._execution, name)
        if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
            raise AttributeError(
                f"expected something that need not be awaited, found Execution.{name}; it is not to be had "
                "in plain functions: use an async def task for it"
            )
        return found

    @property
    def key(self) -> str:
        """Its key."""
        return self._execution.key

    @property
    def function(self) -> TaskFunction:
        """The task."""
        return self._execution.function

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of its call."""
        return self._execution.tags

    @property
    def options(self) -> CallOptions:
        """The options of its call."""
        return self._execution.options

    @property
    def function_name(self) -> str:
        """The name of its task."""
        return self._execution.function_name

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return self._execution.args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The keyword arguments."""
        return self._execution.kwargs

    @property
    def when(self) -> datetime:
        """Its due time."""
        return self._execution.when

    @property
    def attempt(self) -> int:
        """Number of the attempt."""
        return self._execution.attempt

    @property
    def fence(self) -> int | None:
        """Guard of writes to other systems against outdated runs."""
        return self._execution.fence

    @property
    def state(self) -> ExecutionState:
        """Its state, as far as it is known here; see ``sync``."""
        return self._execution.state

    @property
    def disposition(self) -> Disposition:
        """The outcome of the call that scheduled it."""
        return self._execution.disposition

    @property
    def schedule_exception(self) -> Exception | None:
        """Reason why it could not be scheduled, in a batch."""
        return self._execution.schedule_exception

    @property
    def progress(self) -> SyncExecutionProgress:
        """Its progress."""
        return SyncExecutionProgress(self._execution.progress, self._bridge)

    @property
    def worker(self) -> str | None:
        """The worker that has it, or had it last."""
        return self._execution.worker

    @property
    def started_at(self) -> datetime | None:
        """Time of its start."""
        return self._execution.started_at

    @property
    def completed_at(self) -> datetime | None:
        """Time of its end."""
        return self._execution.completed_at

    @property
    def error(self) -> str | None:
        """Its error, in one line."""
        return self._execution.error

    def get_argument(self, parameter: str) -> Any:
        """Return the argument that was given for a parameter, as ``Execution.get_argument``."""
        return self._execution.get_argument(parameter)

    def sync(self) -> None:
        """Read how it stands now, its progress included."""
        self._bridge.wait(self._execution.sync)

    def is_superseded(self) -> bool:
        """Return True if its key has moved on to another generation, or is no longer known."""
        return self._bridge.wait(self._execution.is_superseded)

    def subscribe(self) -> Generator[StateEvent | ProgressEvent, None, None]:
        """Yield the current state and progress, then every change; the last one is the final state.

        Nothing that follows the first is missed.

        Example:
            >>> for event in docket.add(greet)("Jane").subscribe():
            ...     print(event)
        """
        return self._bridge.stream(self._execution.subscribe)

    def get_result(
        self, *, timeout: timedelta | None = None, deadline: datetime | None = None
    ) -> Any:
        """Wait until it has ended, and give what the task returned.

        Arguments:
            timeout: how long to wait; None is without end.
            deadline: until when to wait.

        Raises:
            TimeoutError: it has not ended in time.
            ExecutionCancelled: it was cancelled.
            Exception: the very error that the task failed with.
        """
        return self._bridge.wait(
            lambda: self._execution.get_result(timeout=timeout, deadline=deadline)
        )
