"""The parameters of a task, as a short word: two releases with the same word read the same payloads."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from ..annotations import get_signature
from ..serialization.models import types_in
from ..serialization.pydantic_state import is_pydantic
from .binding import Shape


@lru_cache(maxsize=1024)
def outline(function: Callable[..., Any]) -> str:
    """Return the parameters of a task, with the fields of its models, as eight hexadecimal digits."""
    parameters = get_signature(function).parameters.values()
    models = types_in(parameter.annotation for parameter in parameters)
    lines = [
        str(Shape.of(function)),
        *sorted(line for kind in models.values() for line in _lines(kind)),
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


def _lines(kind: Any) -> Iterator[str]:
    yield kind.__qualname__
    if issubclass(kind, enum.Enum):
        fields = [(name, False) for name in kind.__members__]
    elif is_pydantic(kind):
        fields = [(name, field.is_required()) for name, field in kind.model_fields.items()]
        fields += [(name, False) for name in kind.__private_attributes__]
    else:
        missing = dataclasses.MISSING
        fields = [
            (field.name, field.default is missing and field.default_factory is missing)
            for field in dataclasses.fields(kind)
        ]
    for name, is_required in fields:
        yield f"{kind.__qualname__}.{name}{'' if is_required else '='}"
