"""Work of dependencies that is done once per worker, rather than once per run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from uncalled_for import Dependency, get_annotation_dependencies, get_dependency_parameters

from ..calls.registry import TaskFunction
from .resolution import DependencyHost


@asynccontextmanager
async def lifecycles(host: DependencyHost) -> AsyncGenerator[None, None]:
    """Enter ``worker_lifecycle`` of every kind of dependency that the worker or a task of its docket uses.

    A kind offers it as a class method that takes docket and worker, and gives an async context manager, or
    None if it has nothing to do for this worker.

    Arguments:
        host: the worker.
    """
    async with AsyncExitStack() as stack:
        for kind in _kinds(host):
            lifecycle: Any = getattr(kind, "worker_lifecycle", None)
            entered = None if lifecycle is None else lifecycle(host.docket, host)
            if entered is not None:
                await stack.enter_async_context(entered)
        yield


def _kinds(host: DependencyHost) -> list[type[Dependency[Any]]]:
    declared: list[Any] = list(host.dependencies.values())
    for function in host.docket.tasks.values():
        declared.extend(declared_by(function))
    kinds: list[type[Dependency[Any]]] = [type(dependency) for dependency in declared]
    return list(dict.fromkeys(kinds))


def declared_by(function: TaskFunction) -> Iterable[Any]:
    """Return the dependencies that a function declares, as defaults or in annotations."""
    yield from get_dependency_parameters(function).values()
    for dependencies in get_annotation_dependencies(function).values():
        yield from dependencies
