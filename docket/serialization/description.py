"""Payloads as tools show them: nothing is run, nothing is trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from ..foundation.plain import plain
from .decoding import NOTHING, Decoder
from .envelope import kind_and_codec, parse
from .words import Kind, as_parts

LONGEST_TEXT: Final = 2_000
LARGEST: Final = 1_024
"""Bits of an integer that is shown by its digits: writing them takes time in proportion to their square."""


@dataclass(frozen=True)
class Description:
    """A payload as tools show it.

    Arguments:
        kind: ``call``, ``result``, ``error``, or ``unreadable``.
        codec: ``safe``, ``model`` or ``pickle``; empty if unreadable.
        key_id: the key that it claims to be signed with; None if it is unsigned.
        size: its length in bytes.
        text: its content, or why it is unreadable; control characters are escaped.
    """

    kind: str
    codec: str
    key_id: str | None
    size: int
    text: str

    def __str__(self) -> str:
        return self.text


def describe(data: bytes, longest: int = LONGEST_TEXT) -> Description:
    """Describe a payload without unpickling, importing or verifying anything; never fails.

    Arguments:
        data: any bytes.
        longest: the limit of the text in characters.

    Example:
        >>> str(describe(Serializer().dump_call((1,), {"name": "Jane"})))
        "1, name='Jane'"
    """
    key_id = None
    try:
        envelope = parse(data)
        key_id = envelope.key_id if envelope.is_signed else None
        kind, codec = kind_and_codec(envelope.body)
        text = _TEXTS[kind](_Showing(codec, ()).read(envelope.body[1:]))
    except Exception as error:
        # Someone who looks at an unreadable payload must see something in any case.
        return Description("unreadable", "", key_id, len(data), _cut(plain(str(error)), longest))
    name = "call" if kind is Kind.WRITTEN else kind.name.lower()
    return Description(name, codec.name.lower(), key_id, len(data), _cut(text, longest))


@dataclass(frozen=True)
class _Shown:
    """Placeholder of a part that is not built; its repr is its text."""

    text: str

    def __repr__(self) -> str:
        return self.text


class _Showing(Decoder):
    """A decoder that builds no models and runs no pickles."""

    @override
    def model(self, name: str, fields: dict[str, Any], beside: Mapping[str, Any] = NOTHING) -> Any:
        del beside
        shown = ", ".join(_named(fields))
        return _Shown(f"{plain(name.rpartition('.')[2])}({shown})")

    @override
    def integer(self, data: bytes) -> Any:
        value = super().integer(data)
        bits = value.bit_length()
        return value if bits <= LARGEST else _Shown(f"<an integer of {bits} bits>")

    @override
    def pickled(self, data: bytes) -> Any:
        return _Shown(f"<{len(data)} pickled bytes>")


def _call(value: Any) -> str:
    parts = as_parts(value, list, dict)
    if parts is None:
        return repr(value)
    args, kwargs = parts
    return ", ".join([*map(repr, args), *_named(kwargs)])


def _error(value: Any) -> str:
    parts = as_parts(value, str, str, str, None, None)
    return repr(value) if parts is None else plain(f"{parts[0]}: {parts[1]}")


def _named(values: Mapping[Any, Any]) -> Iterator[str]:
    return (f"{plain(str(name))}={value!r}" for name, value in values.items())


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


_TEXTS: Final = {Kind.CALL: _call, Kind.WRITTEN: _call, Kind.RESULT: repr, Kind.ERROR: _error}
