"""A supervisor says at once how Redis fares: away, full, or well again."""

from __future__ import annotations

import asyncio

import pytest

from docket.connection.base import Command, Reply
from docket.supervisor.supervisor import Supervisor
from tests.fleet.process import ServerProcess
from tests.supervisor.inside import TEXT, Home, Log, until, up


def reason(supervisor: Supervisor) -> str:
    condition = supervisor.conditions["Connected"]
    return condition.reason if condition.status is (condition.reason == "Answers") else "?"


@pytest.mark.thorough
async def test_a_full_server_is_called_full_once_until_it_is_not(
    home: Home, own_server: ServerProcess, log: Log
) -> None:
    home.save(TEXT.replace('name = "inside"', f'name = "inside"\nurl = "{own_server.url}"'))
    async with up(home) as supervisor:
        await until(lambda: reason(supervisor) == "Answers", "the first beat")
        assert supervisor._status.readyz().status == 200

        own_server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        own_server.call("CONFIG", "SET", "maxmemory", "1")
        await until(lambda: reason(supervisor) == "Full", "its being called full")
        readyz = supervisor._status.readyz()
        assert (readyz.status, readyz.body.partition(":")[0]) == (503, "Redis is full")
        assert supervisor._status.livez().status == 200

        own_server.call("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: reason(supervisor) == "Answers", "its being well again")
        assert log.count("Redis is full: ") == 1
        assert log.count("Redis is away") == 0


@pytest.mark.thorough
async def test_a_server_that_is_gone_is_called_away_within_seconds(
    home: Home, own_server: ServerProcess, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.save(TEXT.replace('name = "inside"', f'name = "inside"\nurl = "{own_server.url}"'))
    async with up(home) as supervisor:
        await until(lambda: reason(supervisor) == "Answers", "the first beat")

        asked = 0
        send = supervisor._fleet.storage.connection.send

        async def counted(*commands: Command) -> list[Reply]:
            nonlocal asked
            asked += commands == (("PING",),)
            return await send(*commands)

        monkeypatch.setattr(supervisor._fleet.storage.connection, "send", counted)
        own_server.kill()
        await until(lambda: reason(supervisor) == "Away", "its being called away")
        # It is asked once a second, and the first time without an answer is enough.
        assert asked <= 2
        assert supervisor._status.readyz().status == 503
        # It has worked: nobody needs to be told how to start one.
        assert "docket-platform[local]" not in log

        await asyncio.to_thread(own_server.start)
        await until(lambda: reason(supervisor) == "Answers", "its being back")
