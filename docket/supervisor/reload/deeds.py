"""Deeds at a supervisor: each change is written to the audit when it is over, whoever has asked for it."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from ...operations.audit import Audit, Recording
from .reloader import ReloadOutcome

T = TypeVar("T")

GOOD: Final = ("applied", "restarted", "unchanged")
CHANGING: Final = ("applied", "restarted", "rolled_back")
"""Results after which something else runs, or was tried, than before."""


class Asker(NamedTuple):
    """A person, or a program, that asks for a change.

    Arguments:
        author: the person; empty if nobody says so.
        reason: the reason.
        source: the program, if it is not the supervisor itself.
    """

    author: str = ""
    reason: str = ""
    source: str = ""


class SupervisorDeeds:
    """Carries changes out, and writes them down.

    Arguments:
        audit: where to.
        file: the configuration.
    """

    def __init__(self, audit: Audit, file: Path) -> None:
        self._audit = audit
        self._file = file

    async def asked(
        self, verb: str, asker: Asker, change: Callable[[], Awaitable[T]], **about: Any
    ) -> T:
        """Carry out what was asked for; there is an entry of it in any case.

        Arguments:
            verb: the word of the deed.
            asker: who asks.
            change: carries it out.
            about: what is meant, by name.
        """
        async with self._audit.recording(
            verb, author=asker.author, reason=asker.reason, source=asker.source, about=about
        ) as recording:
            found = await change()
            _tell(recording, found)
        return found

    async def noticed(
        self, verb: str, change: Callable[[], Awaitable[ReloadOutcome]], reason: str = ""
    ) -> ReloadOutcome:
        """Carry out what the files, or the state of the fleet, ask for; there is an entry if it was done.

        Arguments:
            verb: the word of the deed.
            change: carries it out.
            reason: the reason; left out, the owner of the file is the author.
        """
        author = "" if reason else await asyncio.to_thread(_owner_of, self._file)
        about = {"file": os.fspath(self._file)}
        async with self._audit.recording(
            verb, meant=0, author=author, reason=reason, about=about
        ) as recording:
            found = await change()
            recording.meant = int(found.result in CHANGING)
            _tell(recording, found)
        return found


def _tell(recording: Recording, found: Any) -> None:
    if not isinstance(found, ReloadOutcome):
        recording.about["processes"] = found
        recording.succeed()
        return
    # The keys alone: what they were set to is in the revisions.
    changes = [change.partition(": ")[0] for change in found.changes]
    recording.about |= {"revision": found.revision, "result": found.result, "changes": changes}
    if found.result in GOOD:
        recording.succeed()
    else:
        recording.refuse(found.result)


def _owner_of(file: Path) -> str:
    """Return the name of the user who owns a file, or the number; empty if the file is gone."""
    try:
        uid = file.stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
