"""Tags in the bytes for the values that MessagePack has no word for.

A value that MessagePack knows stands for itself. Any other is a list that opens with a tag, an extension
without content: ``(1, 2)`` is ``[TUPLE, 1, 2]``. Reading therefore never nests a decoder in a decoder.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import NoneType
from typing import Any, Final, cast

import msgpack


class Codec(enum.IntEnum):
    """Codec that reading a payload takes; the low half of its first byte."""

    SAFE = 1
    """Plain values only."""
    MODEL = 2
    """Also models, as data that the task's annotations turn back."""
    PICKLE = 3
    """Also parts that are pickled, and so run code when they are read."""


class Kind(enum.IntEnum):
    """Kind of a payload; the high half of its first byte, so that none passes for another."""

    CALL = 0x00
    RESULT = 0x10
    ERROR = 0x20
    WRITTEN = 0x30
    """The arguments of a call in written form: the annotations say what they are to become."""


class Tag(enum.Enum):
    """Meaning of a tagged list; the values are stored and never change."""

    TUPLE = 1
    SET = 2
    FROZENSET = 3
    PAIRS = 4
    """A dict whose keys MessagePack has no word for: key, value, key, value …"""
    INT = 5
    """An integer of more than 64 bits."""
    DATETIME = 6
    DATE = 7
    TIME = 8
    TIMEDELTA = 9
    UUID = 10
    DECIMAL = 11
    MODEL = 12
    PICKLE = 13


TAGS: Final = {tag.value: tag for tag in Tag}
MARKS: Final = {tag: msgpack.ExtType(tag.value, b"") for tag in Tag}

PLAIN: Final[frozenset[type]] = frozenset({NoneType, bool, int, float, str, bytes})
"""The exact types of values that stand for themselves."""


def pack(words: Any) -> bytes:
    """Words as bytes.

    Raises:
        ValueError: they are nested too deeply.
    """
    return _packb(words, default=_large_integer, strict_types=True, unicode_errors="surrogatepass")


def unpack(
    data: bytes,
    on_list: Callable[[list[Any]], Any],
    on_map: Callable[[list[tuple[Any, Any]]], Any],
    on_tag: Callable[[int, bytes], Any],
) -> Any:
    """Decode bytes to words; no length that they claim exceeds their own.

    Raises:
        Exception: of any class, if the bytes are damaged.
    """
    return _unpackb(
        data,
        list_hook=on_list,
        object_pairs_hook=on_map,
        ext_hook=on_tag,
        strict_map_key=False,
        unicode_errors="surrogatepass",
    )


def kind_of(value: Any) -> type[Any]:
    """Return the exact type of a value."""
    return cast(type[Any], type(value))


def as_parts(words: Any, *kinds: type | None) -> list[Any] | None:
    """Return words as parts of these exact types, None standing for any; None if they are not."""
    if type(words) is not list:
        return None
    parts = cast(list[Any], words)
    if len(parts) != len(kinds):
        return None
    for part, kind in zip(parts, kinds, strict=True):
        if kind is not None and type(part) is not kind:
            return None
    return parts


def _large_integer(value: int) -> list[Any]:
    return [MARKS[Tag.INT], value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)]


# msgpack has no type hints.
_packb = cast(Callable[..., bytes], msgpack.packb)  # pyright: ignore[reportUnknownMemberType]
_unpackb = cast(Callable[..., Any], msgpack.unpackb)  # pyright: ignore[reportUnknownMemberType]
