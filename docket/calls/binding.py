"""Checks whether arguments fit a task: made where it is called, not first where it runs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ..annotations import MOST_SIGNATURES, get_dependency_parameters, get_signature
from ..errors import WrongArguments
from ..foundation.plain import plain

ANYTHING: Final = "(*args, **kwargs)"
"""Announcement of a task that takes any arguments."""


@dataclass(frozen=True)
class Shape:
    """The arguments that a task can be called with: no types, and no values of defaults.

    Arguments:
        positional: the parameters that can be given by position, in their order.
        by_name: those that can be given by name.
        required: those that must be given.
        takes_more: whether it takes more than that by position.
        takes_any_name: whether it takes more than that by name.
    """

    positional: tuple[str, ...]
    by_name: frozenset[str]
    required: frozenset[str]
    takes_more: bool = False
    takes_any_name: bool = False

    @cached_property
    def least(self) -> float:
        """Number of arguments that are enough, if all are given by position."""
        places = {name: place for place, name in enumerate(self.positional, 1)}
        return max((places.get(name, math.inf) for name in self.required), default=0)

    @cached_property
    def most(self) -> float:
        """Maximum number of positional arguments."""
        return math.inf if self.takes_more else len(self.positional)

    def fits(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return True if it can be called with these arguments."""
        if not kwargs:
            return self.least <= len(args) <= self.most
        if not args and self.required <= kwargs.keys() <= self.by_name:
            return True
        return next(self.objections(args, kwargs), None) is None

    def objections(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[str]:
        """Yield why it cannot be called so, in the words of Python; nothing if it can."""
        count = len(args)
        if count > self.most:
            yield "too many positional arguments"
        given = self.positional[:count]
        if kwargs:
            for name in kwargs:
                if name not in self.by_name:
                    if not self.takes_any_name:
                        yield f"got an unexpected keyword argument {name!r}"
                elif name in given:
                    yield f"multiple values for argument {name!r}"
            named = self.by_name.intersection(kwargs)
            missing = self.required.difference(given, named)
        else:
            missing = self.required.difference(given)
        if missing:
            order = dict.fromkeys((*self.positional, *sorted(missing)))
            yield "missing " + ", ".join(repr(name) for name in order if name in missing)

    def __str__(self) -> str:
        """Return the shape as workers announce it, such as ``number, note=, /, *args, key``."""
        parts = [self._shown(name) for name in self.positional]
        only = sum(name not in self.by_name for name in self.positional)
        if only:
            parts.insert(only, "/")
        rest = sorted(self.by_name.difference(self.positional))
        if self.takes_more:
            parts.append("*args")
        elif rest:
            parts.append("*")
        parts += [self._shown(name) for name in rest]
        return ", ".join([*parts, *(["**kwargs"] if self.takes_any_name else [])])

    def _shown(self, name: str) -> str:
        return name if name in self.required else f"{name}="

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Shape:
        """Return the shape of a function; what is injected need not be given."""
        kinds: dict[Any, list[str]] = {}
        required: list[str] = []
        injected = get_dependency_parameters(function)
        for name, parameter in get_signature(function).parameters.items():
            kinds.setdefault(parameter.kind, []).append(name)
            if parameter.default is parameter.empty and name not in injected:
                required.append(name)
        any_way = kinds.get(inspect.Parameter.POSITIONAL_OR_KEYWORD, [])
        variable = {
            *kinds.get(inspect.Parameter.VAR_POSITIONAL, ()),
            *kinds.get(inspect.Parameter.VAR_KEYWORD, ()),
        }
        return cls(
            (*kinds.get(inspect.Parameter.POSITIONAL_ONLY, ()), *any_way),
            frozenset((*any_way, *kinds.get(inspect.Parameter.KEYWORD_ONLY, ()))),
            frozenset(required) - variable,
            inspect.Parameter.VAR_POSITIONAL in kinds,
            inspect.Parameter.VAR_KEYWORD in kinds,
        )

    @classmethod
    def read(cls, text: str) -> Shape:
        """Return the shape that a worker has announced.

        Example:
            >>> Shape.read("(number, note=)").required
            frozenset({'number'})
        """
        text = text.removeprefix("(").removesuffix(")")
        positional: list[str] = []
        by_name: list[str] = []
        required: list[str] = []
        by_position = True
        for part in text.split(", ") if text else ():
            name = part.rstrip("=")
            if part == "/":
                by_name.clear()
            elif part.startswith("*"):
                by_position = by_position and part == "**kwargs"
            else:
                by_name.append(name)
                if by_position:
                    positional.append(name)
                if name == part:
                    required.append(name)
        parts = text.split(", ")
        return cls(
            tuple(positional),
            frozenset(by_name),
            frozenset(required),
            "*args" in parts,
            "**kwargs" in parts,
        )


_shapes: dict[Callable[..., Any], tuple[inspect.Signature, Shape]] = {}


def shape_of(function: Callable[..., Any]) -> Shape:
    """Return the shape of a task, remembered as long as its signature is the same."""
    signature = get_signature(function)
    known = _shapes.get(function)
    if known is None or known[0] is not signature:
        while len(_shapes) >= MOST_SIGNATURES:
            _shapes.pop(next(iter(_shapes)), None)
        known = _shapes[function] = signature, Shape.of(function)
    return known[1]


def announced(function: Callable[..., Any]) -> str:
    """Return a worker's announcement of the arguments that a task can be called with."""
    return f"({shape_of(function)})"


def bind(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Refuse arguments that a task cannot be called with.

    Arguments:
        name: what the task is called.
        function: the task.
        args, kwargs: the arguments.

    Raises:
        WrongArguments: they do not fit.
    """
    shape = shape_of(function)
    if not shape.fits(args, kwargs):
        objection = next(shape.objections(args, kwargs))
        raise WrongArguments(_refusal(name, [shape], objection))


def bind_to_any(
    name: str, shapes: Iterable[Shape], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Refuse arguments that fit none of the shapes that are announced for a task; without any, all do.

    Raises:
        WrongArguments: they do not fit.
    """
    known = list(shapes)
    if known and not any(shape.fits(args, kwargs) for shape in known):
        objection = next(known[0].objections(args, kwargs))
        raise WrongArguments(_refusal(name, known, objection))


def _refusal(name: str, shapes: list[Shape], objection: str) -> str:
    shown = " or ".join(f"{name}({shape})" for shape in shapes)
    # What workers have announced is in Redis, and may be anything.
    return plain(f"expected arguments that fit {shown}: {objection}; correct the call")
