"""Pydantic models, dataclasses and enums as data, turned back by the types that annotations name."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from ..errors import ModelMismatch
from . import pydantic_state
from .pydantic_state import State, are_computed, is_pydantic, is_whole, restored, state_of
from .words import kind_of

DATA_PROTOCOLS: Final = (None, "dataclasses", "pydantic.main", "pydantic.root_model")
"""Owners of a ``__getstate__`` that only lists fields: none, slotted dataclasses, pydantic models."""


def is_model(kind: Any) -> bool:
    """Return True if a type is a dataclass, a pydantic model or an enum."""
    if not isinstance(kind, type):
        return False
    known: type[Any] = kind
    return dataclasses.is_dataclass(known) or is_pydantic(known) or _is_enum(known)


def name_of(kind: type) -> str:
    """Return the name that a type is stored under."""
    return f"{kind.__module__}.{kind.__qualname__}"


def types_in(annotations: Iterable[Any]) -> Mapping[str, type]:
    """Return all models that annotations speak of, also those in the fields of others, by name."""
    found: dict[str, type] = {}
    waiting = list(annotations)
    while waiting:
        annotation = waiting.pop()
        if not is_model(annotation):
            waiting.extend(_parts(annotation))
        elif name_of(annotation) not in found:
            found[name_of(annotation)] = annotation
            waiting.extend(_field_annotations(annotation))
    return found


def find(types: Mapping[str, type], name: str) -> type:
    """Return the type of this name, wherever its module has moved to.

    Raises:
        ModelMismatch: the annotations name none, or several.
    """
    if name in types:
        return types[name]
    moved = [kind for kind in types.values() if name.endswith(f".{kind.__qualname__}")]
    if len(moved) == 1:
        return moved[0]
    raise ModelMismatch(
        f"expected a model that the annotations of the task name "
        f"({', '.join(sorted(types)) or 'they name none'}), found {name!r}; annotate the parameter with it"
    )


def is_data(value: Any) -> bool:
    """Return True if a model is nothing but its fields, and its state beside them."""
    kind = kind_of(value)
    if isinstance(value, enum.Enum):
        # A combination of flags is not a member.
        return value.name in kind.__members__
    if not _keeps_the_default_protocols(kind):
        return False
    if is_pydantic(kind):
        return is_whole(value, kind)
    names = {field.name for field in dataclasses.fields(kind)}
    beyond = getattr(value, "__dict__", {}).keys() - names
    return are_computed(kind, beyond) and all(hasattr(value, name) for name in names)


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a model by name; of an enum, the name of its member."""
    if isinstance(value, enum.Enum):
        return {"name": value.name}
    kind = kind_of(value)
    if is_pydantic(kind):
        return pydantic_state.fields_of(value, kind)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}


def beside(value: Any) -> dict[str, Any]:
    """Return the state that a pydantic model holds beside its fields; empty if that follows from them."""
    kind = kind_of(value)
    if not is_pydantic(kind):
        return {}
    given, extra, private = state_of(value, kind)
    found: dict[str, Any] = {} if given is None else {"given": sorted(given)}
    if extra:
        found["extra"] = dict(extra)
    if private:
        found["private"] = dict(private)
    return found


def build(kind: type, fields: dict[str, Any], beside: Mapping[str, Any]) -> Any:
    """Return a model of its fields, restored as it was: nothing is validated and no code of its own runs.

    Fields that it has gained since then get their defaults.

    Raises:
        ModelMismatch: the fields do not fit.
    """
    if _is_enum(kind):
        return _member(cast(type[enum.Enum], kind), fields["name"])
    if not is_pydantic(kind):
        return _restored(kind, fields)
    given = beside.get("given")
    state = State(
        None if given is None else frozenset(given),
        beside.get("extra", {}),
        beside.get("private", {}),
    )
    return restored(kind, fields, state)


def _member(kind: type[enum.Enum], name: str) -> enum.Enum:
    try:
        return kind[name]
    except KeyError:
        raise ModelMismatch(f"{name_of(kind)} has no member {name}, which is stored") from None


def _restored(kind: type, fields: dict[str, Any]) -> Any:
    declared = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := fields.keys() - declared.keys():
        raise ModelMismatch(
            f"{name_of(kind)} has no field {', '.join(sorted(unknown))}, which is stored"
        )
    built: Any = cast(Any, object.__new__)(kind)
    for name, field in declared.items():
        value = fields[name] if name in fields else _default(kind, field)
        # A frozen dataclass refuses a plain assignment.
        object.__setattr__(built, name, value)
    return built


def _default(kind: type, field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise ModelMismatch(f"{name_of(kind)} needs the field {field.name}, which is not stored")


def _is_enum(kind: type) -> bool:
    return issubclass(kind, enum.Enum)


def _keeps_the_default_protocols(kind: type) -> bool:
    """Return True if the class leaves open how it is made and copied; a list in disguise does not."""
    getstate = getattr(kind, "__getstate__", None)
    return (
        kind.__new__ is object.__new__
        and getattr(getstate, "__module__", None) in DATA_PROTOCOLS
        and kind.__reduce__ is object.__reduce__
        and kind.__reduce_ex__ is object.__reduce_ex__
    )


def _parts(annotation: Any) -> tuple[Any, ...]:
    alias = getattr(annotation, "__value__", None)
    if alias is not None and not isinstance(annotation, type):
        return (alias,)
    origin = typing.get_origin(annotation)
    return (origin, *typing.get_args(annotation)) if origin is not None else ()


@lru_cache(maxsize=1024)
def _field_annotations(kind: type) -> tuple[Any, ...]:
    if _is_enum(kind):
        return ()
    if not is_pydantic(kind):
        return tuple(_hints(kind).values())
    model: Any = kind
    annotations = [field.annotation for field in model.model_fields.values()]
    if model.__private_attributes__:
        hints = _hints(kind)
        annotations += [hints[name] for name in model.__private_attributes__ if name in hints]
    return tuple(annotations)


def _hints(kind: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except Exception:
        # A name that exists only for type checkers means nothing here, but must not hide the others.
        return dict(_readable_hints(kind))


def _readable_hints(kind: type) -> Iterator[tuple[str, Any]]:
    for base in reversed(kind.__mro__):
        names = vars(sys.modules.get(base.__module__, typing))
        for name, hint in vars(base).get("__annotations__", {}).items():
            with contextlib.suppress(Exception):
                yield name, eval(hint, dict(names)) if isinstance(hint, str) else hint  # noqa: S307
