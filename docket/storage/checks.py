"""Mismatches between records and whatever refers to them, found and repaired beside the work.

The keys are walked by cursors. Each record, and each member of an index, is looked at by a script that sees
both sides at once, so that nothing that is merely under way is taken for wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from ..connection.base import Command, Connection
from ..errors import DocketError
from .keys import WORKER_GROUP, Keys
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script

_CHECK = Script("check", ("RESULTS", "place", "name", "repair"))

SLICE: Final = 100
"""Subjects that one script looks at."""

PAGE: Final = 500
"""Keys, members or messages that one command reads."""

UNREADABLE: Final = "key-unreadable"
"""The mismatch of a key that holds something else than its name says."""

DOUBTFUL: Final = frozenset({"limit-stalled"})
"""Mismatches that pass by themselves as a rule: only one that is still there at a second look counts."""

PAUSE: Final = 1.0
"""Seconds between the two looks."""


class Mismatch(NamedTuple):
    """Two sides that do not agree."""

    kind: str
    key: str
    """The key where it shows, without the prefix of the docket."""
    subject: str
    """The execution, message, owner or name that it is about."""
    is_repaired: bool


class Looked(NamedTuple):
    """The result of some looks."""

    records: int
    """The number of records that were compared."""
    mismatches: list[Mismatch]


class _Place(NamedTuple):
    """One key, and how its members are read and looked at."""

    key: bytes
    look: str
    scan: str
    name: bytes = b""


_RECORDS: Final = _Place(b"runs:", "record", "")

_SINGLE: Final = {
    b"queue": ("future", "ZSCAN"),
    b"waiting": ("waiting", "ZSCAN"),
    b"expiring": ("expiring", "ZSCAN"),
    b"dead": ("dead", "ZSCAN"),
    b"parked": ("parked", "ZSCAN"),
    b"parked-groups": ("group", "SSCAN"),
    b"holding": ("holding", "HSCAN"),
    b"sizes": ("size", "HSCAN"),
    b"stored": ("stored_class", "HSCAN"),
    b"stream": ("message", "XRANGE"),
    b"suspects": ("suspect", "ZSCAN"),
}
"""Keys of which there is one: the look at their members, and the command that reads these."""

_MANY: Final = {
    b"stream": ("message", "XRANGE"),
    b"suspects": ("suspect", "ZSCAN"),
    b"parked": ("grouped", "ZSCAN"),
    b"waiters": ("waiter", "ZSCAN"),
    b"slots": ("slot", "ZSCAN"),
    b"orphans": ("orphan", "SSCAN"),
    b"pending": ("due_time", "ZSCAN"),
    b"stored": ("stored", "ZSCAN"),
}
"""First words of keys of which there are many, likewise."""

_ALONE: Final = frozenset({"SCAN", "SSCAN"})
"""Commands that return members only; the others return something else with each."""

_ABOVE: Final = {"waiter": "limit", "message": "queue", "stored": "stored_class"}
"""Looks at the name of a key, by that at its members."""

_Found = tuple[str, bytes]


class Checks:
    """The comparison of what one docket keeps.

    Arguments:
        connection: how the server is reached.
        keys: the docket's.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def walk(self, *, repair: bool) -> AsyncIterator[Looked]:
        """Look at everything once; yield what does not agree.

        Arguments:
            repair: whether that is repaired.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        doubtful: list[tuple[_Place, bytes]] = []
        async for place, subjects in self._subjects():
            found = await self._look(place, subjects)
            doubtful += [(place, subject) for kind, subject in found if kind in DOUBTFUL]
            certain = [one for one in found if one[0] not in DOUBTFUL]
            records = len(subjects) if place is _RECORDS else 0
            yield Looked(records, await self._settled(place, certain, repair=repair))
        if doubtful:
            await asyncio.sleep(PAUSE)
        for place, subject in doubtful:
            found = await self._look(place, [subject])
            yield Looked(0, await self._settled(place, found, repair=repair))

    async def _settled(
        self, place: _Place, found: Sequence[_Found], *, repair: bool
    ) -> list[Mismatch]:
        """Return mismatches, repaired if that is wanted.

        A look afterwards says whether they are: the answer to a repair may be lost, and the repair is
        then done once more, and finds nothing.
        """
        left = set(found)
        if repair and found:
            subjects = list(dict.fromkeys(subject for _, subject in found))
            await self._look(place, subjects, repair=True)
            left &= set(await self._look(place, subjects))
        return [
            Mismatch(
                kind,
                _text(place.key + subject if place is _RECORDS else place.key),
                _text(subject),
                repair and (kind, subject) not in left,
            )
            for kind, subject in found
        ]

    async def _look(
        self, place: _Place, subjects: Sequence[bytes], *, repair: bool = False
    ) -> list[_Found]:
        """Return the mismatches of subjects: the kind of each, and the subject."""
        if place.look == UNREADABLE:
            return [(UNREADABLE, subject) for subject in subjects]
        found: list[_Found] = []
        rest = list(subjects)
        while rest:
            call = _CHECK.call(self._keys, place.look, place.name, int(repair), *rest[:SLICE])
            (reply,) = await run_patiently(self._connection, call)
            looked, *words = value_of(reply)
            found += zip(map(_text, words[1::2]), words[::2], strict=True)
            del rest[:looked]
        return found

    async def _subjects(self) -> AsyncIterator[tuple[_Place, list[bytes]]]:
        """Yield everything that is looked at, page by page."""
        prefix = len(self._keys.prefix.encode()) + 1
        async for page in self._scanned(("SCAN",), "MATCH", self._keys.pattern):
            names = [name[prefix:] for name in page]
            runs = [name[len(_RECORDS.key) :] for name in names if name.startswith(_RECORDS.key)]
            if runs:
                yield _RECORDS, runs
            for place in _places(names):
                async for found in self._members(place):
                    yield found

    async def _members(self, place: _Place) -> AsyncIterator[tuple[_Place, list[bytes]]]:
        """Yield the members of one key, and its name where that is looked at, too."""
        key = self._keys.prefix.encode() + b":" + place.key
        if place.look in _ABOVE:
            yield place._replace(look=_ABOVE[place.look], name=b""), [place.name]
        try:
            if place.scan != "XRANGE":
                async for page in self._scanned((place.scan, key)):
                    yield place, page
                return
            async for page in self._ranged(("XRANGE", key), "COUNT"):
                yield place, page
            async for page in self._ranged(("XPENDING", key, WORKER_GROUP)):
                yield place._replace(look="pending"), page
        except _Unreadable:
            yield place._replace(look=UNREADABLE), [place.name or place.key]

    async def _ranged(self, command: Command, *words: str) -> AsyncIterator[list[bytes]]:
        """Yield the messages in a range."""
        first, page = b"-", []
        while first == b"-" or len(page) == PAGE:
            asked = (*command, first, "+", *words, PAGE)
            page = [entry[0] for entry in await self._read(asked)]
            if page:
                yield page
                first = b"(" + page[-1]
            else:
                return

    async def _scanned(self, command: Command, *words: str) -> AsyncIterator[list[bytes]]:
        """Yield what a cursor comes past; some of it may come twice."""
        step = 1 if command[0] in _ALONE else 2
        cursor = None
        while cursor != b"0":
            cursor, page = await self._read((*command, cursor or b"0", *words, "COUNT", PAGE))
            if page:
                yield page[::step]

    async def _read(self, command: Command) -> Any:
        (reply,) = await read_patiently(self._connection, command)
        error = str(reply) if isinstance(reply, DocketError) else ""
        if "NOGROUP" in error:
            return []
        if "WRONGTYPE" in error:
            raise _Unreadable
        return value_of(reply)


class _Unreadable(Exception):
    """A key holds something else than its name says."""


def _places(names: Iterable[bytes]) -> Iterator[_Place]:
    """Yield those keys that refer to records."""
    for key in names:
        word, colon, name = key.partition(b":")
        found = _MANY.get(word) if colon else _SINGLE.get(key)
        if found is not None:
            yield _Place(key, *found, name)


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
