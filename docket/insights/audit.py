"""Questions about deeds of operators: a page of the audit."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..errors import InvalidOption
from ..storage.audit import AuditEntry, AuditStream

SLICE: Final = 1_000
"""Entries that one round trip reads, where they are chosen by more than their time."""

_PLACE: Final = re.compile(r"\d+-\d+")


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some deeds, the latest first.

    Arguments:
        entries: what was found.
        cursor: continues where this page ends; empty if there is no more.
        since: the moment of the oldest entry that is kept; None if there is none.
        why: why there are none before that: ``memory`` or ``age``; empty if there were none.
    """

    entries: list[AuditEntry]
    cursor: str
    since: datetime | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class DeedChoice:
    """A selection of deeds.

    Arguments:
        since: no earlier than this.
        until: before this.
        author: of this person, as the entries say.
        deed: those of this id.
    """

    since: datetime | None = None
    until: datetime | None = None
    author: str | None = None
    deed: str | None = None

    @property
    def takes_all(self) -> bool:
        """True if everything within its time is meant."""
        return self.author is None and self.deed is None

    def lets_through(self, entry: AuditEntry) -> bool:
        """Return True if an entry is meant."""
        record = entry.record
        return self.author in (None, record.author) and self.deed in (None, record.deed)

    def begin(self, cursor: str) -> str:
        """Return the place before which the latest one is.

        Raises:
            InvalidOption: this is no cursor.
        """
        if cursor and not _PLACE.fullmatch(cursor):
            raise InvalidOption(
                f"expected the cursor that a page of the audit has given, found {cursor!r}"
            )
        if cursor:
            return cursor
        return "+" if self.until is None else f"{int(self.until.timestamp() * 1000)}-0"


class _Reading:
    """One walk through the audit, the latest first; the stream is short enough to be walked to its end."""

    def __init__(self, stream: AuditStream, choice: DeedChoice, place: str) -> None:
        self._stream = stream
        self._choice = choice
        self.place = place
        self.since: datetime | None = None
        self.why = ""
        self.is_over = False

    async def entries(self, size: int) -> AsyncIterator[AuditEntry]:
        """Yield what is meant, a slice of this size in each round trip."""
        while not self.is_over:
            found = await self._stream.look(self.place, self._choice.since, size)
            self.since, self.why = found.since, found.why
            for entry in found.entries:
                self.place = entry.id
                if self._choice.lets_through(entry):
                    yield entry
            self.is_over = found.is_last


async def audit_page_of(
    stream: AuditStream, choice: DeedChoice, limit: int, cursor: str
) -> AuditPage:
    """Return a page of the audit, the latest first.

    Arguments:
        stream: where.
        choice: which deeds.
        limit: the number of entries.
        cursor: where the page before ended; empty for the first.
    """
    reading = _Reading(stream, choice, choice.begin(cursor))
    found: list[AuditEntry] = []
    # One more than is shown tells whether there are more.
    async for entry in reading.entries(limit + 1 if choice.takes_all else SLICE):
        if len(found) == limit:
            return AuditPage(found, found[-1].id, reading.since, reading.why)
        found.append(entry)
    return AuditPage(found, "", reading.since, reading.why)
