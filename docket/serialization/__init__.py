"""Arguments, results and errors as tagged, optionally signed bytes."""

from __future__ import annotations

from .description import Description, describe
from .envelope import is_pickled
from .places import place_of_call, place_of_result, says_nothing, unsigned
from .serializer import CODECS_KEY, PICKLE, Context, Serializer
from .trust import Trust

__all__ = [
    "CODECS_KEY",
    "PICKLE",
    "Context",
    "Description",
    "Serializer",
    "Trust",
    "describe",
    "is_pickled",
    "place_of_call",
    "place_of_result",
    "says_nothing",
    "unsigned",
]
