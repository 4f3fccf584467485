"""So many runs at a time, and no more."""

from __future__ import annotations

import copy
from typing import Any, Literal, TypeAlias, overload

from typing_extensions import Self, override
from uncalled_for import Dependency

from ..execution import Execution
from .admission import argument_of, limit_name
from .base import AdmissionBlocked, current_docket, current_execution

OnConflict: TypeAlias = Literal["wait", "drop"]


class ConcurrencyBlocked(AdmissionBlocked):
    """Raised when all slots are taken; the execution waits, and is woken when one is free.

    Arguments:
        execution: what waits.
        concurrency_key: for a slot of which limit.
        max_concurrent: how many slots that has.
    """

    def __init__(self, execution: Execution, concurrency_key: str, max_concurrent: int) -> None:
        super().__init__(
            execution,
            f"concurrency limit ({max_concurrent} max) on {concurrency_key}",
            handled=True,
        )
        self.concurrency_key = concurrency_key
        self.max_concurrent = max_concurrent


class ConcurrencyLimit(Dependency["ConcurrencyLimit"]):
    """Lets at most ``max_concurrent`` calls run at a time, of a task or per argument.

    The others wait without holding a worker's slot, and are woken one by one.

    Arguments:
        argument_name: the parameter whose argument tells limits apart; the number of slots, if it is
            one; left out, the limit is for the whole task.
        max_concurrent: the number of slots.
        scope: sets limits of the same name apart.
        on_conflict: whether a call that is too many waits, or is dropped.

    Example:
        >>> async def sync(customer_id: Annotated[int, ConcurrencyLimit(1)]) -> None: ...
        >>> async def report(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=3)) -> None: ...
    """

    single = True

    @overload
    def __init__(
        self, max_concurrent: int, /, *, scope: str | None = None, on_conflict: OnConflict = "wait"
    ) -> None: ...

    @overload
    def __init__(
        self,
        argument_name: str,
        max_concurrent: int = 1,
        scope: str | None = None,
        *,
        on_conflict: OnConflict = "wait",
    ) -> None: ...

    @overload
    def __init__(
        self,
        *,
        max_concurrent: int = 1,
        scope: str | None = None,
        on_conflict: OnConflict = "wait",
    ) -> None: ...

    def __init__(
        self,
        argument_name: str | int | None = None,
        max_concurrent: int = 1,
        scope: str | None = None,
        *,
        on_conflict: OnConflict = "wait",
    ) -> None:
        if isinstance(argument_name, int):
            argument_name, max_concurrent = None, argument_name
        if max_concurrent < 1:
            raise ValueError(f"max_concurrent must be at least 1, got {max_concurrent}")
        self.argument_name = argument_name
        self.max_concurrent = max_concurrent
        self.scope = scope
        self.on_conflict: OnConflict = on_conflict
        self._key: str | None = None

    @override
    def bind_to_parameter(self, name: str, value: Any) -> Self:
        bound = copy.copy(self)
        bound.argument_name = self.argument_name or name
        return bound

    @property
    def concurrency_key(self) -> str:
        """The name of the limit, with the argument that it is for.

        Raises:
            RuntimeError: no task runs under it yet.
        """
        if self._key is None:
            raise RuntimeError(
                "ConcurrencyLimit not initialized - use within task context: its key is known once a "
                "task runs under it"
            )
        return self._key

    @override
    async def __aenter__(self) -> Self:
        bound = copy.copy(self)
        await bound.acquire()
        return bound

    async def acquire(self) -> None:
        """Take a slot.

        Raises:
            ConcurrencyBlocked: there is none.
            ValueError: the task was called without the argument.
        """
        execution, docket = current_execution.get(), current_docket.get()
        slot = self._slot(execution)
        self._key = f"{docket.prefix}:slots:{slot}"
        if execution.slot == f"{self.max_concurrent}\n{slot}":
            return  # given while it waited, under the same rule
        assert execution.message_id is not None, "a slot is held by a run that a worker has claimed"
        if not await docket.storage.limits.acquire(
            slot, self.max_concurrent, execution.queue, execution.message_id
        ):
            blocked = ConcurrencyBlocked(execution, slot, self.max_concurrent)
            if self.on_conflict == "wait":
                raise blocked
            raise AdmissionBlocked(execution, blocked.reason, reschedule=False)

    def _slot(self, execution: Execution) -> str:
        name = self.argument_name
        if name is None:
            return limit_name(self.scope, execution.function_name, None, None)
        value = argument_of(execution, name, "ConcurrencyLimit")
        return limit_name(self.scope, execution.function_name, name, value)
