"""Whether arguments fit a task, and what workers say of it."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docket import Agenda, CurrentDocket, Depends, Docket, Perpetual, TaskCall, Worker
from docket.calls.binding import ANYTHING, Shape, announced, bind, bind_to_any, shape_of
from docket.calls.registry import TaskFunction
from docket.errors import WrongArguments
from docket.execution import Execution
from tests.compat.conftest import working


def nothing() -> None: ...
def one(a: int) -> None: ...
def some(a: int, b: int, c: int = 3) -> None: ...
def by_name(a: int, *, b: int, c: int = 3) -> None: ...
def by_position(a: int, b: int = 2, /, c: int = 3) -> None: ...
def both(a: int, /, b: int, *rest: int, c: int, d: int = 4, **more: int) -> None: ...
def anything(*args: Any, **kwargs: Any) -> None: ...
def named(**kwargs: Any) -> None: ...
def odd(a: int, /, **kwargs: int) -> None: ...


FUNCTIONS: list[Callable[..., Any]] = [
    *(nothing, one, some, by_name, by_position, both, anything, named, odd)
]

calls = st.tuples(
    st.lists(st.just(1), max_size=5).map(tuple),
    st.dictionaries(st.sampled_from("abcdz"), st.just(1), max_size=4),
)


@given(st.sampled_from(FUNCTIONS), calls)
def test_what_fits_is_what_python_would_call(
    function: Callable[..., Any], call: tuple[tuple[Any, ...], dict[str, Any]]
) -> None:
    args, kwargs = call
    try:
        # Not inspect: in Python 3.13 it takes for fitting what cannot be called.
        function(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError, match=r"expected arguments that fit task\("):
            bind("task", function, args, kwargs)
    else:
        bind("task", function, args, kwargs)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_announced_says_all_of_it(function: Callable[..., Any]) -> None:
    assert Shape.read(announced(function)) == shape_of(function)


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((1,), {}, "missing 'b'"),
        ((), {}, "missing 'a', 'b'"),
        ((1, 2, 3, 4), {}, "too many positional arguments"),
        ((1, 2), {"z": 1}, "got an unexpected keyword argument 'z'"),
        ((1, 2), {"a": 1}, "multiple values for argument 'a'"),
    ],
)
def test_a_refusal_says_what_fits_and_what_is_wrong(
    args: tuple[Any, ...], kwargs: dict[str, Any], reason: str
) -> None:
    with pytest.raises(WrongArguments) as caught:
        bind("some", some, args, kwargs)

    assert str(caught.value) == (
        f"expected arguments that fit some(a, b, c=): {reason}; correct the call"
    )


def test_what_is_injected_need_not_be_given_but_may_be() -> None:
    def work(
        a: int, b: Annotated[int, Depends(nothing)], docket: Docket = CurrentDocket()
    ) -> None: ...

    bind("work", work, (1,), {})
    bind("work", work, (1, 2), {"docket": None})
    with pytest.raises(WrongArguments, match="missing 'a'"):
        bind("work", work, (), {"b": 2})


def test_shapes_are_forgotten_as_signatures_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docket.calls.binding.MOST_SIGNATURES", 2)
    monkeypatch.setattr("docket.calls.binding._shapes", {})

    shapes = [shape_of(function) for function in (some, both, some, one, some)]

    assert shapes[0] == shapes[2] == shapes[4]


def test_a_call_by_name_fits_if_it_fits_any_shape_that_is_announced() -> None:
    older, newer = Shape.read("(a)"), Shape.read("(a, b)")

    bind_to_any("task", [older, newer], (1, 2), {})
    bind_to_any("task", [], (1, 2, 3), {})
    bind_to_any("task", [older, Shape.read(ANYTHING)], (1, 2, 3), {})
    with pytest.raises(WrongArguments, match=r"fit task\(a\) or task\(a, b\): too many"):
        bind_to_any("task", [older, newer], (1, 2, 3), {})


@pytest.fixture
async def docket() -> Any:
    async with Docket(f"binding-{uuid.uuid4().hex}", "memory://binding", config=False) as docket:
        yield docket


SOON = datetime.now(timezone.utc) + timedelta(hours=1)


async def test_nothing_is_stored_of_a_call_that_does_not_fit(docket: Docket) -> None:
    wrong: Any = some
    with pytest.raises(WrongArguments):
        await docket.add(wrong)(1)
    with pytest.raises(WrongArguments):
        await docket.replace(wrong, SOON, "key")(1)
    with pytest.raises(WrongArguments):
        docket.call(wrong)(1)
    with pytest.raises(WrongArguments):
        await docket.schedule(Execution(docket, some, (1,), {}, "key", SOON, 1))

    assert (await docket.snapshot()).total_tasks == 0


async def test_a_batch_is_looked_at_as_a_whole_before_any_of_it_is_sent(docket: Docket) -> None:
    calls = [docket.call(some)(1, 2), TaskCall(some, (1,), {}, "key", SOON)]

    with pytest.raises(WrongArguments, match="missing 'b'"):
        await docket.add_many(calls, chunk_size=1)
    agenda = Agenda()
    agenda.add(some)(1, 2)
    agenda.add("some")(1)
    with pytest.raises(WrongArguments, match="missing 'b'"):
        await agenda.scatter(docket, over=timedelta(hours=1))

    assert (await docket.snapshot()).total_tasks == 0


async def test_the_next_run_of_a_perpetual_task_gets_arguments_that_fit(docket: Docket) -> None:
    told: list[str] = []

    async def work(a: int, perpetual: Perpetual = Perpetual()) -> None:
        try:
            perpetual.perpetuate(1, b=2)
        except TypeError as error:
            told.append(str(error))
            perpetual.cancel()

    async with Worker(docket) as worker:
        await docket.add(work)(1)
        await worker.run_until_finished()

    (refusal,) = told
    assert "fit work(a, perpetual=): got an unexpected keyword argument 'b'" in refusal


def plain(a: int, b: int = 2) -> int:
    return a + b


class Adder:
    """Can be called, and has no name."""

    async def __call__(self, a: int, b: int = 2) -> int:
        return a + b


@pytest.mark.parametrize("task", [functools.partial(plain, 1), Adder()], ids=["partial", "object"])
async def test_what_has_no_name_runs_under_the_one_that_it_is_given(
    docket: Docket, task: TaskFunction
) -> None:
    with pytest.raises(TypeError, match="a name that workers can know it by"):
        await docket.add(task)(b=3)
    docket.register(task, names=["adder"])
    given = {"b": 3} if isinstance(task, functools.partial) else {"a": 1, "b": 3}

    async with Worker(docket) as worker:
        execution = await docket.add(task)(**given)
        await worker.run_until_finished()

    assert await execution.get_result() == 4


async def test_an_automatic_task_that_needs_arguments_is_told_of_and_harms_no_other(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    async def needy(a: int, perpetual: Perpetual = Perpetual(automatic=True)) -> None: ...

    async def other(perpetual: Perpetual = Perpetual(automatic=True)) -> None:
        ran.append("other")
        perpetual.cancel()

    docket.register(needy)
    docket.register(other)
    async with Worker(docket) as worker:
        await worker.run_until_finished()

    assert ran == ["other"]
    assert "The automatic task needy cannot run: expected arguments that fit needy" in caplog.text


async def test_workers_say_what_their_tasks_take_as_long_as_they_live(docket: Docket) -> None:
    async def said(task: str) -> list[str]:
        return await docket.storage.workers.shapes(task, docket.silence)

    docket.register(some)
    async with Worker(docket) as worker, working(worker):
        await worker.until_started()
        assert await said("some") == ["(a, b, c=)"]
        assert await said("other") == []
    assert await said("some") == []

    async with Worker(docket, fallback_task=anything) as worker, working(worker):
        await worker.until_started()
        assert await said("some") == ["(a, b, c=)"]
        assert await said("other") == [ANYTHING]
    async with docket.redis() as client:
        assert not await client.keys(docket.key("worker-shapes:*"))
