"""Words into values, from any bytes: hostile ones end in one kind of error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from ..errors import Undecodable
from . import models, pickling
from .words import TAGS, Codec, Tag, unpack

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
COLLISIONS: Final = 64
"""Members of a set with one hash, at most: reading them takes time in proportion to their square."""


class Decoder:
    """Reader of one payload.

    Arguments:
        codec: what its first byte allows it to contain.
        annotations: the source of the types of its models.
    """

    def __init__(self, codec: Codec, annotations: Iterable[Any]) -> None:
        self._codec = codec
        self._annotations = annotations
        self._types: Mapping[str, type] | None = None
        self._open_tags = 0

    def read(self, data: bytes) -> Any:
        """Return the value that the bytes hold.

        Raises:
            Undecodable: they hold none.
        """
        try:
            value = unpack(data, self._on_list, mapping, self._on_tag)
        except Undecodable:
            raise
        except Exception as error:
            raise Undecodable(
                f"expected a payload, found {len(data)} damaged bytes: {type(error).__name__}: {error}"
            ) from error
        if self._open_tags:
            raise Undecodable("expected tags at the head of lists only, found a stray one")
        return value

    def model(self, name: str, fields: dict[str, Any], beside: Mapping[str, Any] = NOTHING) -> Any:
        """Build the model that a payload describes.

        Raises:
            ModelMismatch: the annotations do not contain its type, or it has changed too much.
        """
        if self._types is None:
            self._types = models.types_in(self._annotations)
        return models.build(models.find(self._types, name), fields, beside)

    def pickled(self, data: bytes) -> Any:
        """Load a part that was pickled."""
        return pickling.load(data)

    def integer(self, data: bytes) -> Any:
        """Return an integer of more than 64 bits, from its bytes."""
        return int.from_bytes(data, "big", signed=True)

    def _on_tag(self, code: int, data: bytes) -> Tag:
        if data:
            raise ValueError(f"a tag has no content, found {len(data)} bytes")
        # A tag that is not consumed by the list that it opens would reach the task as an argument.
        self._open_tags += 1
        return TAGS[code]

    def _on_list(self, items: list[Any]) -> Any:
        if not items or type(items[0]) is not Tag:
            return items
        self._open_tags -= 1
        return self._tagged(items[0], items[1:])

    def _tagged(self, tag: Tag, parts: list[Any]) -> Any:
        if tag is Tag.PICKLE and self._codec is Codec.PICKLE:
            return self.pickled(*parts)
        if tag is Tag.MODEL and self._codec >= Codec.MODEL:
            return self.model(*parts)
        if tag is Tag.INT:
            return self.integer(*parts)
        return _READERS[tag](parts)


def _pairs(parts: list[Any]) -> dict[Any, Any]:
    return mapping(list(zip(parts[::2], parts[1::2], strict=True)))


def mapping(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a dict of these pairs."""
    if len(pairs) > COLLISIONS:
        _spread(key for key, _ in pairs)
    return dict(pairs)


def _set(parts: list[Any]) -> set[Any]:
    if len(parts) > COLLISIONS:
        _spread(parts)
    return set(parts)


def _frozenset(parts: list[Any]) -> frozenset[Any]:
    return frozenset(_set(parts))


def _spread(members: Iterable[Any]) -> None:
    """Check that the hashes of a set's members differ: a sender could choose them so that they do not.

    Python hides the hashes of strings from strangers, and not those of numbers.
    """
    ((_, most),) = Counter(map(hash, members)).most_common(1)
    if most > COLLISIONS:
        raise Undecodable(
            f"expected members of a set, or keys of a dict, that differ in their hashes, found {most} with "
            "the same one: it would take too long to read them"
        )


def _datetime(parts: list[Any]) -> datetime:
    text, fold, zone = parts
    return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _time(parts: list[Any]) -> time:
    text, fold, zone = parts
    return time.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _zone(words: str | list[Any] | None) -> tzinfo | None:
    if words is None:
        return None
    if isinstance(words, str):
        return ZoneInfo(words)
    microseconds, *name = words
    return timezone(timedelta(microseconds=microseconds), *name)


def _date(parts: list[Any]) -> date:
    return date.fromisoformat(*parts)


def _timedelta(parts: list[Any]) -> timedelta:
    days, seconds, microseconds = parts
    return timedelta(days, seconds, microseconds)


def _uuid(parts: list[Any]) -> UUID:
    (data,) = parts
    return UUID(bytes=bytes(memoryview(data)))


def _decimal(parts: list[Any]) -> Decimal:
    (text,) = parts
    return Decimal(str.strip(text))


_READERS: Final[dict[Tag, Callable[[list[Any]], Any]]] = {
    Tag.TUPLE: tuple,
    Tag.SET: _set,
    Tag.FROZENSET: _frozenset,
    Tag.PAIRS: _pairs,
    Tag.DATETIME: _datetime,
    Tag.DATE: _date,
    Tag.TIME: _time,
    Tag.TIMEDELTA: _timedelta,
    Tag.UUID: _uuid,
    Tag.DECIMAL: _decimal,
}
