"""The tasks that a process knows."""

from __future__ import annotations

import pytest

from docket.errors import UnknownTask
from docket.policy import DEFAULT_POLICY, TaskPolicy
from docket.registry import Registry, load


async def work() -> None: ...


def test_a_task_is_known_under_its_own_name_or_others() -> None:
    registry = Registry()
    registry.register(work)
    registry.register(work, ["one", "two"])

    assert {name: registry.find(name) for name in ("work", "one", "two")} == dict.fromkeys(
        ("work", "one", "two"), work
    )
    with pytest.raises(UnknownTask, match="no task 'three' is registered here"):
        registry.find("three")


def test_a_function_that_is_used_becomes_known_and_a_name_does_not() -> None:
    registry = Registry()

    assert registry.named(work) == ("work", work)
    assert registry.named("work") == ("work", work)
    with pytest.raises(KeyError, match="Task 'other' is not registered"):
        registry.named("other")


def test_what_a_function_has_returned_is_no_task() -> None:
    called = work()
    try:
        with pytest.raises(TypeError, match=r"expected a function, found .*: docket\.add\(greet\)"):
            Registry().named(called)  # type: ignore[arg-type]
    finally:
        called.close()


def test_a_collection_is_registered_by_its_path() -> None:
    registry = Registry()
    registry.register_collection("docket.tasks:standard_tasks")

    assert set(registry.tasks) == {"trace", "fail", "sleep"}


def test_policies_are_replaced_at_once() -> None:
    registry = Registry()
    policy = TaskPolicy()
    registry.apply_policies({"work": policy})

    assert registry.policy("work") is policy
    registry.apply_policies({})
    assert registry.policy("work") is DEFAULT_POLICY


def test_an_object_is_loaded_by_its_path() -> None:
    assert load("docket.registry:Registry.register") is Registry.register
    for path in ("docket.registry", "docket.registry:", ":Registry", ""):
        with pytest.raises(ValueError, match=r'expected "package\.module:attribute"'):
            load(path)
    with pytest.raises(ModuleNotFoundError):
        load("docket.nowhere:thing")
    with pytest.raises(AttributeError):
        load("docket.registry:nothing")
