"""What a task takes, as a short word."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import pydantic
import pytest

from docket.calls.outline import outline


def _model(**fields: Any) -> Any:
    return pydantic.create_model("Order", **fields)


def _dataclass(*fields: Any) -> Any:
    return dataclasses.make_dataclass("Part", fields)


def _taking(kind: Any) -> Any:
    def task(order: Any) -> None: ...

    task.__annotations__["order"] = kind
    return task


def none() -> None: ...
def one(a: int) -> None: ...
def one_with_default(a: int = 1) -> None: ...


TASKS = [
    *(none, one, one_with_default),
    *map(_taking, (enum.Enum("Colour", "RED"), enum.Enum("Colour", "RED BLUE"))),
    *map(_taking, (_model(a=(int, ...)), _model(a=(int, 1)), _model(b=(int, ...)))),
    *map(_taking, (_dataclass("a"), _dataclass(("a", int, 1)), _dataclass("a", "b"))),
]


def test_what_reads_other_payloads_has_another_word() -> None:
    assert len({outline(task) for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("kind", [_model(a=(int, ...)), _dataclass("a")])
def test_types_and_names_of_functions_make_no_difference(kind: Any) -> None:
    assert outline(_taking(kind)) == outline(_taking(list[kind]))
