"""The audit: deeds of operators, in one stream with bounds, to which entries are only added."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from ..connection.base import Connection
from ..foundation.units import milliseconds
from .history import moment_of
from .keys import Keys
from .scripting.nonces import new_nonce
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script

STREAM: Final = "audit"
"""Name of the stream, without the prefix."""

PATIENCE: Final = timedelta(seconds=3)
"""Time for which an entry is sent again while the server is away: the deed itself is over."""

_AUDIT: Final = Script("audit", ("nonce", "keep", "bytes"))


@dataclass(frozen=True, slots=True)
class AuditLimits:
    """The bounds of the audit.

    Arguments:
        keep: the time that an entry is kept.
        max_memory: the bytes that all of them take in Redis, about.
    """

    keep: timedelta = timedelta(days=90)
    max_memory: int = 8 << 20


@dataclass(frozen=True, slots=True)
class DeedRecord:
    """A deed of an operator, as it is written down.

    Arguments:
        verb: the word of the deed.
        author: the person who is said to have done it; empty if none is named.
        reason: the reason that was given.
        deed: its id.
        source: where it was done: ``command line``, ``python`` or ``supervisor``.
        host: the host that it was done at.
        meant: the number of things that it was about.
        done: the number of those that it was done to.
        refused: how many were left alone, by the reason.
        error: the class of the error that has broken it off; empty if it came to its end.
        about: what was meant, and what was asked for, by name.
    """

    verb: str
    author: str = ""
    reason: str = ""
    deed: str = ""
    source: str = ""
    host: str = ""
    meant: int = 0
    done: int = 0
    refused: Mapping[str, int] = field(default_factory=dict[str, int])
    error: str = ""
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry of the audit.

    Arguments:
        id: its place in the stream.
        at: when it was written, which is when the deed was over.
        record: the deed.
    """

    id: str
    at: datetime
    record: DeedRecord


class AuditSlice(NamedTuple):
    """The answer to one look at the audit.

    Arguments:
        since: the moment of the oldest entry; None if there is none.
        entries: what was found, the latest first.
        is_last: True if there are no more before them.
        why: why there are none before the oldest one: ``memory`` or ``age``; empty if there were none.
    """

    since: datetime | None
    entries: list[AuditEntry]
    is_last: bool
    why: str = ""


class AuditStream:
    """Access to ``P:audit``.

    Arguments:
        connection: how the server is reached.
        keys: the keys of the docket.
        limits: how much is kept; they can be changed while it is used.
    """

    def __init__(
        self, connection: Connection, keys: Keys, limits: AuditLimits | None = None
    ) -> None:
        self._connection = connection
        self._keys = keys
        self.limits = AuditLimits() if limits is None else limits

    async def add(self, record: DeedRecord) -> None:
        """Write a deed down, once however often it is sent.

        Raises:
            ServerUnavailable: the server did not answer in time.
            ServerRefused: the user of this connection may not.
        """
        keep, most = milliseconds(self.limits.keep), self.limits.max_memory
        call = _AUDIT.call(self._keys, new_nonce(), keep, most, *_fields(record))
        (reply,) = await run_patiently(self._connection, call, patience=PATIENCE)
        value_of(reply)

    async def look(self, before: str, after: datetime | None, count: int) -> AuditSlice:
        """Read a slice, the latest first, in one round trip.

        Arguments:
            before: the place that it ends before; ``+`` is the end.
            after: nothing before this moment.
            count: the number of entries.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        last = before if before == "+" else f"({before}"
        first = "-" if after is None else str(int(after.timestamp() * 1000))
        why, oldest, found = await read_patiently(
            self._connection,
            ("HGET", self._keys.trimmed, STREAM),
            ("XRANGE", self._keys.audit, "-", "+", "COUNT", 1),
            ("XREVRANGE", self._keys.audit, last, first, "COUNT", count),
        )
        entries = [read_audited(*entry) for entry in value_of(found)]
        since = next((moment_of(entry_id) for entry_id, _ in value_of(oldest)), None)
        told: bytes = value_of(why) or b""
        return AuditSlice(since, entries, len(entries) < count, told.decode(errors="replace"))


def read_audited(entry_id: bytes, fields: Sequence[bytes]) -> AuditEntry:
    """Return what an entry says; what is damaged in it is left out."""
    known = {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in pairs(fields).items()
    }
    text = known.get
    told = _object(text("told", ""))
    refused = _table(told.get("refused"))
    return AuditEntry(
        entry_id.decode(errors="replace"),
        moment_of(entry_id),
        DeedRecord(
            verb=text("verb", ""),
            author=text("author", ""),
            reason=text("reason", ""),
            deed=text("deed", ""),
            source=text("source", ""),
            host=text("host", ""),
            meant=_count(told.get("meant")),
            done=_count(told.get("done")),
            refused={name: _count(number) for name, number in refused.items()},
            error=text("error", ""),
            about=_table(told.get("about")),
        ),
    )


def _fields(record: DeedRecord) -> list[str]:
    told = {
        "meant": record.meant,
        "done": record.done,
        "refused": record.refused,
        "about": record.about,
    }
    named = {
        "verb": record.verb,
        "author": record.author,
        "reason": record.reason,
        "deed": record.deed,
        "source": record.source,
        "host": record.host,
        "error": record.error,
        "told": json.dumps(told),
    }
    return [part for pair in named.items() if pair[1] for part in pair]


def _object(text: str) -> dict[str, Any]:
    try:
        return _table(json.loads(text)) if text else {}
    except ValueError:
        return {}


def _table(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
