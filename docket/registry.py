"""The tasks that this process knows, and how each of them is run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from .annotations import validate_dependencies
from .errors import UnknownTask
from .policy import DEFAULT_POLICY, TaskPolicy

TaskFunction: TypeAlias = Callable[..., Any]
"""A coroutine function, or a plain function, which runs in a thread."""


class Registry:
    """Tasks by name, with their policies."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskFunction] = {}
        self._policies: Mapping[str, TaskPolicy] = {}

    def register(self, function: TaskFunction, names: Sequence[str] | None = None) -> None:
        """Make a task known under its own name, or under these names.

        Raises:
            TypeError: it is no function, but what one has returned, say.
            ValueError: it declares two dependencies of a kind that there can be only one of.
            CycleError: one of its dependencies needs itself.
        """
        if not callable(function):
            raise TypeError(
                f"expected a function, found {function!r}; "
                "its arguments stand behind it: docket.add(greet)('Jane')"
            )
        validate_dependencies(function)
        for name in names or [name_of(function)]:
            self.tasks[name] = function

    def register_collection(self, path: str) -> None:
        """Make all tasks of an iterable known, given as ``module:attribute``.

        Raises:
            ImportError, AttributeError: there is no such module or attribute.
        """
        for function in cast(Iterable[TaskFunction], load(path)):
            self.register(function)

    def named(self, function: TaskFunction | str) -> tuple[str, TaskFunction]:
        """The name and the function of a task that is given as either; a function becomes known.

        Raises:
            KeyError: no task of this name is known.
        """
        if isinstance(function, str):
            if function not in self.tasks:
                raise KeyError(
                    f"Task {function!r} is not registered here; "
                    "pass the function, or docket.register() it first"
                )
            return function, self.tasks[function]
        name = name_of(function)
        if self.tasks.get(name) is not function:
            self.register(function)
        return name, function

    def find(self, name: str) -> TaskFunction:
        """The task of this name.

        Raises:
            UnknownTask: there is none here.
        """
        try:
            return self.tasks[name]
        except KeyError:
            raise UnknownTask(f"no task {name!r} is registered here") from None

    def apply_policies(self, policies: Mapping[str, TaskPolicy]) -> None:
        """Replace all policies at once; runs that have started keep theirs."""
        self._policies = dict(policies)

    def policy(self, name: str) -> TaskPolicy:
        """How the task of this name is run."""
        return self._policies.get(name, DEFAULT_POLICY)


def name_of(function: TaskFunction) -> str:
    """The name that a function has as a task."""
    return function.__name__


def load(path: str) -> Any:
    """The object at ``package.module:attribute``.

    Raises:
        ValueError: the text is not of this form.
        ImportError, AttributeError: there is no such module or attribute.
    """
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f'expected "package.module:attribute", found {path!r}')
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
