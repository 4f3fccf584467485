"""Places of payloads: a signature covers the place, too, so that a copy elsewhere is refused."""

from __future__ import annotations

from typing import Final

from ..errors import Undecodable
from .envelope import parse
from .serializer import Context
from .words import Codec, Kind, pack

NOTHING: Final = bytes((Kind.RESULT | Codec.SAFE,)) + pack(None)


def place_of_call(task: str, key: str) -> Context:
    """Return the place of a call."""
    return task, key


def place_of_result(task: str, key: str, generation: int, call: bytes) -> Context:
    """Return the place of a result or an error.

    Arguments:
        task, key, generation: the run that ended with it.
        call: the arguments of that run, as they are stored; their nonce distinguishes the uses of a key.
    """
    return task, key, generation, _nonce_of(call)


def unsigned(data: bytes) -> bytes:
    """Return a payload without its signature, which differs each time that it is made."""
    return parse(data).body


def says_nothing(data: bytes) -> bool:
    """Return True if a result is None, signed or not."""
    return parse(data).body == NOTHING


def _nonce_of(call: bytes) -> str:
    try:
        return parse(call).nonce
    except Undecodable:
        return ""
