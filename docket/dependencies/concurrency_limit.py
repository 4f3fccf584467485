"""Limits of how many runs there are at a time."""

from __future__ import annotations

import copy
from typing import Any, Literal, TypeAlias, overload

from typing_extensions import Self, override

from ..execution import Execution
from ..storage.limits import GateAnswer, Question, Word
from .admission import Gate, argument_of, limit_name
from .base import AdmissionBlocked, current_docket, current_execution

OnConflict: TypeAlias = Literal["wait", "drop"]


class ConcurrencyBlocked(AdmissionBlocked):
    """Raised when all slots are taken; the execution waits, and is woken when one is free.

    Arguments:
        execution: the execution that waits.
        concurrency_key: the limit whose slot it waits for.
        max_concurrent: the number of its slots.
        definition: the common name of all limits of its parameter, for any argument.
    """

    def __init__(
        self,
        execution: Execution,
        concurrency_key: str,
        max_concurrent: int,
        *,
        definition: str = "",
    ) -> None:
        super().__init__(
            execution,
            f"concurrency limit ({max_concurrent} max) on {concurrency_key}",
            handled=True,
        )
        self.concurrency_key = concurrency_key
        self.max_concurrent = max_concurrent
        self.definition = definition


class ConcurrencyLimit(Gate["ConcurrencyLimit"]):
    """A limit of ``max_concurrent`` calls at a time, of a task or per argument.

    The others wait without holding a worker's slot, and are woken one by one.

    Arguments:
        argument_name: the parameter whose argument distinguishes limits; the number of slots, if it is one;
            left out, the limit is for the whole task.
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

    def definition(self, task: str) -> str:
        """Return the common name of its limits of a task, for any argument."""
        return limit_name(self.scope, task, self.argument_name, "*")

    @override
    def name(self, execution: Execution) -> str:
        value = None
        if self.argument_name is not None:
            value = argument_of(execution, self.argument_name, "ConcurrencyLimit")
        return limit_name(self.scope, execution.function_name, self.argument_name, value)

    @override
    def question(self, execution: Execution) -> Question | None:
        assert execution.fence is not None, "a slot is held by a run that a worker has claimed"
        return Question(
            "slot",
            self.name(execution),
            self.max_concurrent,
            self.definition(execution.function_name),
            int(self.on_conflict == "drop"),
        )

    @override
    def reason(self, execution: Execution) -> str:
        return f"concurrency limit ({self.max_concurrent} max) on {self.name(execution)}"

    @override
    def refusal(self, execution: Execution, answer: GateAnswer) -> AdmissionBlocked:
        if answer.word is not Word.WAITING:
            return super().refusal(execution, answer)
        definition = self.definition(execution.function_name)
        return ConcurrencyBlocked(
            execution, self.name(execution), self.max_concurrent, definition=definition
        )

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
        self._key = f"{docket.prefix}:slots:{self.name(execution)}"
        await self.ask()


def is_granted(execution: Execution, question: Question) -> bool:
    """Return True if the execution was given what is asked while it waited, under the same rule."""
    return question.kind == "slot" and execution.slot == f"{question.first}\n{question.name}"
