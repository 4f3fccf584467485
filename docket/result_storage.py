"""The results of a docket that keeps them in Redis, as a store of py-key-value."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, SupportsFloat

from .execution import Execution
from .serialization.pickling import dump
from .storage.scripting.retrying import read_patiently, value_of
from .storage.storage import Storage

Entry = dict[str, Any]


class Kept:
    """The default ``result_storage``.

    Results lie beside their executions, where workers put them; here they are read by their
    ``result_key``, in the form that pydocket gives them: the pickle of a value, or of an error, as base64.
    Programs can keep values of their own, too: anything that JSON can express.

    Arguments:
        storage: the records in Redis.
        collection: the collection of results.
        find: gives the execution with a key.
    """

    def __init__(
        self,
        storage: Storage,
        collection: str,
        find: Callable[[str], Awaitable[Execution | None]],
    ) -> None:
        self._storage = storage
        self._collection = collection
        self._find = find

    async def setup(self) -> None:
        """Get ready; there is nothing to do."""

    async def get(self, key: str, *, collection: str | None = None) -> Entry | None:
        """Return the value of a key; None if there is none."""
        return (await self.ttl(key, collection=collection))[0]

    async def ttl(
        self, key: str, *, collection: str | None = None
    ) -> tuple[Entry | None, float | None]:
        """Return the value of a key, None if there is none, and for how many seconds it is still kept."""
        execution = await self._execution(key, collection)
        if execution is None:
            name = self._name(key, collection)
            value, left = await read_patiently(
                self._storage.connection, ("GET", name), ("PTTL", name)
            )
            entry = None if value_of(value) is None else json.loads(value)
        else:
            stored = dump(await execution.stored())
            entry = {"data": base64.b64encode(stored).decode("ascii")}
            name = self._storage.keys.result(execution.key)
            (left,) = await read_patiently(self._storage.connection, ("PTTL", name))
        return entry, value_of(left) / 1000 if value_of(left) >= 0 else None

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Keep a value, for so many seconds if it is not for good."""
        lasting = () if ttl is None else ("PX", max(1, int(float(ttl) * 1000)))
        name = self._name(key, collection)
        (reply,) = await read_patiently(
            self._storage.connection, ("SET", name, json.dumps(dict(value)), *lasting)
        )
        value_of(reply)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Delete a value or a result; return True if there was one."""
        execution = await self._execution(key, collection)
        name = (
            self._name(key, collection)
            if execution is None
            else self._storage.keys.result(execution.key)
        )
        (reply,) = await read_patiently(self._storage.connection, ("DEL", name))
        return value_of(reply) > 0

    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[Entry | None]:
        """Return the values of some keys, in their order."""
        return [await self.get(key, collection=collection) for key in keys]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[Entry | None, float | None]]:
        """Return the values of some keys, in their order, and for how many seconds each is still kept."""
        return [await self.ttl(key, collection=collection) for key in keys]

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Keep some values."""
        for key, value in zip(keys, values, strict=True):
            await self.put(key, value, collection=collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Delete some values; return how many there were."""
        return sum([await self.delete(key, collection=collection) for key in keys])

    def _name(self, key: str, collection: str | None) -> str:
        return self._storage.keys.kept(collection or self._collection, key)

    async def _execution(self, key: str, collection: str | None) -> Execution | None:
        """Return the execution whose result a key is of, if it is one."""
        if collection not in (None, self._collection):
            return None
        execution = await self._find(key.rpartition(":")[0])
        return execution if execution is not None and execution.result_key == key else None
