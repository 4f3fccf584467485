"""The private names of pydocket that FastMCP 2.14 and 3.0 import, and what they do with them."""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest

from docket import Depends, Docket, Worker
from docket.dependencies import Dependency as PlainDependency
from docket.dependencies import (
    _Depends,
    _parameter_cache,
    current_docket,
    current_execution,
    current_worker,
    get_dependency_parameters,
)
from docket.execution import _signature_cache, get_signature

Dependency = cast(Any, PlainDependency)
"""The names on the class are put there at runtime: no type checker knows them."""


async def orders() -> dict[str, int]:
    """What was sold."""
    return {"Kettle": 31}


async def test_dependencies_of_docket_are_resolved_by_hand_within_a_cache_and_a_stack() -> None:
    async def report(sold: dict[str, int] = Depends(orders)) -> None: ...

    cache_token = _Depends.cache.set({})
    async with AsyncExitStack() as stack:
        stack_token = _Depends.stack.set(stack)
        parameters = get_dependency_parameters(report)
        resolved = {
            name: await stack.enter_async_context(dependency)
            for name, dependency in parameters.items()
        }
        _Depends.stack.reset(stack_token)
    _Depends.cache.reset(cache_token)

    assert isinstance(parameters["sold"], _Depends)
    assert resolved == {"sold": {"Kettle": 31}}


def test_a_function_whose_signature_was_changed_is_forgotten_by_both_caches() -> None:
    async def report(sold: dict[str, int] = Depends(orders)) -> None: ...

    assert get_dependency_parameters(report).keys() == {"sold"}
    assert get_signature(report).parameters.keys() == {"sold"}
    cast(Any, report).__signature__ = inspect.Signature()
    _signature_cache.pop(report, None)
    _parameter_cache.pop(report, None)

    assert get_dependency_parameters(report) == {}
    assert get_signature(report).parameters == {}


async def test_a_task_finds_where_it_runs_on_the_class_of_all_dependencies() -> None:
    found: dict[str, object] = {}

    async def work() -> None:
        found["docket"] = Dependency.docket.get()
        found["worker"] = Dependency.worker.get()
        found["key"] = Dependency.execution.get().key

    with pytest.raises(LookupError):
        Dependency.execution.get()
    async with Docket("older", "memory://older") as docket, Worker(docket) as worker:
        await docket.add(work, key="the-key")()
        await worker.run_until_finished()

    assert found == {"docket": docket, "worker": worker, "key": "the-key"}
    assert Dependency.docket is current_docket
    assert Dependency.worker is current_worker
    assert Dependency.execution is current_execution
