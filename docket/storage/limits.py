"""Flow control: slots of concurrency limits, cooldowns, rates, and what has to settle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from ..connection.base import Connection
from .keys import Keys
from .scripting.retrying import run_patiently, value_of
from .scripting.script import Script, run

_ADMIT = Script("admit", ("key", "fence", "consumer", "identity", "number"))
_ANNOUNCE = Script("announce", ("worker",))
_REGRANT = Script("regrant", ("cursor",))

CHUNK = 50
"""Maximum number of limits that one script call announces."""


class Word(Enum):
    """The common answer of all gates of a run."""

    ADMITTED = "ADMITTED"
    DELAYED = "DELAYED"
    DROPPED = "DROPPED"
    WAITING = "WAITING"
    SUPERSEDED = "SUPERSEDED"


class Question(NamedTuple):
    """The question of one gate, in the words of the script."""

    kind: Literal["cooldown", "debounce", "rate", "slot"]
    name: str
    first: int
    """The window, the time to settle, the starts, or the slots."""
    second: int | str = 0
    """The longest time to settle, the window of a rate, or the definition of a limit."""
    drops: int = 0
    """1 if it drops what is too many."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A run that asks to be let in."""

    key: str
    identity: str
    """Identity of its acceptance."""
    attempt: int = 1
    fence: int | None = None
    """None for a run that was not handed out."""
    consumer: str | None = None


class GateAnswer(NamedTuple):
    """The answer of the gates: the word, the gate that has decided, and ms."""

    word: Word
    gate: int
    """Its place among the questions."""
    milliseconds: int
    """Time to wait; if it was let in, the moment of that on the server's clock."""


class Announcement(NamedTuple):
    """One limit of one task; a size of 0 takes it back."""

    definition: str
    task: str
    size: int


class ActiveLimit(NamedTuple):
    """The number of slots that a limit has now."""

    definition: str
    size: int
    sizes: dict[str, int]
    """The number that each task declares."""


class Limits:
    """The gates that let runs start or not; each question may be asked twice.

    A run that waits for a slot says so in its settlement, and the end of another run wakes it.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def admit(self, entrant: Entrant, questions: Sequence[Question]) -> GateAnswer:
        """Ask all gates of a run together: all let it in, or nothing is taken but one place.

        Arguments:
            entrant: the run.
            questions: the questions of its gates.

        Raises:
            ServerUnavailable: the server did not answer in time; it may have let the run in.
        """
        call = _ADMIT.call(
            self._keys,
            entrant.key,
            "" if entrant.fence is None else entrant.fence,
            entrant.consumer or "",
            entrant.identity,
            entrant.attempt,
            *(field for question in questions for field in question),
        )
        (reply,) = await run_patiently(self._connection, call)
        word, gate, milliseconds = value_of(reply)
        return GateAnswer(Word(word.decode()), gate - 1, int(milliseconds))

    async def announce(
        self, worker: str, announcements: Sequence[Announcement]
    ) -> list[ActiveLimit]:
        """Announce the limits of a worker, and let those go on that fit now; return the limits as they are.

        Arguments:
            worker: its name.
            announcements: its limits, by task.
        """
        active: list[ActiveLimit] = []
        for at in range(0, len(announcements), CHUNK):
            fields = (field for one in announcements[at : at + CHUNK] for field in one)
            (reply,) = await run(self._connection, _ANNOUNCE.call(self._keys, worker, *fields))
            for definition, size, sizes in value_of(reply):
                active.append(
                    ActiveLimit(definition.decode(), int(size), json.loads(sizes.decode()))
                )
        if active:
            await self._grant(limit.definition for limit in active)
        return active

    async def _grant(self, definitions: Iterable[str]) -> None:
        names = sorted(set(definitions))
        cursor, granted = b"0", 1
        while granted or cursor != b"0":
            (reply,) = await run(self._connection, _REGRANT.call(self._keys, cursor, *names))
            cursor, granted = value_of(reply)
