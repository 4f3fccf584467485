"""The state of a pydantic model: what it holds, taken and given back without running any code of its own.

Validating again what was valid once would change it: a validator that turns 125 into 12500 would do so
twice, and a moment that had to lie in the future has passed when the task runs.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..errors import ModelMismatch

_GETSTATE: Final = ("pydantic.main", "pydantic.root_model")
"""Owners of a ``__getstate__`` that lists what is looked at here, and nothing else."""


class State(NamedTuple):
    """The state of a model beside its fields.

    Arguments:
        given: the names that were given; None if all of them were.
        extra: values beyond its fields.
        private: its private attributes.
    """

    given: frozenset[str] | None
    extra: Mapping[str, Any]
    private: Mapping[str, Any]


def is_pydantic(kind: type) -> bool:
    """Return True if a type is a pydantic model."""
    # A program with a model has imported pydantic; no other should pay for it.
    base = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return base is not None and issubclass(kind, base)


def is_whole(model: Any, kind: Any) -> bool:
    """Return True if a model is nothing but fields and state."""
    keeps_protocol = all(
        getattr(getattr(kind, name), "__module__", None) in _GETSTATE
        for name in ("__getstate__", "__setstate__")
    )
    held: Mapping[str, Any] = model.__dict__
    private: Mapping[str, Any] = getattr(model, "__pydantic_private__", None) or {}
    return (
        keeps_protocol
        and kind.model_fields.keys() <= held.keys()
        and are_computed(kind, held.keys() - kind.model_fields.keys())
        and private.keys() <= kind.__private_attributes__.keys()
    )


def are_computed(kind: type, names: Iterator[str] | set[str]) -> bool:
    """Return True if names of a class are values that it computes from its fields, and has only cached."""
    return all(isinstance(_static(kind, name), functools.cached_property) for name in names)


def _static(kind: type, name: str) -> Any:
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def fields_of(model: Any, kind: Any) -> dict[str, Any]:
    """Return the fields of a model by name."""
    return {name: model.__dict__[name] for name in kind.model_fields}


def state_of(model: Any, kind: Any) -> State:
    """Return the state of a model beside its fields."""
    state = model.__getstate__()
    given = frozenset(state["__pydantic_fields_set__"])
    extra: Mapping[str, Any] = state.get("__pydantic_extra__") or {}
    is_all = given == kind.model_fields.keys() | extra.keys()
    return State(None if is_all else given, extra, state.get("__pydantic_private__") or {})


def restored(kind: Any, fields: Mapping[str, Any], state: State) -> Any:
    """Return the model that holds this; what it has gained since then gets its defaults.

    Raises:
        ModelMismatch: it needs more than that, or has no place for some of it.
    """
    held: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if name in fields:
            held[name] = fields[name]
        elif field.is_required():
            raise ModelMismatch(_needs(kind, name))
        else:
            held[name] = _default(field, held)
    private: dict[str, Any] = dict(state.private)
    for name, attribute in kind.__private_attributes__.items():
        if name not in private and _has_default(attribute):
            private[name] = _default(attribute, held)
    extra_allowed = kind.model_config.get("extra") == "allow"
    unknown = {*(fields.keys() - held.keys()), *(private.keys() - kind.__private_attributes__)}
    if not extra_allowed:
        unknown.update(state.extra)
    if unknown:
        raise ModelMismatch(_has_no(kind, unknown))
    built = kind.__new__(kind)
    built.__setstate__(
        {
            "__dict__": held,
            "__pydantic_fields_set__": {*fields, *state.extra}
            if state.given is None
            else set(state.given),
            "__pydantic_extra__": dict(state.extra) if extra_allowed else None,
            "__pydantic_private__": private if kind.__private_attributes__ else None,
        }
    )
    return built


def _has_default(attribute: Any) -> bool:
    undefined = sys.modules["pydantic_core"].PydanticUndefined
    return attribute.default_factory is not None or attribute.default is not undefined


def _default(field: Any, held: Mapping[str, Any]) -> Any:
    if getattr(field, "default_factory_takes_validated_data", False):
        return field.get_default(call_default_factory=True, validated_data=dict(held))
    # Of a private attribute the method takes no argument in older versions.
    factory = field.default_factory
    return field.get_default() if factory is None else factory()


def _needs(kind: Any, name: str) -> str:
    return f"{kind.__module__}.{kind.__qualname__} needs the field {name}, which is not stored"


def _has_no(kind: Any, names: set[str]) -> str:
    listed = ", ".join(sorted(names))
    return f"{kind.__module__}.{kind.__qualname__} has no field {listed}, which is stored"
