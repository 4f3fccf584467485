"""The common part of the dependencies that decide whether a task may start now."""

from __future__ import annotations

import abc
import copy
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from typing_extensions import Self, override
from uncalled_for import Dependency

from ..errors import ServerUnavailable
from ..execution import Execution
from ..foundation.units import milliseconds
from ..storage.limits import Entrant, GateAnswer, Question, Word
from .base import AdmissionBlocked, T_co, current_docket, current_execution

LONGEST_VALUE = 200
"""Maximum length of an argument in the name of a limit; longer ones are distinguished by a digest."""

ASK_AGAIN = timedelta(seconds=1)
"""After which a run comes again whose gates could not be asked."""

_UNBOUND: Any = object()


class Gate(Dependency[T_co]):
    """Something at the entrance of a task, for all its calls or for those with the same argument.

    As a default value of a parameter it stands for all calls; in ``Annotated[...]`` of a parameter for
    those with the same argument there.
    """

    scope: str | None
    argument_name: str | None = None
    _argument: Any = _UNBOUND

    @override
    def bind_to_parameter(self, name: str, value: Any) -> Self:
        bound = copy.copy(self)
        bound.bind(name, value)
        return bound

    def bind(self, name: str, value: Any) -> None:
        """Stand for the calls with this argument."""
        self.argument_name = name
        self._argument = value

    def for_argument(self, name: str | None) -> Self:
        """Return a copy that counts the calls with the same argument at a parameter."""
        bound = copy.copy(self)
        bound.argument_name = name
        return bound

    def name(self, execution: Execution) -> str:
        """Return the name under which calls are counted together.

        Raises:
            ValueError: the task was called without the argument.
        """
        value = self._argument
        if value is _UNBOUND and self.argument_name is not None:
            value = argument_of(execution, self.argument_name, type(self).__name__)
        return limit_name(self.scope, execution.function_name, self.argument_name, value)

    @abc.abstractmethod
    def question(self, execution: Execution) -> Question | None:
        """Return what is asked before the execution starts; None if it is let in without a question.

        Raises:
            ValueError: the task was called without the argument that the gate is for.
        """

    @abc.abstractmethod
    def reason(self, execution: Execution) -> str:
        """Return what the log says of an execution that is not let in."""

    def refusal(self, execution: Execution, answer: GateAnswer) -> AdmissionBlocked:
        """Return the error for an answer that does not let the execution in."""
        reason = self.reason(execution)
        if answer.word is Word.DROPPED:
            return AdmissionBlocked(execution, reason, reschedule=False)
        pause = timedelta(milliseconds=answer.milliseconds)
        return AdmissionBlocked(execution, reason, retry_delay=pause)

    async def ask(self) -> None:
        """Ask the gate where it stands, unless it was asked together with all others of the run.

        Raises:
            AdmissionBlocked: it does not let the execution in.
            ValueError: as for ``question``.
        """
        execution = current_execution.get()
        question = self.question(execution)
        if question is not None and question not in execution.admitted_by:
            await ask(execution, [(self, question)])


async def ask(execution: Execution, gates: Sequence[tuple[Gate[Any], Question]]) -> None:
    """Ask gates together: all let the execution in, or the first that does not decides.

    Arguments:
        execution: the execution that is about to start.
        gates: each with its question.

    Raises:
        AdmissionBlocked: the execution is not let in, or that is unknown: a run fails for what it does, not
            because a server is away.
    """
    entrant = Entrant(
        execution.key,
        execution.identity or execution.key,
        execution.attempt,
        execution.fence,
        execution.consumer,
    )
    limits = current_docket.get().storage.limits
    try:
        answer = await limits.admit(entrant, [question for _, question in gates])
    except ServerUnavailable as error:
        raise AdmissionBlocked(
            execution, "gates that could not be asked", retry_delay=ASK_AGAIN
        ) from error
    if answer.word is Word.SUPERSEDED:
        # Its settlement will learn that.
        raise AdmissionBlocked(execution, "a newer run of its key")
    if answer.word is not Word.ADMITTED:
        raise gates[answer.gate][0].refusal(execution, answer)
    execution.admitted_by.update(question for _, question in gates)


def argument_of(execution: Execution, name: str, asks: str) -> Any:
    """Return the argument of a call that a limit is for.

    Arguments:
        execution: the call.
        name: the parameter.
        asks: the kind of limit, for the error.

    Raises:
        ValueError: the task was called without it.
    """
    arguments = execution.arguments
    if name not in arguments:
        raise ValueError(
            f"{asks} argument {name!r} not found in task arguments. Available: {list(arguments)}"
        )
    return arguments[name]


def limit_name(scope: str | None, function: str, argument: str | None, value: Any) -> str:
    """Return the name of a limit: of a task, or of a parameter and its argument, within a scope.

    Arguments:
        scope: what sets it apart from limits of the same name.
        function: the task.
        argument: the parameter, if the limit is for one.
        value: its argument.
    """
    text = str(value)
    if len(text) > LONGEST_VALUE:
        text = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()
    own = function if argument is None else f"{argument}:{text}"
    return own if scope is None else f"{scope}:{own}"


def window(duration: timedelta) -> int:
    """Return a duration in ms, at least one."""
    return max(1, milliseconds(duration))
