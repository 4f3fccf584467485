"""The events of a docket in the order of time: ends of executions and deeds of operators.

They are in several streams, and each of these has an order of its own: so the place between two events is a
place in each stream. Whoever goes on from there gets each event once, also where two were written in one
millisecond, where the clock of the server was set back, or where another server has taken over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..errors import InvalidOption
from ..foundation.units import from_milliseconds
from ..storage.audit import STREAM as AUDIT
from ..storage.audit import AuditEntry
from ..storage.events import STREAMS, EventStreams, Happening
from ..storage.history import Ended, Reach, moment_of
from ..storage.storage import Storage

SLICE: Final = 500
"""Entries of each stream that one round trip reads, at most."""

_ID: Final = re.compile(rf"\d+-\d+(,\d+-\d+){{{len(STREAMS) - 1}}}")
NEVER: Final = from_milliseconds(0)
"""The moment of the place before everything."""

_LAST: Final = 2**64 - 1
"""The last number of a millisecond."""


@dataclass(frozen=True, slots=True)
class Event:
    """The end of an execution, an attempt that has failed, or a deed of an operator.

    Arguments:
        id: the place behind it: what comes after it goes on there.
        at: when it was.
        ended: the end, if it is one.
        deed: the deed, if it is one.
    """

    id: str
    at: datetime
    ended: Ended | None = None
    deed: AuditEntry | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, the earliest first.

    Arguments:
        events: what was found.
        cursor: the place behind them, or where the page began, if there are none.
        is_last: True if there were no more at that moment.
    """

    events: list[Event]
    cursor: str
    is_last: bool


async def events_after(streams: EventStreams, cursor: str, size: int = 0) -> EventPage:
    """Return the events behind a place, in one round trip.

    Arguments:
        streams: where.
        cursor: the place.
        size: entries of each stream, at most; left out, ``SLICE``.

    Raises:
        InvalidOption: this is no place between two events.
    """
    places = _places_of(cursor)
    slices = await streams.after(places, size or SLICE)
    left = {name: list(one.entries[::-1]) for name, one in slices.items()}
    events: list[Event] = []
    # Where a slice ends but its stream does not, nothing later may be told before the next slice.
    while all(left[name] or one.is_last for name, one in slices.items()):
        waiting = [name for name in STREAMS if left[name]]
        if not waiting:
            return EventPage(events, cursor_of(places), is_last=True)
        name = min(waiting, key=lambda one: _order(left[one][-1]))
        found = left[name].pop()
        places[name] = found.id
        events.append(_event(cursor_of(places), found))
    return EventPage(events, cursor_of(places), is_last=False)


async def lost_after(storage: Storage, cursor: str) -> list[str]:
    """Return the streams whose entries after a place may be gone, as the oldest ones go.

    Arguments:
        storage: where.
        cursor: the place.

    Raises:
        InvalidOption: this is no place between two events.
    """
    moments = {name: moment_of(place.encode()) for name, place in _places_of(cursor).items()}
    looked, audit = await storage.history.look({}, None, 1), await storage.audit.look("+", None, 1)
    reaches = {**looked.reaches, AUDIT: Reach(audit.since, audit.why)}
    keeps = {
        **dict.fromkeys(looked.reaches, storage.history.limits.keep),
        AUDIT: storage.audit.limits.keep,
    }
    return [
        name
        for name, reach in reaches.items()
        if _is_cut_after(moments[name], reach) or NEVER < moments[name] < looked.now - keeps[name]
    ]


def _is_cut_after(moment: datetime, reach: Reach) -> bool:
    is_behind = reach.since is not None and NEVER < moment < reach.since
    return is_behind and bool(reach.why)


def cursor_of(places: Mapping[str, str]) -> str:
    """Return a place between two events, as one string."""
    return ",".join(places[name] for name in STREAMS)


def cursor_at(moment: datetime | None) -> str:
    """Return the place before everything of a moment, or before everything."""
    place = "0-0" if moment is None else f"{int(moment.timestamp() * 1000) - 1}-{_LAST}"
    return cursor_of(dict.fromkeys(STREAMS, place))


def _places_of(cursor: str) -> dict[str, str]:
    if not _ID.fullmatch(cursor):
        raise InvalidOption(f"expected the id of an event, found {cursor!r}")
    return dict(zip(STREAMS, cursor.split(","), strict=True))


def _event(place: str, found: Happening) -> Event:
    if isinstance(found, AuditEntry):
        return Event(place, found.at, deed=found)
    return Event(place, found.ended_at, ended=found)


def _order(found: Happening) -> tuple[int, int]:
    return _numbers(found.id)


def _numbers(place: str) -> tuple[int, int]:
    milliseconds, _, number = place.partition("-")
    return int(milliseconds), int(number)
