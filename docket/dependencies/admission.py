"""What the dependencies share that decide whether a task may start now."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

from typing_extensions import Self, override
from uncalled_for import Dependency

from ..execution import Execution
from .base import T_co

LONGEST_VALUE = 200
"""Characters of an argument that stand in the name of a limit; longer ones are told apart by a digest."""


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
        """The same for the calls with the same argument at a parameter, whatever that is in each call."""
        bound = copy.copy(self)
        bound.argument_name = name
        return bound

    def name(self, execution: Execution) -> str:
        """What is counted together.

        Raises:
            ValueError: the task was called without the argument.
        """
        value = self._argument
        if value is _UNBOUND and self.argument_name is not None:
            value = argument_of(execution, self.argument_name, type(self).__name__)
        return limit_name(self.scope, execution.function_name, self.argument_name, value)


def argument_of(execution: Execution, name: str, asks: str) -> Any:
    """The argument of a call that a limit is for.

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
    """The name of a limit: of a task, or of a parameter and its argument, within a scope.

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


def owner(execution: Execution) -> str:
    """One acceptance of a call, told apart from every other one of its key; the same in all its attempts."""
    return execution.identity
