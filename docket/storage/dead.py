"""Dead letters: executions that have failed for good, run once more or taken away."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, cast

from ..connection.base import Connection
from ..foundation.units import from_milliseconds
from .keys import Keys
from .scripting.nonces import new_nonce
from .scripting.retrying import run_patiently, value_of
from .scripting.script import Script

_RETRY = Script("retry", ("author", "why", "deed"))
_DISCARD = Script("discard")

SLICE = 100
"""Maximum number of dead letters that one script retries or discards."""


class Deed(Enum):
    """The outcome of what was done to one execution."""

    RETRIED = "SCHEDULED"
    STRUCK = "STRUCK"
    """A rule does not let it run."""
    DISCARDED = "DISCARDED"
    NOT_DEAD = "NOT_DEAD"
    """It is no dead letter: it is in another state by now."""
    CANCELLED = "CANCELLED"
    REQUESTED = "REQUESTED"
    """It runs, and its worker is asked to cancel it."""
    FINISHED = "FINISHED"
    """It is over already."""
    MOVED = "MOVED"
    """Its key stands for another call by now."""
    RELEASED = "RELEASED"
    """It was parked, and waits for a worker or its time again."""
    NOT_PARKED = "NOT_PARKED"
    """It is in another state by now."""
    DUE = "DUE"
    """It was scheduled for later, and is due now."""
    NOT_SCHEDULED = "NOT_SCHEDULED"
    """It is not scheduled for later."""
    UNKNOWN = "UNKNOWN"
    """There is no record of it."""
    FAILED = "FAILED"
    """Its record is damaged, or its arguments cannot be changed."""


class Again(NamedTuple):
    """A dead letter that is to run once more.

    Arguments:
        key: the execution.
        call: its arguments, where they are others; empty for those that it had.
        changes: the arguments that were changed, as JSON; empty if none was.
    """

    key: str
    call: bytes = b""
    changes: str = ""


class Done(NamedTuple):
    """The outcome for one key.

    Arguments:
        key: the execution.
        deed: the outcome.
        detail: the state that it is in, or what is wrong with it.
    """

    key: str
    deed: Deed
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Retried:
    """One retry by hand, and the end before it.

    Arguments:
        error: what it had failed with, in one line.
        reason: the kind of its end.
        attempts: how many attempts it had.
        ended_at: when it had failed.
        at: when it was retried.
        author: who wanted it; empty if nobody said so.
        why: the reason that was given; empty if none was.
        changes: the arguments that were changed, each with its new value as text.
        deed: the id of the deed that has retried it; empty if it has none.
    """

    error: str
    reason: str
    attempts: int
    ended_at: datetime | None
    at: datetime
    author: str
    why: str
    changes: Mapping[str, str]
    deed: str = ""


def read_lineage(text: str) -> list[Retried]:
    """Return what an execution was before each time that it was retried; what is damaged is left out."""
    found: list[Retried] = []
    for one in _listed(text):
        with suppress(ValueError, LookupError, TypeError, AttributeError):
            found.append(
                Retried(
                    str(one["error"]),
                    str(one["reason"]),
                    int(one["attempts"]),
                    from_milliseconds(one["ended"]) if one["ended"] else None,
                    from_milliseconds(one["at"]),
                    str(one["by"]),
                    str(one["why"]),
                    {
                        str(name): str(value)
                        for name, value in _read(one["changes"] or "{}").items()
                    },
                    str(one.get("deed", "")),
                )
            )
    return found


def _listed(text: str) -> list[Any]:
    found = _read(text) if text else None
    return cast("list[Any]", found) if isinstance(found, list) else []


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


class DeadLetters:
    """Retries and discards dead letters."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def retry(
        self, again: Sequence[Again], author: str, reason: str, deed: str = ""
    ) -> list[Done]:
        """Run them once more, each as a new acceptance of its key; safe to be sent again.

        Arguments:
            again: which, ``SLICE`` per script.
            author: who wants it.
            reason: why.
            deed: the id of the deed that this is a part of.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been retried.
        """
        done: list[Done] = []
        for at in range(0, len(again), SLICE):
            part = again[at : at + SLICE]
            fields = [field for one in part for field in (one.key, new_nonce(), *one[1:])]
            (reply,) = await run_patiently(
                self._connection, _RETRY.call(self._keys, author, reason, deed, *fields)
            )
            done += [
                Done(one.key, Deed(word.decode()), state.decode(errors="replace"))
                for one, (word, state, _) in zip(part, value_of(reply), strict=True)
            ]
        return done

    async def discard(self, keys: Sequence[str]) -> list[Done]:
        """Take them away for good, ``SLICE`` per script.

        Raises:
            ServerUnavailable: the server did not answer in time; some may be gone.
        """
        done: list[Done] = []
        for at in range(0, len(keys), SLICE):
            part = keys[at : at + SLICE]
            (reply,) = await run_patiently(self._connection, _DISCARD.call(self._keys, *part))
            done += [
                Done(key, Deed(word.decode()))
                for key, word in zip(part, value_of(reply), strict=True)
            ]
        return done
