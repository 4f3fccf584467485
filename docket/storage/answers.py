"""Questions to one worker, and its answers: what only its process knows."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import Final, NamedTuple

from ..connection.base import Command, Connection, ThreadConnection, is_error
from .keys import Keys
from .scripting.retrying import read_patiently, value_of

KEPT: Final = 60_000
"""Milliseconds for which an answer is kept."""

ASKED: Final = 10_000
"""Milliseconds for which a question can be found: by then nobody waits for the answer any more."""

_LOOK: Final = 0.05
"""Seconds between two looks for an answer."""


class Question(NamedTuple):
    """A question to a worker: where one of its runs stands."""

    identity: str
    key: str


class Answers:
    """The questions to workers, and their answers.

    A question is called out on the worker's channel, and kept for a moment: a worker whose event loop does
    not turn hears nothing, and looks for itself.

    Arguments:
        connection: how the server is reached.
        keys: the docket's.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def ask(self, worker: str, key: str, patience: timedelta) -> bytes | None:
        """Ask a worker where its run of a key stands; return the answer, None if there is none in time.

        Arguments:
            worker: its name.
            key: the execution.
            patience: how long to wait.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        identity = secrets.token_hex(8)
        place = self._keys.requests(worker)
        asking: list[Command] = [
            ("SET", place, f"{identity}\n{key}", "PX", ASKED),
            ("PUBLISH", place, identity),
        ]
        if self._connection.is_cluster:
            # Unknown to servers before 7.0, where the other one goes to all nodes.
            asking.append(("SPUBLISH", place, identity))
        asked = await read_patiently(self._connection, *asking)
        value_of(asked[0])
        return await self._heard(identity, patience)

    async def _heard(self, identity: str, patience: timedelta) -> bytes | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience.total_seconds()
        while True:
            (reply,) = await read_patiently(self._connection, ("GET", self._keys.answer(identity)))
            answer: bytes | None = value_of(reply)
            if answer is not None or loop.time() > deadline:
                return answer
            await asyncio.sleep(_LOOK)


def question_to(connection: ThreadConnection, keys: Keys, worker: str) -> Question | None:
    """Return the latest question to a worker, from a thread; None if there is none."""
    (reply,) = connection.send(("GET", keys.requests(worker)))
    if reply is None or is_error(reply):
        return None
    identity, _, key = reply.decode(errors="replace").partition("\n")
    return Question(identity, key)


def answer(connection: ThreadConnection, keys: Keys, question: Question, text: str) -> None:
    """Answer a question, from a thread."""
    connection.send(("SET", keys.answer(question.identity), text, "PX", KEPT))
