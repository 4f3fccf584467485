"""The values that plain functions are given: the same things, for code that does not await."""

from __future__ import annotations

from typing import Any, cast

from typing_extensions import Self, override
from uncalled_for import Dependency

from ..docket import Docket
from ..execution import Execution, ExecutionProgress
from ..sync import Bridge, SyncDocket, SyncExecution, SyncExecutionProgress
from .base import current_docket, current_execution
from .progress import Progress


class _CurrentSyncDocket(Dependency[SyncDocket]):
    is_for_threads = True
    is_tied = True

    @override
    async def __aenter__(self) -> SyncDocket:
        return SyncDocket.of(current_docket.get(), Bridge.here())


def CurrentSyncDocket() -> SyncDocket:  # noqa: N802 - reads like the class it gives
    """The docket that the task runs for, in a plain function.

    Example:
        >>> def fan_out(docket: SyncDocket = CurrentSyncDocket()) -> None:
        ...     docket.add(greet)("Jane")
    """
    return cast(SyncDocket, _CurrentSyncDocket())


class SyncProgress(Dependency["SyncProgress"]):
    """The progress that a plain function reports.

    Example:
        >>> def export(rows: int, progress: SyncProgress = SyncProgress()) -> None:
        ...     progress.set_total(rows)
        ...     for _ in range(rows):
        ...         progress.increment()
    """

    is_for_threads = True
    is_tied = True

    def __init__(self) -> None:
        self.of_run: SyncExecutionProgress | None = None

    @classmethod
    def of(cls, progress: ExecutionProgress, bridge: Bridge) -> Self:
        """Return the progress of a run."""
        bound = cls()
        bound.of_run = SyncExecutionProgress(progress, bridge)
        return bound

    @override
    async def __aenter__(self) -> Self:
        return self.of(current_execution.get().progress, Bridge.here())

    @property
    def current(self) -> int | None:
        """The value reached so far; None before the first one."""
        return self._known.current

    @property
    def total(self) -> int:
        """The value at which ``current`` is complete."""
        return self._known.total

    @property
    def message(self) -> str | None:
        """The last message."""
        return self._known.message

    def set_total(self, total: int) -> None:
        """Set the value at which ``current`` is complete.

        Raises:
            ValueError: the total is less than 1.
        """
        self._known.set_total(total)

    def increment(self, amount: int = 1) -> None:
        """Increase the current value.

        Raises:
            ValueError: the amount is less than 1.
        """
        self._known.increment(amount)

    def set_message(self, message: str | None) -> None:
        """Set the message; None removes it."""
        self._known.set_message(message)

    @property
    def _known(self) -> SyncExecutionProgress:
        assert self.of_run is not None, "SyncProgress is known while a task runs"
        return self.of_run


def for_plain(value: Any) -> Any:
    """Return what a plain function is given in place of an object whose calls it could not await."""
    match value:
        case Docket():
            return SyncDocket.of(value, Bridge.here())
        case Progress():
            assert value.of_run is not None, "it was entered"
            return SyncProgress.of(value.of_run, Bridge.here())
        case Execution():
            return SyncExecution(value, Bridge.here())
        case ExecutionProgress():
            return SyncExecutionProgress(value, Bridge.here())
        case _:
            return value
