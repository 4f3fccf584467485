"""The base of dependencies, and the roles that some of them play in a run."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from uncalled_for import Dependency

from ..docket import Docket
from ..execution import Execution
from ..foundation.plain import plain

T_co = TypeVar("T_co", covariant=True)

current_docket: ContextVar[Docket] = ContextVar("current_docket")
"""The docket whose task runs here."""

current_worker: ContextVar[Any] = ContextVar("current_worker")
"""The worker that runs the task."""

current_execution: ContextVar[Execution] = ContextVar("current_execution")
"""The execution that runs here."""

# Frameworks of the time before uncalled-for look for them on the class.
for _name, _variable in {
    "docket": current_docket,
    "worker": current_worker,
    "execution": current_execution,
}.items():
    setattr(Dependency, _name, _variable)


@dataclass
class TaskOutcome:
    """The outcome of a call of a task, for handlers.

    Arguments:
        duration: its duration.
        result: its result.
        exception: the exception that it raised.
    """

    duration: timedelta
    result: Any = None
    exception: BaseException | None = None


class AdmissionBlocked(Exception):
    """Raised by a dependency that does not let a task start now.

    Arguments:
        execution: what is not let in.
        reason: by what, for the log.
        handled: the dependency has seen to the execution's future itself.
        reschedule: try again later; otherwise the execution is dropped.
        retry_delay: how much later; a tenth of a second, if left out.
    """

    def __init__(
        self,
        execution: Execution,
        reason: str = "admission control",
        *,
        handled: bool = False,
        reschedule: bool = True,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(f"Task {plain(execution.key)} blocked by {reason}")
        self.execution = execution
        self.reason = reason
        self.handled = handled
        self.reschedule = reschedule
        self.retry_delay = retry_delay


class Runtime(Dependency[T_co]):
    """A dependency that calls the task in its own way, a timeout for instance; a task can have one."""

    single = True

    @abc.abstractmethod
    async def run(
        self,
        execution: Execution,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call the function and give what it returns.

        Arguments:
            execution: what runs.
            function: the task.
            args: its positional arguments.
            kwargs: its keyword arguments, resolved dependencies among them.
        """


class FailureHandler(Dependency[T_co]):
    """Decides what follows a failure, a retry for instance; a task can have one."""

    single = True

    @abc.abstractmethod
    async def handle_failure(self, execution: Execution, outcome: TaskOutcome) -> bool:
        """Return True if the failure is taken care of; the execution is not marked as failed then.

        Arguments:
            execution: the failed execution.
            outcome: with the exception.
        """


class CompletionHandler(Dependency[T_co]):
    """Decides what follows the end of a run, another run for instance; a task can have one."""

    single = True

    @abc.abstractmethod
    async def on_complete(self, execution: Execution, outcome: TaskOutcome) -> bool:
        """Return True if something follows; the execution is not marked as ended then.

        Arguments:
            execution: the execution that succeeded, or failed without a retry.
            outcome: its outcome.
        """


def format_duration(seconds: float) -> str:
    """Return a duration in a column of a log: milliseconds below 100 s, seconds above."""
    return f"{seconds * 1000:6.0f}ms" if seconds < 100 else f"{seconds:6.0f}s "
