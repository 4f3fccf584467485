"""Values into words: each part by the safest codec that keeps it exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from ..errors import NotSerializable
from . import models, pickling
from .words import MARKS, PLAIN, Codec, Tag, kind_of


class Encoder:
    """Writer of one payload, which remembers what reading it will take.

    Arguments:
        annotations: what may tell the reader about models.
        pickles: whether what is left may be pickled.
    """

    def __init__(self, annotations: Iterable[Any], pickles: bool) -> None:
        self.codec = Codec.SAFE
        self._annotations = annotations
        self._pickles = pickles
        self._types: Mapping[str, type] | None = None

    def words(self, value: Any) -> Any:
        """Return a value in words.

        Raises:
            NotSerializable: no codec that is allowed takes a part of it.
            RecursionError: it contains itself, or is nested too deeply.
        """
        kind = kind_of(value)
        if kind in PLAIN:
            return value
        write = _WRITERS.get(kind)
        words = write(self, value) if write else None
        return self._model(value, kind) if words is None else words

    def pickled(self, value: Any) -> list[Any]:
        """Return a value as a pickle.

        Raises:
            NotSerializable: pickle is not allowed, or does not take it.
        """
        if not self._pickles:
            raise NotSerializable(_advice(value))
        self.codec = Codec.PICKLE
        return [MARKS[Tag.PICKLE], pickling.dump(value)]

    def _model(self, value: Any, kind: type) -> list[Any]:
        if not models.is_model(kind) or not models.is_data(value):
            return self.pickled(value)
        name = models.name_of(kind)
        if self._types is None:
            self._types = models.types_in(self._annotations)
        if self._types.get(name) is not kind:
            return self.pickled(value)
        self.codec = max(self.codec, Codec.MODEL)
        fields = {field: self.words(part) for field, part in models.fields_of(value).items()}
        beside = models.beside(value)
        return [MARKS[Tag.MODEL], name, fields, *([self.words(beside)] if beside else [])]


def _advice(value: Any) -> str:
    kind = kind_of(value)
    found = f"found {pickling.preview(value)} of type {models.name_of(kind)}"
    if models.is_model(kind):
        return (
            f"expected a value that can be stored as data, {found}; name the type in the annotations "
            'of the task, or set security.codecs = ["safe", "pickle"]'
        )
    return (
        f"expected None, bool, int, float, str, bytes, a date or time, UUID, Decimal, or lists, "
        f"tuples, dicts and sets of them, {found}; convert it, or set "
        'security.codecs = ["safe", "pickle"]'
    )


_OF_PYDANTIC: Final = "pydantic_core._pydantic_core"


def _list(encoder: Encoder, value: list[Any]) -> Any:
    if PLAIN.issuperset(map(type, value)):
        return value
    return [encoder.words(item) for item in value]


def _dict(encoder: Encoder, value: dict[Any, Any]) -> Any:
    if not PLAIN.issuperset(map(type, value)):
        pairs = (encoder.words(part) for pair in value.items() for part in pair)
        return [MARKS[Tag.PAIRS], *pairs]
    if PLAIN.issuperset(map(type, value.values())):
        return value
    return {key: encoder.words(item) for key, item in value.items()}


def _tagged(tag: Tag) -> Callable[[Encoder, Iterable[Any]], Any]:
    mark = MARKS[tag]

    def write(encoder: Encoder, value: Iterable[Any]) -> Any:
        return [mark, *map(encoder.words, value)]

    return write


def _datetime(_: Encoder, value: datetime) -> Any:
    if not _is_known(value.tzinfo):
        return None
    text = value.replace(tzinfo=None).isoformat()
    return [MARKS[Tag.DATETIME], text, value.fold, _zone(value.tzinfo)]


def _time(_: Encoder, value: time) -> Any:
    if not _is_known(value.tzinfo):
        return None
    text = value.replace(tzinfo=None).isoformat()
    return [MARKS[Tag.TIME], text, value.fold, _zone(value.tzinfo)]


def _is_known(zone: tzinfo | None) -> bool:
    if type(zone) is ZoneInfo:
        # A zone that was read from a file has no name to find it by.
        return bool(zone.key)
    # What pydantic reads has zones of its own, which are offsets as well.
    return zone is None or type(zone) is timezone or type(zone).__module__ == _OF_PYDANTIC


def _zone(zone: tzinfo | None) -> str | list[Any] | None:
    if isinstance(zone, ZoneInfo):
        return zone.key
    if zone is None:
        return None
    offset = zone.utcoffset(None)
    assert offset is not None, "timezone always has an offset"
    microseconds = offset // timedelta(microseconds=1)
    name = zone.tzname(None)
    return [microseconds] if name == timezone(offset).tzname(None) else [microseconds, name]


def _date(_: Encoder, value: date) -> Any:
    return [MARKS[Tag.DATE], value.isoformat()]


def _timedelta(_: Encoder, value: timedelta) -> Any:
    return [MARKS[Tag.TIMEDELTA], value.days, value.seconds, value.microseconds]


def _uuid(_: Encoder, value: UUID) -> Any:
    return [MARKS[Tag.UUID], value.bytes]


def _decimal(_: Encoder, value: Decimal) -> Any:
    return [MARKS[Tag.DECIMAL], str(value)]


# By exact type: an IntEnum is not an int, and a namedtuple not a tuple. None means: not this one.
_WRITERS: Final[dict[type, Callable[[Encoder, Any], Any]]] = {
    list: _list,
    dict: _dict,
    tuple: _tagged(Tag.TUPLE),
    set: _tagged(Tag.SET),
    frozenset: _tagged(Tag.FROZENSET),
    datetime: _datetime,
    date: _date,
    time: _time,
    timedelta: _timedelta,
    UUID: _uuid,
    Decimal: _decimal,
}
