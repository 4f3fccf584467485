"""A primary that dies, and the Sentinels that name the next one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from docket.connection import sentinel as module
from docket.connection.base import Connection
from docket.connection.url import connect
from docket.errors import DocketError, ServerUnavailable
from tests.fleet.binaries import valkey_9
from tests.fleet.process import free_port
from tests.fleet.sentinel import SERVICE, SentinelGroup
from tests.promises import promised

pytestmark = pytest.mark.fleet


async def test_the_next_primary_is_found_when_one_dies(tmp_path: Path) -> None:
    with SentinelGroup(valkey_9(), tmp_path) as group:
        async with connect(group.url) as connection:
            thread = connection.threaded()
            await connection.send(("SET", "a", "1"), ("WAIT", 1, 4000))
            thread.send(("GET", "a"))
            await connection.client.get("a")

            group.primary.kill()
            started = time.monotonic()
            await _until_written(connection)

            assert time.monotonic() - started < promised(10)
            assert await connection.send(("GET", "a")) == [b"1"]
            assert thread.send(("SET", "c", "1")) == [b"OK"]
            assert await connection.client.get("a") == b"1"
            thread.close()


async def test_a_connection_that_opens_during_a_failover_waits_for_its_end(tmp_path: Path) -> None:
    with SentinelGroup(valkey_9(), tmp_path) as group:
        group.primary.kill()
        await _until_known_dead(group)
        # A failover whose votes were split is tried again after a while.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(ServerUnavailable):
                async with connect(group.url) as connection:
                    assert await connection.send(("SET", "a", "1")) == [b"OK"]
                    return
        raise AssertionError("nobody took over")


async def test_one_living_sentinel_is_enough(tmp_path: Path) -> None:
    with SentinelGroup(valkey_9(), tmp_path) as group:
        dead, alive = free_port(), group.sentinels[0].port
        hosts = f"127.0.0.1:{dead},127.0.0.1:{alive}"
        async with connect(f"redis+sentinel://{hosts}/{SERVICE}") as connection:
            assert await connection.send(("SET", "a", "1")) == [b"OK"]

        with pytest.raises(ServerUnavailable, match="redis\\+sentinel://"):
            await connect(f"redis+sentinel://{hosts}/unknown").open()


async def test_sentinels_that_do_not_answer_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ASK_TIMEOUT", 100.0)
    url = f"redis+sentinel://app:hunter2@127.0.0.1:{free_port()}/orders?sentinel_password=hunter2"
    started = time.monotonic()
    with pytest.raises(ServerUnavailable, match="nothing answers at redis\\+sentinel://") as caught:
        await connect(url).open()

    assert time.monotonic() - started < 90  # not one limit of time is waited for
    assert "hunter2" not in str(caught.value)


async def _until_known_dead(group: SentinelGroup) -> None:
    for sentinel in group.sentinels:
        while b"s_down" not in b" ".join(sentinel.call("SENTINEL", "MASTER", SERVICE)):
            await asyncio.sleep(0.01)


async def _until_written(connection: Connection) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if await connection.send(("SET", "b", "1")) == [b"OK"]:
                return
        except DocketError:
            # As every caller does: a pause before the next try.
            await asyncio.sleep(0.1)
    raise AssertionError("nobody took over")
