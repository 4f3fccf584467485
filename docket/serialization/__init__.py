"""Arguments, results and errors as tagged, optionally signed bytes."""

from __future__ import annotations

from .description import Description, describe
from .places import place_of_call, place_of_result, unsigned
from .serializer import Context, Serializer

__all__ = [
    "Context",
    "Description",
    "Serializer",
    "describe",
    "place_of_call",
    "place_of_result",
    "unsigned",
]
