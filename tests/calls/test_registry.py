"""The tasks that a process knows."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import pytest

from docket import (
    ConcurrencyLimit,
    Cron,
    CurrentDocket,
    CurrentExecution,
    CurrentSyncDocket,
    CurrentWorker,
    Depends,
    Perpetual,
    Progress,
    Retry,
    SyncProgress,
    TaskKey,
    Timeout,
)
from docket.calls.registry import Registry, load
from docket.errors import UnknownTask
from docket.foundation.policy import DEFAULT_POLICY, TaskPolicy


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
    assert load("docket.calls.registry:Registry.register") is Registry.register
    for path in ("docket.calls.registry", "docket.registry:", ":Registry", ""):
        with pytest.raises(ValueError, match=r'expected "package\.module:attribute"'):
            load(path)
    with pytest.raises(ModuleNotFoundError):
        load("docket.nowhere:thing")
    with pytest.raises(AttributeError):
        load("docket.calls.registry:nothing")


def test_a_lambda_has_no_name_that_a_worker_could_know_it_by() -> None:
    registry = Registry()

    with pytest.raises(TypeError, match=r"found <function .*<lambda>.*write it with def"):
        registry.named(lambda: None)
    registry.register(echo := lambda: None, ["echo"])
    assert registry.named(echo) == ("echo", echo)


def _made(module: str, text: str, **names: Any) -> Any:
    """The function ``work`` as code of a module defines it."""
    names["__name__"] = module
    exec(text, names)
    return names["work"]


def _audited(function: Any) -> Any:
    def work(*args: Any) -> Any:
        return function(*args)

    return work


def _counting(start: int, others: tuple[Any, ...] = ()) -> Any:
    def step() -> int:
        return start

    def work() -> Any:
        return step(), others

    return work


class Runner:
    """Can be called."""

    def __call__(self) -> None: ...


SAME = [
    (_made("shop", "def work(): pass"), _made("shop", "\n\ndef work(): pass")),
    (_made("shop", "def work(): return [n for n in (1, 2)]"),) * 2,
    (
        _made("shop", "def work(): return lambda: 1"),
        _made("shop", "\ndef work(): return lambda: 1"),
    ),
    (_audited(print), _audited(print)),
    (_counting(1), _counting(1)),
]
CHANGED = [
    (_made("shop", "def work(): pass"), _made("shop", "def work(): return 1")),
    (_made("shop", "def work(): return 1"), _made("shop", "def work(): return True")),
    (_made("shop", "def work(): return a"), _made("shop", "def work(): return b")),
    (
        _made("shop", "def work(): return lambda: 1"),
        _made("shop", "def work(): return lambda: 2"),
    ),
]
OTHER = [
    (_made("shop", "def work(): pass"), _made("bank", "def work(): pass")),
    (_audited(print), _audited(len)),
    (_audited(_counting(1)), _audited(_audited(print))),
    (_counting(1), _counting(2)),
    (_counting(1), _counting(1, ("more",))),
    (_counting(1, (Runner(),)), _counting(1, (Runner(),))),
    (Runner(), Runner()),
    (Runner(), functools.partial(work)),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_the_same_function_may_come_again(
    first: Any, second: Any, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry()
    registry.register(first)
    registry.register(second)

    assert registry.find("work") is second
    assert caplog.text == ""


@pytest.mark.parametrize(("first", "second"), CHANGED)
def test_what_has_changed_in_its_place_is_taken_with_a_warning(
    first: Any, second: Any, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry()
    registry.register(first)
    registry.register(second)

    assert registry.find("work") is second
    assert "The task 'work' is registered again with other code: shop.work" in caplog.text


@pytest.mark.parametrize(("first", "second"), OTHER)
def test_another_function_of_the_same_name_is_refused_unless_it_is_meant(
    first: Any, second: Any
) -> None:
    registry = Registry()
    registry.register(first, ["work"])

    with pytest.raises(ValueError, match=r"expected another name than .work. for .* it is that of"):
        registry.register(second, ["more", "work"])
    assert registry.find("work") is first
    assert "more" not in registry.tasks
    registry.register(second, ["work"], replace=True)
    assert registry.find("work") is second


def test_a_program_may_have_a_task_that_is_called_as_one_of_ours() -> None:
    registry = Registry()
    registry.register_collection("docket.tasks:standard_tasks")
    registry.register(work, ["sleep"])

    assert registry.find("sleep") is work


def tied(given: Any) -> Any:
    def task(given: Any = given) -> None: ...

    return task


def computing(
    key: str = TaskKey(),
    name: str = Depends(load),
    retry: Retry = Retry(attempts=2),
    limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1),
) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (work, "found one that runs in the event loop; write it with def"),
        (lambda: None, "expected a function that another process can import"),
        *(
            (tied(given), r"found 'given' \(.*\), which is tied to the process of its worker")
            for given in (
                CurrentDocket(),
                CurrentExecution(),
                CurrentSyncDocket(),
                CurrentWorker(),
                Cron("@daily"),
                Perpetual(),
                Progress(),
                SyncProgress(),
                Timeout(timedelta(seconds=1)),
            )
        ),
    ],
)
def test_what_can_not_run_in_a_process_of_its_own_is_refused_whichever_is_known_first(
    function: Any, reason: str
) -> None:
    policies = {"task": TaskPolicy(in_process=True)}
    early, late = Registry(), Registry()

    early.register(function, ["task"])
    with pytest.raises(ValueError, match=reason):
        early.apply_policies(policies)
    assert early.policy("task") == DEFAULT_POLICY
    late.apply_policies(policies)
    with pytest.raises(ValueError, match=reason):
        late.register(function, ["task"])
    assert "task" not in late.tasks


def test_what_can_go_to_another_process_may() -> None:
    registry = Registry()
    registry.apply_policies({"computing": TaskPolicy(in_process=True)})

    registry.register(computing)

    assert registry.find("computing") is computing
