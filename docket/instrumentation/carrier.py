"""Trace context as it rides in an execution: names and values, as bytes."""

from __future__ import annotations

from opentelemetry.propagators.textmap import Getter, Setter
from typing_extensions import override

Carrier = dict[bytes, bytes]


class MessageGetter(Getter[Carrier]):
    """Reader of the fields of a message."""

    @override
    def get(self, carrier: Carrier, key: str) -> list[str] | None:
        """Return the values of a field, None if it is not there."""
        value = carrier.get(key.encode())
        return None if value is None else [value.decode()]

    @override
    def keys(self, carrier: Carrier) -> list[str]:
        """Return the names of all fields."""
        return [name.decode() for name in carrier]


class MessageSetter(Setter[Carrier]):
    """Writer of the fields of a message."""

    @override
    def set(self, carrier: Carrier, key: str, value: str) -> None:
        """Write one field, in the place of another of its name."""
        carrier[key.encode()] = value.encode()


message_getter = MessageGetter()
message_setter = MessageSetter()


def packed(carrier: Carrier) -> str:
    """Return the fields as the record of an execution holds them: a line each; empty if there are none."""
    return b"\n".join(name + b"=" + value for name, value in carrier.items()).decode()


def unpacked(text: str) -> Carrier:
    """Return the fields that ``packed`` wrote; anything else there is skipped."""
    pairs = (line.partition(b"=") for line in text.encode().split(b"\n"))
    return {name: value for name, is_field, value in pairs if is_field}
