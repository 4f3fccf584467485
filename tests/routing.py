"""Routes and shapes as a configuration puts them in force, without one."""

from __future__ import annotations

from collections.abc import Mapping

from docket.connection.base import Command
from docket.storage.scripting.retrying import value_of
from docket.storage.storage import Storage


async def route(
    storage: Storage, routes: Mapping[str, str], schemas: Mapping[str, int] | None = None
) -> None:
    """Say of new executions where they go, and which shape their arguments have.

    Arguments:
        storage: the docket's.
        routes: the queue of each task whose is not the default one.
        schemas: the shape of the arguments of each task whose is not the first one.
    """
    commands: list[Command] = []
    for key, fields in ((storage.keys.routes, routes), (storage.keys.schemas, schemas or {})):
        commands.append(("DEL", key))
        commands.extend(("HSET", key, task, value) for task, value in fields.items())
    for reply in await storage.connection.send(*commands):
        value_of(reply)
