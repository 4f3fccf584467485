"""Listening for requests beside the configuration, also when a deploy has it lie elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ...errors import OperatorError
from ...foundation.service import Service
from .server import Answer, Control, NoPlace

logger = logging.getLogger("docket.supervisor")

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at where the socket belongs."""


class Listening(Service):
    """The control socket, which follows the links that lead to the configuration.

    Arguments:
        place: asked once a second: where the socket belongs.
        answers: the functions that answer, by the word of the request.
    """

    def __init__(self, place: Callable[[], Path], answers: Mapping[str, Answer]) -> None:
        self._place = place
        self._answers = answers
        self._tried = place()
        self._control = Control(self._tried, answers)
        self._older: Control | None = None
        """The one of the place before: those who are connected there still wait for answers."""

    async def open(self) -> None:
        """Listen from now on, if this user can listen anywhere.

        Raises:
            OperatorError: another supervisor listens there.
        """
        try:
            await self._control.start()
        except NoPlace as error:
            logger.warning(
                "docket status and docket reload do not reach this supervisor: %s", error
            )

    async def close(self) -> None:
        """Listen no longer."""
        if self._older is not None:
            await self._older.stop()
        await self._control.stop()

    async def run(self) -> None:
        """Look until stopped."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            place = self._place()
            if place != self._tried:
                self._tried = place
                await self._move(place)

    async def _move(self, place: Path) -> None:
        moved = Control(place, self._answers)
        try:
            await moved.start()
        except OperatorError as error:
            logger.warning(
                "docket status and docket reload reach this supervisor no longer: %s", error
            )
            return
        if self._older is not None:
            await self._older.stop()
        self._older, self._control = self._control, moved
        logger.info("The control socket is at %s now", place)
