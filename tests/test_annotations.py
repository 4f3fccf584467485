"""What logs show of arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from docket import ConcurrencyLimit, CycleError, Debounce, Depends, Docket, Execution, Logged
from docket.annotations import get_signature, validate_dependencies
from docket.dependencies import get_annotation_dependencies

if TYPE_CHECKING:
    from decimal import Decimal


class Debounced(Debounce):
    def __init__(self) -> None:
        super().__init__(timedelta(seconds=1))


async def work(
    shown: Annotated[str, Logged()],
    hidden: str,
    size: Annotated[Any, Logged(length_only=True)] = (),
    bare: Annotated[int, Logged] = 1,
    **more: Any,
) -> None: ...


def call(*args: Any, **kwargs: Any) -> str:
    docket = Docket("test", "memory://annotations")
    now = datetime.now(timezone.utc)
    return Execution(docket, work, args, kwargs, "the-key", now, attempt=1).call_repr()


def test_only_annotated_arguments_are_shown() -> None:
    assert (
        call("a", "secret", bare=7, extra="secret") == "work('a', ..., bare=7, extra=...){the-key}"
    )


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ([1, 2], "[len 2]"), ("abc", "[len 3]"), ((1,), "(len 1)"), ({1, 2}, "{len 2}"),
        ({"a": 1}, "{len 1}"),
        (frozenset({1}), "[len 1]"), (5, "5"), (list, "<class 'list'>"),
    ],
)  # fmt: skip
def test_the_length_alone_can_be_shown(argument: Any, shown: str) -> None:
    assert call("a", "b", argument) == f"work('a', ..., {shown}){{the-key}}"


def test_a_call_that_does_not_fit_is_still_described() -> None:
    assert call("a", "b", (), 1, 2, 3, 4) == "work('a', ..., (len 0), 1, ..., ..., ...){the-key}"


def test_an_annotation_that_exists_only_for_type_checkers_is_no_obstacle() -> None:
    async def typed(amount: Decimal) -> Iterator[int]: ...

    assert list(get_signature(typed).parameters) == ["amount"]


def test_factories_that_need_each_other_are_refused() -> None:
    def chicken(egg: object = None) -> None: ...

    def egg(chicken: object = Depends(chicken)) -> None: ...

    chicken.__defaults__ = (Depends(egg),)

    async def breakfast(egg: object = Depends(egg)) -> None: ...

    with pytest.raises(
        CycleError, match=r"egg -> .*chicken -> .*egg; one of these must do without"
    ):
        validate_dependencies(breakfast)


def test_a_builtin_that_tells_no_signature_takes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        __name__ = "silent"
        __signature__ = "none"

        def __call__(self, *args: object) -> None: ...

    def none(function: object) -> None:
        raise ValueError(f"no signature found for {function!r}")

    silent = Silent()
    monkeypatch.setattr("docket.annotations._plain_signature", none)
    validate_dependencies(silent)

    monkeypatch.undo()
    assert str(get_signature(silent)) == "(*args, **kwargs)"


async def subscripted(numbers: int[str], name: str) -> None:  # type: ignore[misc]
    """Annotated with what no Python can evaluate."""


def test_an_annotation_that_can_not_be_evaluated_stays_a_text() -> None:
    assert list(get_signature(subscripted).parameters) == ["numbers", "name"]


def test_an_annotation_may_use_names_of_the_function_around_the_task() -> None:
    size = 2

    async def task(key: Annotated[int, Logged(length_only=bool(size))]) -> int:
        return size + later

    (annotation,) = Logged.annotated_parameters(get_signature(task)).values()

    assert annotation.length_only
    later = 1  # not there yet when the signature was read
    assert asyncio.run(task(1)) == size + later


def test_an_annotation_that_can_not_be_resolved_leaves_those_of_other_parameters_alone() -> None:
    async def task(amount: Decimal, shown: Annotated[int, Logged()]) -> None: ...

    signature = get_signature(task)

    assert signature.parameters["amount"].annotation == "Decimal"
    assert set(Logged.annotated_parameters(signature)) == {"shown"}


def test_a_limit_is_not_lost_with_the_annotation_of_another_parameter() -> None:
    size = 2

    async def task(
        amount: Decimal,
        bare: Annotated[int, Debounced],
        lane: Annotated[int, "a lane", int, ConcurrencyLimit(size)],
    ) -> int:
        return size

    Docket("test", "memory://annotations").register(task)

    found = get_annotation_dependencies(task)
    assert {name: [type(one) for one in many] for name, many in found.items()} == {
        "bare": [Debounced],
        "lane": [ConcurrencyLimit],
    }
