"""F46: every way in which a Python call can end has an outcome, the right one, and retries apply."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from docket import Docket, ExecutionState, Worker
from docket.dependencies.resolution import ExceptionGroup
from docket.execution import Execution
from docket.foundation.error_text import LONGEST
from docket.foundation.policy import RetryPolicy, TaskPolicy

pytestmark = pytest.mark.everywhere

MEGABYTES = 30 << 20

# What is returned


class Unpicklable:
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("not me")


class Exiting:
    def __reduce__(self) -> NoReturn:
        raise SystemExit(3)


class Unshowable:
    def __repr__(self) -> str:
        raise KeyboardInterrupt

    def __reduce__(self) -> NoReturn:
        raise ValueError("neither shown nor stored")


@dataclasses.dataclass
class Formless:
    number: int

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise GeneratorExit


def a_deep_list() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


RETURNED: dict[str, Callable[[], Any]] = {
    "a value that cannot be pickled": Unpicklable,
    "a value whose pickling exits": Exiting,
    "a value that can be neither shown nor stored": Unshowable,
    "a dataclass without fields": lambda: Formless(1),
    "a list that is too deep": a_deep_list,
    "too much": lambda: b"x" * (2 << 20),
}

# What is raised


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not a word")


class Fatal(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)

    __repr__ = __str__


NUMBER: Any = 5


class Numeric(Exception):
    def __str__(self) -> str:
        return NUMBER  # what no checker sees


class Sealed(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("sealed")

    def __reduce__(self) -> NoReturn:
        raise KeyboardInterrupt


class Picky(Exception):
    """It can be pickled, and not unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("picky")


class Own(BaseException):
    pass


def _circular() -> BaseException:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    return one


def _chained() -> BaseException:
    error: BaseException = ValueError("the last of many")
    last = error
    for number in range(2000):
        error.__context__ = error = ValueError(number)
    return last


RAISED: dict[str, Callable[[], BaseException]] = {
    "an error": lambda: ValueError("wrong"),
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration,
    "GeneratorExit": GeneratorExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
    "a BaseException": lambda: BaseException("bare"),
    "one of its own": Own,
    "a cancellation": asyncio.CancelledError,
    "a cancellation of threads": concurrent.futures.CancelledError,
    "a timeout": asyncio.TimeoutError,
    "a group": lambda: ExceptionGroup("group", [ValueError("in a group")]),
    "a silent error": Silent,
    "a fatal error": Fatal,
    "an error whose text is a number": Numeric,
    "an error that cannot be pickled": lambda: Sealed(1, 2),
    "an error that cannot be unpickled": lambda: Picky(1, 2),
    "an error with a value that cannot be shown": lambda: ValueError(Unshowable()),
    "an error with a deep value": lambda: ValueError(a_deep_list()),
    "an error of 30 MB": lambda: ValueError("x" * MEGABYTES),
    "half a character": lambda: ValueError("\ud800"),
    "a circle of causes": _circular,
    "a long chain": _chained,
}

tried: dict[str, int] = {}


def end(name: str) -> Any:
    """End in the way of this name."""
    if name in RETURNED:
        return RETURNED[name]()
    error = RAISED[name]()
    raise error


async def in_the_loop(name: str) -> Any:
    tried[name] = tried.get(name, 0) + 1
    return end(name)


async def after_a_moment(name: str) -> Any:
    tried[name] = tried.get(name, 0) + 1
    await asyncio.sleep(0)
    return end(name)


def in_a_thread(name: str) -> Any:
    tried[name] = tried.get(name, 0) + 1
    return end(name)


async def cancelled_by_a_future(name: str) -> Any:
    tried[name] = tried.get(name, 0) + 1
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.cancel()
    return await future


async def cancelled_by_itself(name: str) -> Any:
    tried[name] = tried.get(name, 0) + 1
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


async def cancelled_by_somebody(name: str) -> Any:
    tried[name] = tried.get(name, 0) + 1
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.sleep(60)


ATTEMPTS = 2


async def ends_of(
    function: Callable[..., Any], names: list[str], policy: TaskPolicy
) -> dict[str, Execution]:
    """Run a task once for each name, and return what became of each."""
    tried.clear()
    async with Docket(uuid.uuid4().hex, "memory://f46", config=False) as docket:
        docket.register(function)
        docket.registry.apply_policies({function.__name__: policy})
        executions = {name: await docket.add(function)(name) for name in names}
        async with Worker(docket, concurrency=8) as worker:
            await asyncio.wait_for(worker.run_until_finished(), 100)
        for execution in executions.values():
            await execution.sync()
    return executions


def _retry(is_retried: bool) -> RetryPolicy | None:
    return RetryPolicy(attempts=ATTEMPTS, delay=timedelta(0)) if is_retried else None


@pytest.mark.thorough
@pytest.mark.parametrize("is_retried", [False, True], ids=["once", "retried"])
@pytest.mark.parametrize("function", [in_the_loop, after_a_moment, in_a_thread])
async def test_every_end_has_an_outcome(function: Callable[..., Any], is_retried: bool) -> None:
    executions = await ends_of(function, [*RETURNED, *RAISED], TaskPolicy(retry=_retry(is_retried)))

    assert {name: one.state for name, one in executions.items()} == dict.fromkeys(
        executions, ExecutionState.FAILED
    )
    # What a task has returned is not computed again because it cannot be stored.
    assert tried == {
        **dict.fromkeys(RETURNED, 1),
        **dict.fromkeys(RAISED, ATTEMPTS if is_retried else 1),
    }
    for name, execution in executions.items():
        assert execution.error, name
        assert len(execution.error.encode()) <= LONGEST, name


@pytest.mark.thorough
@pytest.mark.parametrize("is_retried", [False, True], ids=["once", "retried"])
async def test_every_end_in_a_process_has_an_outcome(is_retried: bool) -> None:
    policy = TaskPolicy(retry=_retry(is_retried), in_process=True)
    executions = await ends_of(end, [*RETURNED, *RAISED], policy)

    attempts = ATTEMPTS if is_retried else 1
    for name, execution in executions.items():
        assert execution.error or name in RETURNED, name
        assert execution.state is not ExecutionState.RUNNING, name
        if name in RAISED:
            expected = (ExecutionState.FAILED, attempts)
            assert (execution.state, execution.attempt) == expected, name
            assert len(execution.error.encode()) <= LONGEST, name  # type: ignore[union-attr]


@pytest.mark.parametrize("is_retried", [False, True], ids=["once", "retried"])
@pytest.mark.parametrize(
    "function", [cancelled_by_a_future, cancelled_by_itself, cancelled_by_somebody]
)
async def test_what_nobody_has_ordered_is_a_failure(
    function: Callable[..., Any], is_retried: bool
) -> None:
    executions = await ends_of(function, ["run"], TaskPolicy(retry=_retry(is_retried)))

    assert executions["run"].state is ExecutionState.FAILED
    assert executions["run"].error == "CancelledError: "
    assert tried == {"run": ATTEMPTS if is_retried else 1}
