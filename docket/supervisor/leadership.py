"""The leader that ticks the schedules: of all supervisors that follow one configuration, one at a time.

A lease in Redis, renewed every second. Two that believe they lead do no harm, because a due time is claimed
by comparing it; the lease only spares the others the work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import OperatorError, ServerFull
from ..foundation.service import Service
from ..storage.configurations import Beat, Configurations
from .conditions import Conditions
from .reporting.contact import Contact

logger = logging.getLogger("docket.supervisor")

LEASE = 5.0
"""Seconds for which a supervisor leads, unless it beats again."""

BEAT = 1.0
"""Seconds between two beats."""

LOST = Beat(leads=False, revision=-1, leader="")
"""Beat of a supervisor that has not heard from Redis for the length of a lease."""

FULL = ServerFull(
    "the server is full and refuses what is added; raise maxmemory, or free memory: `docket doctor` says how "
    "much there is"
)
"""Trouble of a supervisor whose beat was accepted all the same."""


class Leadership(Service):
    """The beat of one supervisor.

    Arguments:
        configurations: what Redis holds.
        owner: whose configuration is followed.
        who: the supervisor.
        about: how it stands, asked at each beat.
        follow: hears of each beat.
        may_lead: whether it may lead; if not, it resigns.
        contact: hears whether Redis has taken it.
    """

    def __init__(
        self,
        configurations: Configurations,
        owner: str,
        who: str,
        about: Callable[[], dict[str, Any]],
        follow: Callable[[Beat], Awaitable[None]],
        may_lead: Callable[[], bool],
        contact: Contact | None = None,
    ) -> None:
        self._configurations = configurations
        self._owner = owner
        self._who = who
        self._about = about
        self._follow = follow
        self._may_lead = may_lead
        self._contact = contact or Contact(Conditions())
        self._heard = time.monotonic()
        self._led = False

    silence = 300.0  # a beat may have pools roll, whose code takes its time

    async def run(self) -> None:
        """Beat until stopped."""
        while True:
            self.turn()
            await self._beat()
            await asyncio.sleep(BEAT)

    async def stop(self) -> None:
        """Beat no longer, and let another one lead at once."""
        await super().stop()
        try:
            await self._configurations.resign(self._owner, self._who)
        except OperatorError as error:
            logger.warning("Another supervisor leads when the lease ends: %s", error)

    async def _beat(self) -> None:
        try:
            lease = int(LEASE * 1000) if self._may_lead() else 0
            beat = await self._configurations.beat(self._owner, self._who, lease, self._about())
            if beat.is_full:
                self._contact.failed(FULL)
            else:
                self._contact.works()
            self._heard = time.monotonic()
            self._tell(beat)
            await self._follow(beat)
        except OperatorError as error:
            self._contact.failed(error)
            if time.monotonic() - self._heard > LEASE:
                self._tell(LOST)
                await self._follow(LOST)

    def _tell(self, beat: Beat) -> None:
        if beat.leads != self._led:
            self._led = beat.leads
            logger.info(
                "This supervisor %s the schedules of %s",
                "ticks" if beat.leads else "no longer ticks",
                self._owner,
            )
