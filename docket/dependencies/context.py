"""The facts that a task can ask about its own run."""

from __future__ import annotations

import logging
from typing import Any, cast

from typing_extensions import override
from uncalled_for import Dependency, current_frame
from uncalled_for.frames import _CallArgument

from ..docket import Docket
from ..execution import Execution
from .base import current_docket, current_execution, current_worker


class _CurrentDocket(Dependency[Docket]):
    is_tied = True

    @override
    async def __aenter__(self) -> Docket:
        return current_docket.get()


def CurrentDocket() -> Docket:  # noqa: N802 - reads like the class it gives
    """The docket that the task runs for.

    Example:
        >>> async def fan_out(docket: Docket = CurrentDocket()) -> None:
        ...     await docket.add(greet)("Jane")
    """
    return cast(Docket, _CurrentDocket())


class _CurrentWorker(Dependency[Any]):
    is_tied = True

    @override
    async def __aenter__(self) -> Any:
        return current_worker.get()


def CurrentWorker() -> Any:  # noqa: N802
    """The worker that runs the task.

    Example:
        >>> async def where(worker: Worker = CurrentWorker()) -> str:
        ...     return worker.name
    """
    return _CurrentWorker()


class _CurrentExecution(Dependency[Execution]):
    is_tied = True

    @override
    async def __aenter__(self) -> Execution:
        return current_execution.get()


def CurrentExecution() -> Execution:  # noqa: N802
    """The execution that the task is running as; its ``fence`` guards writes to other systems.

    Example:
        >>> async def charge(order: int, run: Execution = CurrentExecution()) -> None:
        ...     await bank.charge(order, idempotency_key=run.key)
    """
    return cast(Execution, _CurrentExecution())


class _TaskKey(Dependency[str]):
    @override
    async def __aenter__(self) -> str:
        return current_execution.get().key


def TaskKey() -> str:  # noqa: N802
    """The key of the execution.

    Example:
        >>> async def export(key: str = TaskKey()) -> None: ...
    """
    return cast(str, _TaskKey())


class _TaskArgument(_CallArgument):
    """An argument that the caller gave; what other dependencies resolve to does not count."""

    is_only_given = True

    @override
    async def __aenter__(self) -> Any:
        if self.parameter is None:
            raise ValueError("No parameter name specified")
        try:
            return await current_frame().resolve(self.parameter, provided_only=True)
        except LookupError:
            if self.optional:
                return None
            raise KeyError(self.parameter) from None

    @property
    def is_bare(self) -> bool:
        """True if it takes its name from the parameter that it stands at."""
        return self.parameter is None


def TaskArgument(parameter: str | None = None, optional: bool = False) -> Any:  # noqa: N802
    """One argument of the task, for a function that the task depends on.

    Arguments:
        parameter: its name; that of the parameter it stands at, if left out.
        optional: give None where the caller gave no such argument.

    Raises:
        KeyError: when the task starts, if the caller gave none.

    Example:
        >>> async def customer_of(order_id: int = TaskArgument()) -> Customer: ...
        >>> async def ship(order_id: int, customer: Customer = Depends(customer_of)) -> None: ...
    """
    return _TaskArgument(parameter, optional)


class _TaskLogger(Dependency["logging.LoggerAdapter[logging.Logger]"]):
    @override
    async def __aenter__(self) -> logging.LoggerAdapter[logging.Logger]:
        execution = current_execution.get()
        labels = {
            **current_docket.get().labels(),
            **current_worker.get().labels(),
            "docket.task": execution.function_name,
            "docket.key": execution.key,
            "docket.when": execution.when.isoformat(),
            "docket.attempt": execution.attempt,
        }
        return logging.LoggerAdapter(
            logging.getLogger(f"docket.task.{execution.function_name}"), labels
        )


def TaskLogger() -> logging.LoggerAdapter[logging.Logger]:  # noqa: N802
    """A logger that names the task, its key and its worker in every record.

    Example:
        >>> async def ship(order_id: int, log: logging.LoggerAdapter = TaskLogger()) -> None:
        ...     log.info("shipping %s", order_id)
    """
    return cast("logging.LoggerAdapter[logging.Logger]", _TaskLogger())
