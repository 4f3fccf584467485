"""Results in a storage of the user's own: put there first, and only pointed at from Redis."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, SupportsFloat

from ..errors import Undecodable
from ..storage.scripting.retrying import Backoff

POINTER = b"\x7f@"
"""Prefix of the reference to a result that is elsewhere; no payload begins with it."""

TRIES = 5
"""Number of times that a storage is asked to keep a result: for about a second."""

_DATA = "data"


class ResultStorage(Protocol):
    """Storage of results: any ``AsyncKeyValue`` store of py-key-value."""

    def get(
        self, key: str, *, collection: str | None = None
    ) -> Awaitable[Mapping[str, Any] | None]:
        """Return the value of a key; None if there is none."""
        ...

    def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> Awaitable[None]:
        """Keep a value for so many seconds."""
        ...


class Results:
    """The way of results to where they are kept, and back.

    Arguments:
        storage: the user's own; None leaves them in Redis, beside the executions.
        collection: what they are filed under there.
    """

    def __init__(self, storage: ResultStorage | None, collection: str) -> None:
        self._storage = storage
        self._collection = collection

    @property
    def are_elsewhere(self) -> bool:
        """True if they are kept in a storage of the user's own."""
        return self._storage is not None

    async def open(self) -> None:
        """Let the storage get ready, if it wants to."""
        setup = getattr(self._storage, "setup", None)
        if setup is not None:
            await setup()

    async def keep(self, key: str, result: bytes, seconds: float) -> bytes:
        """Keep a serialized result, and return the value to settle in its place.

        Arguments:
            key: the key and the generation of the execution, ``{key}:{generation}``.
            result: the result or the failure.
            seconds: how long it is kept.

        Raises:
            Exception: the error of the storage, time and again.
        """
        if self._storage is None:
            return result
        value = {_DATA: base64.b64encode(result).decode("ascii")}
        backoff, tries = Backoff(0.05, 1.0), 1
        while True:
            try:
                await self._storage.put(key, value, collection=self._collection, ttl=seconds)
                return pointer_to(key)
            except Exception:
                if tries == TRIES:
                    raise
            tries += 1
            await asyncio.sleep(backoff.next_pause())

    async def find(self, settled: bytes | None) -> bytes | None:
        """Return the serialized result that was settled; None if it is no longer kept.

        Raises:
            Undecodable: it is kept in a storage that this docket does not have.
        """
        if settled is None or not settled.startswith(POINTER):
            return settled
        key = settled.removeprefix(POINTER).decode()
        if self._storage is None:
            raise Undecodable(
                f"the result {key!r} is kept in a storage of its own; give this docket the same "
                "result_storage as the worker that ran it"
            )
        value = await self._storage.get(key, collection=self._collection)
        return None if value is None else base64.b64decode(value[_DATA])


def pointer_to(key: str) -> bytes:
    """Return the value to settle in place of a result that is kept under this key."""
    return POINTER + key.encode()
