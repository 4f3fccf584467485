"""Automatic perpetual tasks, which are always scheduled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable

from typing_extensions import override

from ..calls.registry import TaskFunction
from ..dependencies.configured import configured
from ..dependencies.perpetual import Perpetual
from ..dependencies.resolution import get_single_dependency_parameter_of_type
from ..docket import Docket
from ..errors import ServerUnavailable, WrongArguments
from ..foundation.clock import ServerClock
from ..foundation.service import Service
from ..foundation.units import from_milliseconds

logger = logging.getLogger("docket.worker")

RESEED = 60.0
"""Seconds after which they are looked at in any case: one may have been cancelled or lost."""


class AutomaticTasks(Service):
    """The adding of every automatic task under its name; one that is scheduled already is left alone.

    It wakes every minute, when it is asked to, and when tasks or strikes have changed since the last look: a
    restored task must come back to life.

    Arguments:
        docket: the docket of the tasks.
        clock: the server's time.
    """

    def __init__(self, docket: Docket, clock: ServerClock) -> None:
        self._docket = docket
        self._clock = clock
        self._seen: Hashable = None

    def look(self) -> None:
        """Look again soon: the server may have lost them."""
        self._seen = None

    @override
    async def prepare(self) -> None:
        """Seed before anything is claimed."""
        await self._seed()

    @override
    async def run(self) -> None:
        """Seed again and again, until stopped."""
        while True:
            await self._until_reason()
            try:
                await self._seed()
            except ServerUnavailable:
                self.look()  # the trade reports it; the next look comes soon

    async def _until_reason(self) -> None:
        # Nothing says when a task is registered: looking costs nothing, it is a glance at a set.
        pause = self._docket.heartbeat_interval.total_seconds()
        for _ in range(max(1, int(RESEED / pause))):
            await asyncio.sleep(pause)
            if self._seen != self._current():
                return

    def _current(self) -> Hashable:
        return frozenset(self._docket.tasks), self._docket.strike_list.version

    async def _seed(self) -> None:
        self._seen = self._current()
        for function in dict.fromkeys(self._docket.tasks.values()):
            perpetual = self._perpetual(function)
            if perpetual is not None and perpetual.automatic:
                await self._add(function, perpetual)

    def _perpetual(self, function: TaskFunction) -> Perpetual | None:
        """Return what the configuration declares, or else the code."""
        policy = self._docket.registry.policy(self._docket.registry.name_of(function))
        declared = [one for one in configured(policy) if isinstance(one, Perpetual)]
        return next(iter(declared), get_single_dependency_parameter_of_type(function, Perpetual))

    async def _add(self, function: TaskFunction, perpetual: Perpetual) -> None:
        when = perpetual.first_after(from_milliseconds(self._clock.now()))
        name = self._docket.registry.name_of(function)
        try:
            await self._docket.add(function, when, name)()
        except WrongArguments as error:
            # It never gets any: said each time that it is looked at, and no harm to the others.
            logger.error("The automatic task %s cannot run: %s", name, error)
