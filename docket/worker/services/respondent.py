"""The answers of a worker to questions about its runs."""

from __future__ import annotations

import json
import time

from ...connection.base import ThreadConnection
from ...storage.answers import answer, question_to
from ...storage.keys import Keys
from ..runs.slots import Running
from ..runs.stacks import stack_of


class Respondent:
    """The side of a worker that answers, in the thread that renews its leases.

    That thread turns also while a task keeps the event loop, which is when people ask.

    Arguments:
        keys: the docket's.
        worker: its name.
        running: what is in flight.
    """

    def __init__(self, keys: Keys, worker: str, running: Running) -> None:
        self._keys = keys
        self._worker = worker
        self._running = running
        self._answered = ""

    def look(self, connection: ThreadConnection, loop_thread: int, last_turn: float) -> None:
        """Answer the latest question, unless that is done, or is about a run that is not here.

        Arguments:
            connection: how the server is reached.
            loop_thread: the thread of the event loop.
            last_turn: when the event loop has turned last, in seconds of the monotonic clock.
        """
        question = question_to(connection, self._keys, self._worker)
        if question is None or question.identity == self._answered:
            return
        for run in self._running.held():
            if run.claimed.key == question.key:
                told = {
                    "generation": run.claimed.generation,
                    "is_thread": run.thread is not None,
                    "loop_stands": max(0.0, time.monotonic() - last_turn),
                    "frames": stack_of(run, loop_thread),
                }
                answer(connection, self._keys, question, json.dumps(told))
                self._answered = question.identity
