"""Keys of executions, page by page, from wherever they wait.

A page of a sorted set begins behind a member and its score, one of a stream behind a message: what
comes and goes meanwhile shifts nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from ..connection.base import Connection, is_error
from .keys import WORKER_GROUP, Keys
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script

PAGE = 1000
"""Number of keys, or records, that are read in one round trip."""

_PAGE = Script("page", ("index", "score", "member", "count", "backwards"))


class Pages:
    """Indexes and streams, read page by page.

    Arguments:
        connection: how the server is reached.
        keys: the docket's.
        size: the number of keys on the first page.
        most: the maximum for a page: each has twice as many as the one before it; None is as the first.
    """

    def __init__(
        self, connection: Connection, keys: Keys, size: int = PAGE, most: int | None = None
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._size = size
        self._most = size if most is None else most

    async def index(self, name: str, *, backwards: bool = False) -> AsyncIterator[list[str]]:
        """Yield the members of a sorted set, the lowest score first.

        Arguments:
            name: the set, without the prefix.
            backwards: the highest score first.
        """
        score = member = b""
        sizes = self._sizes()
        while True:
            size = next(sizes)
            call = _PAGE.call(self._keys, name, score, member, size, int(backwards))
            (reply,) = await run_patiently(self._connection, call)
            page: list[bytes] = value_of(reply)
            if page:
                yield [_text(one) for one in page[::2]]
            if len(page) < 2 * size:
                return
            member, score = page[-2:]

    async def stream(self, queue: str) -> AsyncIterator[list[str]]:
        """Yield what is due or running in a queue, the oldest first, then what waits there as a suspect."""
        first = "-"
        sizes = self._sizes()
        while True:
            size = next(sizes)
            command = ("XRANGE", self._keys.stream(queue), first, "+", "COUNT", size)
            (reply,) = await read_patiently(self._connection, command)
            entries = value_of(reply)
            if entries:
                yield _keys_of(entries)
            if len(entries) < size:
                break
            first = "(" + entries[-1][0].decode()
        async for page in self.index(
            self._keys.suspects(queue).removeprefix(f"{self._keys.prefix}:")
        ):
            yield page

    async def held(self, queue: str) -> AsyncIterator[list[str]]:
        """Yield what workers hold of a queue, the oldest first."""
        first, stream = "-", self._keys.stream(queue)
        sizes = self._sizes()
        while True:
            size = next(sizes)
            command = ("XPENDING", stream, WORKER_GROUP, first, "+", size)
            (reply,) = await self._connection.send(command)
            # Without a group nothing is held.
            is_unread = is_error(reply) and "NOGROUP" in str(reply)
            entries: list[list[bytes]] = [] if is_unread else value_of(reply)
            found = await read_patiently(
                self._connection, *(("XRANGE", stream, one[0], one[0]) for one in entries)
            )
            if entries:
                yield _keys_of([entry for reply in found for entry in value_of(reply)])
            if len(entries) < size:
                return
            first = "(" + entries[-1][0].decode()

    def _sizes(self) -> Iterator[int]:
        """Yield the number of keys of each page."""
        size = self._size
        while True:
            yield size
            size = max(size, min(2 * size, self._most))


def _keys_of(entries: Sequence[tuple[bytes, list[bytes] | None]]) -> list[str]:
    """Return the keys that messages name; one that is none of ours names no record."""
    return [_text(fields[1]) for _, fields in entries if fields and len(fields) > 1]


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
