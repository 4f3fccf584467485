"""The parts of a configuration in Redis: the active revision, earlier ones, and queued work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from ...config.load import Loaded
from ...config.planning.diff import Change
from ..parameters.place import would_start
from ..terminal.exit_codes import Misused

if TYPE_CHECKING:
    from ...storage.configurations import Revision
    from ...storage.storage import Storage

T = TypeVar("T")

TOUCHING: Final = frozenset(
    {"function", "command", "http", "queue", "args_schema", "upcast", "on_removed"}
)
"""Keys of a task whose change concerns what is queued already."""


def visit(loaded: Loaded, work: Callable[[Storage], Awaitable[T]]) -> T:
    """Call a function with the records of a configuration in Redis.

    Arguments:
        loaded: the configuration.
        work: what to do there.

    Raises:
        Misused: it is in the memory of another process.
        ServerUnavailable: nothing answers there.
    """
    if loaded.url.lower().startswith("memory:"):
        raise Misused(f"{loaded.url} is in the memory of one process, where no other can look")

    import asyncio  # noqa: PLC0415 - --help needs none of it

    from ...connection.url import connect  # noqa: PLC0415
    from ...storage.storage import Storage  # noqa: PLC0415

    async def visiting() -> T:
        storage = Storage(connect(loaded.url), loaded.configuration.name)
        await storage.open()
        try:
            return await work(storage)
        finally:
            await storage.close()

    return asyncio.run(visiting())


def history(loaded: Loaded) -> list[Revision]:
    """Return the revisions of a configuration that are kept, the newest first."""
    owner = loaded.configuration.owned_by
    return visit(loaded, lambda storage: storage.configurations.history(owner))


def active_revision(loaded: Loaded) -> Revision | None:
    """Return the active revision of a configuration.

    An embedded server that does not run is not started for that.
    """
    if would_start(loaded.url):
        return None
    owner = loaded.configuration.owned_by
    return visit(loaded, lambda storage: storage.configurations.current(owner))


def queued(loaded: Loaded, tasks: Collection[str]) -> Mapping[str, int]:
    """Count the executions of these tasks that are in the future, due, running or parked.

    Arguments:
        loaded: the configuration.
        tasks: the tasks; without any, the server is not asked.
    """

    async def count(storage: Storage) -> Counter[str]:
        found: Counter[str] = Counter()
        async for record in storage.executions.everything(parked=True):
            found[record.task] += record.task in tasks
        return +found

    return visit(loaded, count) if tasks else {}


def touched(changes: Collection[Change]) -> set[str]:
    """Return the tasks whose queued executions are concerned by a change."""
    return {
        change.path[1]
        for change in changes
        if change.path[0] == "tasks"
        and (change.is_removed if len(change.path) == 2 else change.path[2] in TOUCHING)
    }
