"""Deeds of people on call that concern many executions: cancelled, released, or run at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from ..connection.base import Connection
from ..foundation.units import milliseconds
from .dead import SLICE, Deed, Done
from .keys import Keys
from .scripting.retrying import run_patiently, value_of
from .scripting.script import Script

_CANCEL_ALL: Final = Script("cancel_all", ("HISTORY", "ttl", "note"))
_RELEASE: Final = Script("release_parked", ("note", "dry"))
_RUN_NOW: Final = Script("run_now")


class Deeds:
    """The deeds, ``SLICE`` executions per script."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def cancel(
        self, meant: Sequence[tuple[str, str]], note: str, ttl: timedelta
    ) -> list[Done]:
        """Cancel executions for good; running ones are notified. Safe to be sent again.

        Arguments:
            meant: the key of each, and the identity of the acceptance that is meant; empty is any.
            note: who wants it, why, and by which deed, as JSON.
            ttl: how long they are remembered.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been cancelled.
        """
        done: list[Done] = []
        for at in range(0, len(meant), SLICE):
            part = meant[at : at + SLICE]
            fields = [field for one in part for field in one]
            call = _CANCEL_ALL.call(self._keys, milliseconds(ttl), note, *fields)
            (reply,) = await run_patiently(self._connection, call)
            done += [
                Done(key, Deed(word.decode()))
                for (key, _), word in zip(part, value_of(reply), strict=True)
            ]
        return done

    async def release(
        self, meant: Sequence[tuple[str, str]], note: str, *, dry_run: bool
    ) -> list[Done]:
        """Release parked executions. Safe to be sent again.

        Arguments:
            meant: the key of each, and the identity of the acceptance that is meant; empty is any.
            note: who wants it, why, and by which deed, as JSON.
            dry_run: only return what would become of them.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been released.
        """
        done: list[Done] = []
        for at in range(0, len(meant), SLICE):
            part = meant[at : at + SLICE]
            call = _RELEASE.call(
                self._keys, note, int(dry_run), *(field for one in part for field in one)
            )
            (reply,) = await run_patiently(self._connection, call)
            done += [
                Done(key, Deed(word.decode()), detail.decode(errors="replace"))
                for (key, _), (word, detail) in zip(part, value_of(reply), strict=True)
            ]
        return done

    async def run_now(self, keys: Sequence[str]) -> list[Done]:
        """Run what is scheduled for later at once.

        Raises:
            ServerUnavailable: the server did not answer in time; some may run by now.
        """
        done: list[Done] = []
        for at in range(0, len(keys), SLICE):
            part = keys[at : at + SLICE]
            (reply,) = await run_patiently(self._connection, _RUN_NOW.call(self._keys, *part))
            done += [
                _begun(key, word.decode()) for key, word in zip(part, value_of(reply), strict=True)
            ]
        return done


def _begun(key: str, word: str) -> Done:
    if word in ("UNKNOWN", "FAILED"):
        return Done(key, Deed(word))
    if word == "DONE":
        return Done(key, Deed.DUE)
    return Done(
        key, Deed.NOT_SCHEDULED, "waits for a slot or its turn" if word == "WAITS" else word
    )
