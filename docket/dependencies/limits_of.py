"""Concurrency limits of a worker's tasks, for announcing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from uncalled_for import get_annotation_dependencies, get_dependency_parameters

from ..calls.registry import TaskFunction
from ..foundation.policy import TaskPolicy
from .concurrency_limit import ConcurrencyLimit
from .configured import configured
from .resolution import DependencyHost


def limits_of(host: DependencyHost) -> Mapping[tuple[str, str], int]:
    """Return the slots of all limits that tasks of a worker declare, by definition and task.

    Limits in factories are not among them: they are unknown before a run asks.

    Arguments:
        host: the worker.
    """
    own = [one for one in host.dependencies.values() if isinstance(one, ConcurrencyLimit)]
    registry = host.docket.registry
    slots: dict[tuple[str, str], int] = {}
    for task, function in host.docket.tasks.items():
        for definition, size in (
            *_limits_of_task(task, function, registry.policy(task)),
            *_sized(task, own),
        ):
            known = slots.get((definition, task), size)
            slots[definition, task] = min(known, size)
    return slots


@lru_cache(maxsize=4096)
def _limits_of_task(
    task: str, function: TaskFunction, policy: TaskPolicy
) -> tuple[tuple[str, int], ...]:
    if policy.concurrency is not None:
        return tuple(_sized(task, configured(policy)))
    return tuple(_sized(task, _declared_by(function)))


def _declared_by(function: TaskFunction) -> Iterator[Any]:
    yield from get_dependency_parameters(function).values()
    for name, dependencies in get_annotation_dependencies(function).items():
        # A limit at a parameter is called after it.
        for one in dependencies:
            if isinstance(one, ConcurrencyLimit):
                yield one.bind_to_parameter(name, None)


def _sized(task: str, declared: Iterable[Any]) -> Iterator[tuple[str, int]]:
    for one in declared:
        if isinstance(one, ConcurrencyLimit):
            yield one.definition(task), one.max_concurrent
