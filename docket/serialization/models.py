"""Pydantic models, dataclasses and enums as data, turned back by the types that annotations name."""

from __future__ import annotations

import dataclasses
import enum
import sys
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from ..errors import Undecodable
from .words import kind_of

DATA_PROTOCOLS: Final = (None, "dataclasses", "pydantic.main", "pydantic.root_model")
"""Whose ``__getstate__`` only lists fields: nobody's, slotted dataclasses', models'."""


def is_model(kind: Any) -> bool:
    """Whether a type is a dataclass, a pydantic model or an enum."""
    if not isinstance(kind, type):
        return False
    known: type[Any] = kind
    return dataclasses.is_dataclass(known) or _is_pydantic(known) or _is_enum(known)


def name_of(kind: type) -> str:
    """The name that a type is stored under."""
    return f"{kind.__module__}.{kind.__qualname__}"


def types_in(annotations: Iterable[Any]) -> Mapping[str, type]:
    """All models that annotations speak of, also those in the fields of others, by name."""
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
    """The type of this name, wherever its module has moved to.

    Raises:
        Undecodable: the annotations name none, or several.
    """
    if name in types:
        return types[name]
    moved = [kind for kind in types.values() if name.endswith(f".{kind.__qualname__}")]
    if len(moved) == 1:
        return moved[0]
    raise Undecodable(
        f"expected a model that the annotations of the task name "
        f"({', '.join(sorted(types)) or 'they name none'}), found {name!r}; annotate the parameter with it"
    )


def is_data(value: Any) -> bool:
    """Whether the fields of a model are all that there is to it."""
    kind = kind_of(value)
    if isinstance(value, enum.Enum):
        # A combination of flags is no member.
        return value.name in kind.__members__
    if not _keeps_the_default_protocols(kind):
        return False
    if _is_pydantic(kind):
        return not value.__pydantic_private__
    names = {field.name for field in dataclasses.fields(kind)}
    return getattr(value, "__dict__", {}).keys() <= names and all(
        hasattr(value, name) for name in names
    )


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a model by name; of an enum, the name of its member."""
    if isinstance(value, enum.Enum):
        return {"name": value.name}
    if _is_pydantic(kind_of(value)):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def unset_fields_of(value: Any) -> list[str]:
    """The fields of a pydantic model that hold a default which nobody gave."""
    if not _is_pydantic(kind_of(value)):
        return []
    return sorted(dict(value).keys() - value.model_fields_set)


def build(kind: type, fields: dict[str, Any], unset: Iterable[str]) -> Any:
    """A model of its fields.

    A pydantic model is validated again. A dataclass is restored as it was, without running its
    ``__init__`` again; fields that it has gained since then get their defaults.

    Raises:
        ValueError: the fields do not fit.
    """
    if _is_enum(kind):
        return cast(type[enum.Enum], kind)[fields["name"]]
    if not _is_pydantic(kind):
        return _restored(kind, fields)
    is_root = getattr(kind, "__pydantic_root_model__", False)
    model: Any = kind
    built = (
        model.model_validate(fields["root"])
        if is_root
        else model.model_validate(fields, by_alias=False, by_name=True)
    )
    built.model_fields_set.difference_update(unset)
    return built


def _restored(kind: type, fields: dict[str, Any]) -> Any:
    declared = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := fields.keys() - declared.keys():
        raise ValueError(f"{name_of(kind)} has no field {', '.join(sorted(unknown))}")
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
    raise ValueError(f"{name_of(kind)} needs the field {field.name}, which is not stored")


def _is_pydantic(kind: type) -> bool:
    # Whoever has a model has imported pydantic; nobody else should pay for it.
    base = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return base is not None and issubclass(kind, base)


def _is_enum(kind: type) -> bool:
    return issubclass(kind, enum.Enum)


def _keeps_the_default_protocols(kind: type) -> bool:
    """Whether the class leaves open how it is made and copied; a list in disguise does not."""
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
    if _is_pydantic(kind):
        model: Any = kind
        return tuple(field.annotation for field in model.model_fields.values())
    try:
        return tuple(typing.get_type_hints(kind).values())
    except NameError:
        # A name that exists only for type checkers tells nothing here.
        return ()
