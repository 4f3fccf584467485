"""The tasks that this process knows, and how each of them is run."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from ..annotations import validate_dependencies, why_not_in_process
from ..errors import UnknownTask
from ..foundation.names import check_name
from ..foundation.policy import DEFAULT_POLICY, TaskPolicy
from .identity import Likeness, likeness, place_of

logger = logging.getLogger("docket")

TaskFunction: TypeAlias = Callable[..., Any]
"""A coroutine function, or a plain function, which runs in a thread."""


STANDARD: Final = "docket.tasks"


class StandIn:
    """A stand-in for a task that only workers have: added by name, with arguments as written."""

    async def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Never run: workers have the task itself."""


class Registry:
    """Tasks by name, with their policies."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskFunction] = {}
        self._policies: Mapping[str, TaskPolicy] = {}

    def register(
        self,
        function: TaskFunction,
        names: Sequence[str] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Make a task known under its own name, or under these names.

        The same function of the same module may come again, as notebooks and reloading have it; another one
        under a name that is taken may not, unless it is to replace the first.

        Raises:
            TypeError: it is not a function, but perhaps the result of one; or it has no name of its own.
            ValueError: it declares two dependencies of a kind that there can be only one of, its name is
                that of another task, or it is to run in a process of its own, and cannot.
            CycleError: one of its dependencies needs itself.
        """
        if not callable(function):
            raise TypeError(
                f"expected a function, found {function!r}; "
                "its arguments stand behind it: docket.add(greet)('Jane')"
            )
        validate_dependencies(function)
        names = [check_name("task", name) for name in names or [name_of(function)]]
        for name in names:
            if not replace:
                self._compare(name, function)
            _check_process(name, function, self.policy(name))
        for name in names:
            self.tasks[name] = function

    def _compare(self, name: str, function: TaskFunction) -> None:
        known = self.tasks.get(name)
        # A program may have a task of its own that is called as one of the tasks that every docket knows.
        if known is None or known.__module__ == STANDARD:
            return
        found = likeness(known, function)
        if found is Likeness.OTHER:
            raise ValueError(
                f"expected another name than {name!r} for {place_of(function)}: it is that of "
                f"{place_of(known)}, and a call by name could run only one of them; rename one, "
                "register it with names=[...], or with replace=True if it takes the other's place"
            )
        if found is Likeness.CHANGED:
            logger.warning(
                "The task %r is registered again with other code: %s stands in the place of %s",
                name,
                place_of(function),
                place_of(known),
            )

    def register_collection(self, path: str) -> None:
        """Make all tasks of an iterable known, given as ``module:attribute``.

        Raises:
            ImportError, AttributeError: there is no such module or attribute.
        """
        for function in cast(Iterable[TaskFunction], load(path)):
            self.register(function)

    def named(self, function: TaskFunction | str) -> tuple[str, TaskFunction]:
        """Return the name and the function of a task that is given as either; a function becomes known.

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
        name = self.name_of(function)
        if self.tasks.get(name) is not function:
            self.register(function)
        return name, function

    def name_of(self, function: TaskFunction) -> str:
        """Return the name of a function; of what has none of its own, the one it was registered under.

        Raises:
            TypeError: it has none of either kind.
        """
        if not is_named(function):
            # A copy: other threads may register tasks meanwhile.
            for name, task in list(self.tasks.items()):
                if task is function:
                    return name
        return name_of(function)

    def find(self, name: str) -> TaskFunction:
        """Return the task of this name.

        Raises:
            UnknownTask: there is none here.
        """
        try:
            return self.tasks[name]
        except KeyError:
            raise UnknownTask(f"no task {name!r} is registered here") from None

    def apply_policies(self, policies: Mapping[str, TaskPolicy]) -> None:
        """Replace all policies at once; runs that have started keep theirs.

        Raises:
            ValueError: a task is to run in a process of its own, and cannot.
        """
        for name, policy in policies.items():
            if name in self.tasks:
                _check_process(name, self.tasks[name], policy)
        self._policies = dict(policies)

    def policy(self, name: str) -> TaskPolicy:
        """Return the policies of the task of this name."""
        return self._policies.get(name, DEFAULT_POLICY)


def _check_process(name: str, function: TaskFunction, policy: TaskPolicy) -> None:
    if policy.in_process and (reason := why_not_in_process(function)):
        raise ValueError(
            f"the task {name!r} cannot run in a process of its own: {reason}, "
            'or leave out runner = "process"'
        )


LAMBDA: Final = "<lambda>"


def is_named(function: TaskFunction) -> bool:
    """Return True if a function has a name of its own by which a worker can know it."""
    return getattr(function, "__name__", LAMBDA) != LAMBDA


def name_of(function: TaskFunction) -> str:
    """Return the name that a function has as a task.

    Raises:
        TypeError: it has none, so that no worker could find it.
    """
    if not is_named(function):
        raise TypeError(
            f"expected a function with a name that workers can know it by, found {function!r}; write it "
            "with def, or give it a name: docket.register(it, names=['greet'])"
        )
    return function.__name__


def load(path: str) -> Any:
    """Return the object at ``package.module:attribute``.

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
