"""What tests of schedules share: a docket whose time is moved by hand, and what ticks there."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest

from docket import Docket
from docket.config.load import parse
from docket.foundation.units import from_milliseconds, to_milliseconds
from docket.schedules.desired import DesiredSchedule, desired_schedules
from docket.schedules.ticker import Ticker
from docket.schedules.timetable import Timetable

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


def declared(text: str) -> tuple[DesiredSchedule, ...]:
    """The schedules of a text; all of them run the task t."""
    text = re.sub(r"(?m)^(\[schedules.*)$", r'\1\ntask = "t"', text)
    return desired_schedules(parse(f'[tasks.t]\nfunction = "m:f"\n{text}').configuration)


class Host:
    """A docket at noon, where nothing passes but the time that a test lets pass.

    Arguments:
        docket: the docket.
        owner: whose schedules are ticked.
    """

    def __init__(self, docket: Docket, owner: str = "owner") -> None:
        self.docket = docket
        self.owner = owner
        self.schedules = docket.storage.schedules
        self.timetable = Timetable(docket)
        self.ticker = self.new_ticker()

    def new_ticker(self) -> Ticker:
        """Another one that ticks, as after a restart."""
        self.ticker = Ticker(self.schedules, self.docket.serializer, self.owner)
        return self.ticker

    async def declare(self, text: str) -> None:
        """Have these schedules, and no others."""
        await self.ticker.declare(declared(text))

    async def now(self) -> datetime:
        """What time it is there."""
        return from_milliseconds(await self.schedules.now())

    async def wait(self, by: timedelta, times: int = 1) -> None:
        """Let time pass, and fire what is due, several times."""
        for _ in range(times):
            await self.sleep(by)
            await self.ticker.fire_due()

    async def sleep(self, by: timedelta) -> None:
        """Let time pass while nobody ticks."""
        await self.docket.storage.clock.move(to_milliseconds(await self.now() + by))

    async def keys(self) -> list[str]:
        """The executions that wait, by their keys."""
        return sorted(execution.key for execution in (await self.docket.snapshot()).future)

    async def outcomes(self, name: str = "s") -> list[str]:
        """What became of the due times of a schedule, the latest first."""
        return [one.word for one in await self.schedules.outcomes(f"{self.owner}/{name}")]


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with Docket(uuid.uuid4().hex, "memory://timetable") as docket:
        await docket.storage.clock.stop()
        await docket.storage.clock.move(to_milliseconds(NOON))
        yield Host(docket)
