"""Comparison of functions: whether two are one task, as far as that can be seen."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any, Final, cast

PLAIN: Final = (str, bytes, int, float, bool, type(None), tuple, frozenset)
"""Types whose values are the same if they are equal."""


class Likeness(enum.Enum):
    """The relation of a function to another one of its name."""

    SAME = "same"
    """The functions do the same."""
    CHANGED = "changed"
    """The new one stands in the place of the other one, and does something else."""
    OTHER = "other"
    """The new one comes from elsewhere, or another one was made there."""


def likeness(known: Callable[..., Any], new: Callable[..., Any]) -> Likeness:
    """Compare a function to the one that is known already."""
    if known is new:
        return Likeness.SAME
    if _origin(known) != _origin(new):
        return Likeness.OTHER
    before, after = _code(known), _code(new)
    if before is None or after is None:
        # Callable objects: of two, it is unknown whether they do the same.
        return Likeness.SAME if known == new else Likeness.OTHER
    if not _is_same_code(before, after):
        return Likeness.CHANGED
    # One place, several functions: a decorator or a factory has made them, and each does its own.
    return Likeness.SAME if _closes_over_the_same(known, new) else Likeness.OTHER


def place_of(function: Callable[..., Any]) -> str:
    """Describe where a function comes from, for messages."""
    module, name = _origin(function)
    code = _code(function)
    return f"{module}.{name}" + (f" (line {code.co_firstlineno})" if code is not None else "")


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    kind: Any = cast(Any, type(function))
    module = getattr(function, "__module__", None) or kind.__module__
    return module, getattr(function, "__qualname__", None) or kind.__qualname__


def _code(function: Callable[..., Any]) -> CodeType | None:
    return getattr(function, "__code__", None)


def _is_same_code(one: CodeType, other: CodeType) -> bool:
    # Where it stands in its file, or in a notebook, makes no difference.
    return one is other or (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and len(one.co_consts) == len(other.co_consts)
        and all(map(_is_same_constant, one.co_consts, other.co_consts))
    )


def _is_same_constant(one: Any, other: Any) -> bool:
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return _is_same_code(one, other)
    return type(one) is type(other) and one == other


def _closes_over_the_same(one: Any, other: Any, depth: int = 4) -> bool:
    before, after = _closure(one), _closure(other)
    return len(before) == len(after) and all(
        _is_same_value(left, right, depth) for left, right in zip(before, after, strict=True)
    )


def _closure(function: Any) -> list[Any]:
    return list(inspect.getclosurevars(function).nonlocals.values())


def _is_same_value(one: Any, other: Any, depth: int) -> bool:
    if one is other:
        return True
    if isinstance(one, PLAIN):
        return type(other) is type(cast(Any, one)) and other == one
    if depth and inspect.isfunction(one) and inspect.isfunction(other):
        return _is_same_code(one.__code__, other.__code__) and _closes_over_the_same(
            one, other, depth - 1
        )
    return False
