"""Who leads beats, and leads no longer when it has not heard of Redis for the length of a lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from docket import Docket
from docket.errors import ServerUnavailable
from docket.storage.configurations import Beat
from docket.supervisor import leadership
from docket.supervisor.leadership import LOST, Leadership
from tests.fleet.process import ServerProcess

pytestmark = pytest.mark.fleet


class Heard(list[Beat]):
    """Beats, one after the other, and the next one to come."""

    def __init__(self) -> None:
        super().__init__()
        self._next = asyncio.Event()

    async def __call__(self, beat: Beat) -> None:
        self.append(beat)
        self._next.set()

    async def until(self, wanted: Beat) -> None:
        """Wait for a beat like this one."""
        while wanted not in self:
            self._next.clear()
            await asyncio.wait_for(self._next.wait(), 60)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def leading(
    own_server: ServerProcess, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Leadership]:
    """Somebody who leads, and beats quickly."""
    monkeypatch.setattr(leadership, "BEAT", 0.02)
    async with Docket("led", own_server.url) as docket:
        beats = Leadership(docket.storage.configurations, "led", "me", dict, heard, lambda: True)
        await beats.start()
        await heard.until(Beat(leads=True, revision=0, leader="me"))
        yield beats
        await beats.stop()


async def test_a_moment_without_redis_changes_nothing(
    leading: Leadership,
    heard: Heard,
    own_server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missed = asyncio.Event()
    beat = leading._configurations.beat

    async def told_when_missed(*args: Any) -> Beat:
        try:
            return await beat(*args)
        except ServerUnavailable:
            missed.set()
            raise

    monkeypatch.setattr(leading._configurations, "beat", told_when_missed)
    # However long the server takes to start, it is a moment.
    monkeypatch.setattr(leadership, "LEASE", 600.0)
    own_server.kill()
    await asyncio.wait_for(missed.wait(), 60)
    heard.clear()
    await asyncio.to_thread(own_server.start)

    await heard.until(Beat(leads=True, revision=0, leader="me"))

    assert LOST not in heard


async def test_who_has_not_heard_of_redis_for_a_lease_leads_no_longer_until_it_is_back(
    leading: Leadership,
    heard: Heard,
    own_server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "docket.supervisor")
    monkeypatch.setattr(leadership, "LEASE", 0.3)
    own_server.kill()

    await heard.until(LOST)

    assert "This supervisor no longer ticks the schedules of led" in caplog.text
    monkeypatch.undo()
    heard.clear()
    await asyncio.to_thread(own_server.start)
    await heard.until(Beat(leads=True, revision=0, leader="me"))


async def test_who_stops_without_redis_says_when_another_one_leads(
    leading: Leadership, own_server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.kill()

    await leading.stop()

    assert "Another supervisor leads when the lease ends: " in caplog.text
    await asyncio.to_thread(own_server.start)
