"""Arguments written by hand, in TOML or JSON, converted to the task's annotations.

The written form knows tables, arrays, strings and numbers. A parameter that is a model, a set, an enum, a
path or a duration gets one, made here and nowhere else; what does not fit is refused.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import typing
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ..errors import ModelMismatch
from ..foundation.durations import parse_duration
from .words import PLAIN, kind_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError


class Misfit(NamedTuple):
    """The reason why a written value does not fit.

    Arguments:
        parameter: the parameter.
        item: the item of ``*args`` or ``**kwargs``; None for all others.
        below: the place within the value.
        reason: the expected value, and why this is another.
    """

    parameter: str
    item: int | str | None
    below: tuple[int | str, ...]
    reason: str


class NotAsWritten(ValueError):
    """A written value does not fit an annotation.

    Arguments:
        reason: what is expected, and why this is not it.
        below: where in the value.
    """

    def __init__(self, reason: str, below: tuple[int | str, ...] = ()) -> None:
        super().__init__(reason)
        self.below = below


def made(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], list[Misfit]]:
    """Convert arguments to the types that are meant; return them, and what does not fit.

    Arguments:
        signature: the task's, with annotations resolved.
        args, kwargs: as they are written; those that cannot be bound are left alone.
    """
    misfits: list[Misfit] = []

    def make(parameter: inspect.Parameter, item: int | str | None, value: Any) -> Any:
        try:
            return convert(parameter.annotation, value)
        except NotAsWritten as error:
            misfits.append(Misfit(parameter.name, item, error.below, str(error)))
            return value

    places = list(_places(signature, len(args)))
    positional = [make(*place, value) for place, value in zip(places, args, strict=False)]
    named = dict(kwargs)
    rest = next((p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
    for name, value in kwargs.items():
        parameter = signature.parameters.get(name)
        if parameter is not None and parameter.kind in _BY_NAME:
            named[name] = make(parameter, None, value)
        elif rest is not None:
            named[name] = make(rest, name, value)
    return (*positional, *args[len(positional) :]), named, misfits


def as_meant(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Convert arguments to the types that are meant.

    Raises:
        ModelMismatch: one does not fit its annotation.
    """
    args, kwargs, misfits = made(signature, args, kwargs)
    for misfit in misfits:
        where = misfit.parameter if misfit.item is None else f"{misfit.parameter}[{misfit.item!r}]"
        raise ModelMismatch(f"{where}: {misfit.reason}")
    return args, dict(kwargs)


_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _places(
    signature: inspect.Signature, count: int
) -> Iterator[tuple[inspect.Parameter, int | None]]:
    """Yield the parameters that so many positional arguments are for."""
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            yield from ((parameter, number) for number in range(count))
            return
        if parameter.kind is parameter.KEYWORD_ONLY or parameter.kind is parameter.VAR_KEYWORD:
            return
        yield parameter, None
        count -= 1


def convert(annotation: Any, value: Any) -> Any:
    """Convert a written value to an annotation; return it as it is where the annotation does not decide.

    Raises:
        NotAsWritten: it does not fit.

    Example:
        >>> convert(set[str], ["a"])
        {'a'}
    """
    kind = kind_of(value)
    if annotation is kind and kind in PLAIN:
        return value
    if annotation in (inspect.Parameter.empty, Any, object) or isinstance(annotation, str):
        return value
    if kind is str and _is_duration(annotation):
        return _duration(value)
    adapter = _adapter(annotation)
    if adapter is None:
        return value
    from pydantic import ValidationError  # noqa: PLC0415 - only where something is to be made

    if _has_typed(value):
        # JSON has no word of its own for a moment: as it is, it is right as a rule.
        try:
            return _kept(adapter.validate_python(value, strict=True), value)
        except ValidationError as error:
            if not isinstance(value, (list, dict)):
                raise _misfit(annotation, value, error) from error
            refusal = error
    else:
        refusal = None
    try:
        text = json.dumps(value, default=_moment)
        return _kept(adapter.validate_json(text, strict=True), value)
    except ValidationError as error:
        raise _misfit(annotation, value, error) from error
    except (AttributeError, TypeError):
        assert refusal is not None, "what JSON has no word for was looked at as it is"
        raise _misfit(annotation, value, refusal) from refusal


def _kept(found: Any, value: Any) -> Any:
    """Return what was made; the value itself if that is equal, or would be made only when used."""
    is_lazy = kind_of(found).__name__ == "ValidatorIterator"
    return value if is_lazy else found


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        return _remembered(annotation)
    except TypeError:  # it has no hash
        return _made_for(annotation)


def _made_for(annotation: Any) -> TypeAdapter[Any] | None:
    from pydantic import ConfigDict, TypeAdapter  # noqa: PLC0415

    # Of any other class, nothing that is written is an instance. Models have a configuration of their own.
    for config in (ConfigDict(arbitrary_types_allowed=True), None):
        with contextlib.suppress(Exception):
            return TypeAdapter(annotation, config=config)
    return None


_remembered = lru_cache(maxsize=1024)(_made_for)


def _has_typed(value: Any) -> bool:
    """Return True if anything in a value has no word in JSON."""
    if isinstance(value, dict):
        return any(map(_has_typed, cast(dict[Any, Any], value).values()))
    if isinstance(value, list):
        return any(map(_has_typed, cast(list[Any], value)))
    return kind_of(value) not in PLAIN


def _moment(value: date | time) -> str:
    return value.isoformat()


def _is_duration(annotation: Any) -> bool:
    parts = typing.get_args(annotation)
    return annotation is timedelta or (timedelta in parts and str not in parts)


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise NotAsWritten(f"expected what fits timedelta: {error}") from error


def _misfit(annotation: Any, value: Any, error: ValidationError) -> NotAsWritten:
    wrong = error.errors(include_url=False, include_input=False)[0]
    below: list[int | str] = []
    here: Any = value
    for step in wrong["loc"]:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            # The name of a field that is not there, or of one of several types.
            continue
        below.append(step)
    message = wrong["msg"]
    if wrong["type"] == "needs_python_object":
        message = "nothing that is written is one; take what it is made from"
    name = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    where = ".".join(map(str, wrong["loc"]))
    reason = message[:1].lower() + message[1:]
    return NotAsWritten(
        f"expected what fits {name or annotation}: {where and f'{where}: '}{reason}", tuple(below)
    )
