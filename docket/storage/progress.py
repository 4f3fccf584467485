"""The progress of executions."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Literal, NamedTuple

from ..connection.base import Connection
from .keys import Keys
from .scripting.retrying import read_patiently, value_of
from .scripting.script import Script, run

_PROGRESS = Script("progress", ("key", "verb", "value", "now"))


class ProgressRecord(NamedTuple):
    """Progress as it stands in Redis; None where nothing was written yet."""

    current: int | None
    total: int | None
    message: str | None
    updated_at: datetime | None


class Progresses:
    """Access to ``P:progress:*``."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def change(
        self, key: str, verb: Literal["total", "increment", "message"], value: int | str
    ) -> ProgressRecord:
        """Write one change and tell the subscribers."""
        now = datetime.now(timezone.utc).isoformat()
        (reply,) = await run(self._connection, _PROGRESS.call(self._keys, key, verb, value, now))
        current, total, message, updated_at = value_of(reply)
        return read_progress(current, total, message, updated_at)

    async def read(self, key: str) -> ProgressRecord:
        """Return the progress as it stands."""
        (reply,) = await read_patiently(self._connection, progress_query(self._keys, key))
        return progress_of(value_of(reply))


def progress_query(keys: Keys, key: str) -> tuple[str, ...]:
    """Return the command that asks for the progress of the execution with this key."""
    return "HMGET", keys.progress(key), "current", "total", "message", "updated_at"


def progress_of(reply: list[bytes | None]) -> ProgressRecord:
    """Return the progress in the reply to :func:`progress_query`."""
    return read_progress(*(value or b"" for value in reply))


def read_progress(
    current: bytes, total: bytes, message: bytes, updated_at: bytes
) -> ProgressRecord:
    """Return the progress of four fields, as they stand in Redis and in the event; empty if unreadable."""
    try:
        return ProgressRecord(
            int(current) if current else None,
            int(total) if total else None,
            message.decode() or None,
            datetime.fromisoformat(updated_at.decode()) if updated_at else None,
        )
    except ValueError:
        return ProgressRecord(None, None, None, None)
