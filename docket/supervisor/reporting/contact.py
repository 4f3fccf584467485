"""The state of the connection to Redis: asked every second, and reported at once when it changes."""

from __future__ import annotations

import logging
import time

from ...connection.errors import Trouble, trouble_of
from ...errors import DocketError
from ..conditions import Conditions

logger = logging.getLogger("docket.supervisor")

_WORDS = {
    Trouble.WRONG: "Redis cannot be used as configured",
    Trouble.REFUSED: "Redis refuses",
    Trouble.FULL: "Redis is full",
    Trouble.AWAY: "Redis is away",
}


class Contact:
    """Keeper of the condition ``Connected``, which logs each change of it once.

    Arguments:
        conditions: where it is kept.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._trouble: Trouble | None = None
        self.last = time.monotonic()
        """Time of the last answer from Redis."""

    @property
    def trouble(self) -> str:
        """A sentence that says what is wrong; empty if nothing is."""
        condition = self._conditions["Connected"]
        return condition.message if self._trouble is not None else ""

    def answered(self) -> None:
        """Note that Redis answers."""
        self.last = time.monotonic()

    def works(self) -> None:
        """Note that Redis has done what it was asked for, a write among it."""
        self.answered()
        if self._trouble is not None:
            self._trouble = None
            logger.info("Redis is back")
        self._conditions.tell("Connected", True, "Answers")

    def failed(self, error: DocketError) -> None:
        """Note why it has not."""
        trouble = trouble_of(error)
        message = f"{_WORDS[trouble]}: {error}"
        if trouble is not self._trouble:
            logger.error("%s; it is tried again until it works", message)
        self._trouble = trouble
        self._conditions.tell("Connected", False, trouble.value.title(), message)
