"""The events of a docket, the earliest first: ends of executions and deeds of operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ..connection.base import Connection
from . import history
from .audit import STREAM, AuditEntry, read_audited
from .history import Ended, read_entry
from .keys import Keys
from .scripting.retrying import read_patiently, value_of

Happening: TypeAlias = Ended | AuditEntry
"""The end of an execution, an attempt that has failed, or a deed."""

STREAMS: Final = (*history.STREAMS, STREAM)
"""Names of the streams, without the prefix, in the order of events of one millisecond."""


class EventSlice(NamedTuple):
    """Entries of one stream, the earliest first, and whether there are no more after them."""

    entries: Sequence[Happening]
    is_last: bool


class EventStreams:
    """Reads the events from some place on."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = {keys.named(name).encode(): name for name in STREAMS}

    async def after(self, places: Mapping[str, str], count: int) -> Mapping[str, EventSlice]:
        """Read a slice of each stream in one round trip.

        Arguments:
            places: the place in each stream after which its slice begins.
            count: the number of entries of each.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        # One command for all of them: they are seen as they are at one moment, so that no entry of one
        # stream comes before an earlier one of another.
        begins = [places[name] for name in STREAMS]
        (reply,) = await read_patiently(
            self._connection, ("XREAD", "COUNT", count, "STREAMS", *self._keys, *begins)
        )
        found = {self._keys[key]: entries for key, entries in value_of(reply) or ()}
        return {name: _slice(name, found.get(name, []), count) for name in STREAMS}

    async def last(self) -> dict[str, str]:
        """Return the place of the last entry of each stream; ``0-0`` where there is none.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        replies = await read_patiently(
            self._connection, *(("XREVRANGE", key, "+", "-", "COUNT", 1) for key in self._keys)
        )
        found = (value_of(reply) for reply in replies)
        return {
            name: one[0][0].decode() if one else history.FIRST
            for name, one in zip(STREAMS, found, strict=True)
        }


def _slice(name: str, found: Sequence[tuple[bytes, list[bytes]]], count: int) -> EventSlice:
    read: Any = read_audited if name == STREAM else read_entry
    return EventSlice([read(*entry) for entry in found], len(found) < count)
