"""The plan of a task: known before it runs, looked up once, and again where any of it has changed."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from ...annotations import get_signature
from ...calls.registry import Registry, TaskFunction
from ...dependencies.base import Dependency
from ...dependencies.configured import configured
from ...dependencies.resolution import is_bare
from ...foundation.policy import TaskPolicy


@dataclass(frozen=True, slots=True)
class Plan:
    """The way in which a task is run."""

    function: TaskFunction
    policy: TaskPolicy
    signature: inspect.Signature
    """Its own, with annotations resolved."""
    returns: Any
    """The annotation of its result."""
    instead: tuple[Dependency[Any], ...]
    """The dependencies that the configuration declares in place of the code."""
    is_bare: bool
    """True if nothing is resolved for it."""
    is_coroutine: bool
    """True if it runs in the event loop."""

    @classmethod
    def of(cls, function: TaskFunction, policy: TaskPolicy) -> Self:
        """Look everything up."""
        signature = get_signature(function)
        instead = configured(policy)
        return cls(
            function,
            policy,
            signature,
            signature.return_annotation,
            instead,
            not instead and is_bare(function),
            inspect.iscoroutinefunction(function),
        )


class Plans:
    """The plans of all tasks that are known here.

    Arguments:
        registry: the tasks and their policies; both may change.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, Plan] = {}

    def find(self, task: str) -> Plan | None:
        """Return the present plan of the task of this name; None if it is unknown here."""
        function = self._registry.tasks.get(task)
        if function is None:
            return None
        policy = self._registry.policy(task)
        known = self._known.get(task)
        if (
            known is not None
            and known.function is function
            and known.policy is policy
            # Frameworks may change the signature of a function.
            and known.signature is get_signature(function)
        ):
            return known
        plan = self._known[task] = Plan.of(function, policy)
        return plan

    def instead_of_unknown(self, task: str, fallback: TaskFunction) -> Plan:
        """Return the plan of a fallback for a task that is unknown here."""
        # Not kept: such names come from outside and have no bound.
        return Plan.of(fallback, self._registry.policy(task))
