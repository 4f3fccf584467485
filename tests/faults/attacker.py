"""Somebody who can write every key of a docket, and has no signing key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docket import Docket
from docket.serialization import Serializer
from docket.storage.keys import Keys


def forged(*args: Any, **kwargs: Any) -> bytes:
    """A call that nobody has signed."""
    return Serializer().dump_call(args, kwargs)


class Attacker:
    """Writes what it likes into the keys of a docket.

    Arguments:
        docket: an open one, used only for its connection.
    """

    def __init__(self, docket: Docket) -> None:
        self._docket = docket

    @property
    def keys(self) -> Keys:
        """The names of the docket's keys."""
        return self._docket.storage.keys

    async def send(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands as they are."""
        async with self._docket.redis() as client:
            anything: Any = client
            return [await anything.execute_command(*command) for command in commands]

    async def field(self, key: str, name: str) -> bytes:
        """What stands in a record."""
        (value,) = await self.send(("HGET", self.keys.run(key), name))
        return value

    async def alter(self, key: str, **fields: Any) -> None:
        """Change the record of an execution."""
        flat = [part for field in fields.items() for part in field]
        await self.send(("HSET", self.keys.run(key), *flat))

    async def copy_call(self, key: str, to: str) -> None:
        """Have one execution have the arguments of another one."""
        await self.alter(to, call=await self.field(key, "call"))

    async def copy_result(self, key: str, to: str) -> None:
        """Have one execution have the result of another one."""
        (stored,) = await self.send(("GET", self.keys.result(key)))
        await self.send(("SET", self.keys.result(to), stored))

    async def rewrite_schedule(self, schedule: str, fields: Mapping[str, Any]) -> None:
        """Change fields of a schedule, such as ``definition``."""
        flat = [part for name, value in fields.items() for part in (f"{name}:{schedule}", value)]
        await self.send(("HSET", self.keys.schedules, *flat))
