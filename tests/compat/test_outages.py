"""A Redis that is not there, as programs written for pydocket deal with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis.exceptions

from docket import Disposition, Docket, ExecutionState, StrikeList, Worker
from docket.dependencies import Dependency
from docket.errors import ForeignData, ServerRefused, ServerUnavailable
from tests.compat.conftest import until
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess

pytestmark = pytest.mark.fleet

seen: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that does not run yet; it has its port already."""
    process = ServerProcess(valkey_9(), tmp_path / "later")
    yield process
    process.kill()


async def greet(name: str) -> str:
    seen.append(name)
    return f"hello {name}"


async def test_an_absent_server_is_an_error_of_redis(server: ServerProcess, name: str) -> None:
    async with Docket(name, server.url) as docket:
        asked = [
            docket.add(greet)("Jane"),
            docket.snapshot(),
            docket.cancel("key"),
            docket.get_execution("key"),
            docket.strike("greet"),
            docket.add_many([docket.call(greet)("Jane")]),
            docket.clear(),
            docket.workers(),
        ]
        told = await asyncio.gather(*asked, return_exceptions=True)

    for error in told:
        assert isinstance(error, redis.exceptions.ConnectionError)
        assert isinstance(error, ServerUnavailable)
        assert "nothing answers" in str(error)


async def test_a_docket_is_entered_and_its_worker_waits_until_redis_is_there(
    server: ServerProcess, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Docket(name, server.url) as docket, Worker(docket) as worker:
        running = asyncio.create_task(worker.run_forever())

        async def is_waiting() -> bool:
            return "Redis is away" in caplog.text

        await until(is_waiting)
        assert not running.done()
        server.start()
        execution = await docket.add(greet)("Jane")
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "hello Jane"
        running.cancel()
        await running

    assert "Redis is back" in caplog.text


async def test_a_worker_that_waits_for_redis_ends_when_it_is_told_to(
    server: ServerProcess, name: str
) -> None:
    async with Docket(name, server.url) as docket:
        for way in ("cancelled", "left"):
            async with Worker(docket) as worker:
                running = asyncio.create_task(worker.run_forever())
                await asyncio.sleep(0)
                if way == "cancelled":
                    running.cancel()
                    await running
            await asyncio.wait_for(running, 60)


async def test_a_worker_that_is_cancelled_while_it_starts_returns_normally(
    server: ServerProcess, name: str
) -> None:
    class Slow(Dependency[None]):
        @classmethod
        @asynccontextmanager
        async def worker_lifecycle(
            cls, docket: Docket, worker: Worker
        ) -> AsyncGenerator[None, None]:
            starts.set()
            await asyncio.Event().wait()
            yield

        async def __aenter__(self) -> None: ...

    async def work(slow: None = Slow()) -> None:  # type: ignore[assignment]
        ...

    starts = asyncio.Event()
    server.start()
    async with Docket(name, server.url) as docket, Worker(docket) as worker:
        docket.register(work)
        running = asyncio.create_task(worker.run_forever())
        await starts.wait()
        running.cancel()
        await running

        assert not await docket.workers()


async def test_a_worker_starts_when_a_redis_comes_back_that_was_there_before(
    server: ServerProcess, name: str
) -> None:
    server.start()
    async with Docket(name, server.url) as docket, Worker(docket) as worker:
        server.kill()
        running = asyncio.create_task(worker.run_until_finished())
        await asyncio.sleep(0.1)
        server.start()
        await asyncio.wait_for(running, 60)


async def test_strikes_are_known_before_the_first_run_also_where_redis_was_late(
    server: ServerProcess, name: str
) -> None:
    async with (
        Docket(name, server.url) as late,
        StrikeList(server.url, name) as strikes,
        Worker(late) as worker,
    ):
        running = asyncio.create_task(worker.run_forever())
        server.start()
        async with Docket(name, server.url) as other:
            await other.strike("greet")
            struck = await late.add(greet)("Jane")

            async def is_struck() -> bool:
                await struck.sync()
                refused = struck.disposition is Disposition.STRUCK
                return refused or struck.state is ExecutionState.CANCELLED

            await until(is_struck)
            await strikes.wait_for_strikes_loaded()
            assert "greet" in strikes.task_strikes
            running.cancel()
            await running

    assert seen == []


async def test_what_is_wrong_with_a_late_server_is_told_by_whoever_reaches_it(
    server: ServerProcess, name: str
) -> None:
    async with Docket(name, server.url) as docket, Worker(docket) as worker:
        running = asyncio.create_task(worker.run_forever())
        with server:
            server.call("XADD", f"{name}:strikes", "*", "direction", "strike")
            with pytest.raises(ForeignData, match="written by another program"):
                await asyncio.wait_for(running, 60)
            with pytest.raises(ForeignData, match="written by another program"):
                await docket.add(greet)("Jane")
            with pytest.raises(ForeignData):
                await docket.wait_for_strikes_loaded()


async def test_a_docket_can_be_told_not_to_wait(server: ServerProcess, name: str) -> None:
    with pytest.raises(redis.exceptions.RedisError, match="nothing answers"):
        async with Docket(name, server.url, lazy=False):
            pass


async def test_a_docket_without_a_url_says_what_to_do(
    server: ServerProcess, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKET_URL", server.url)
    with pytest.raises(
        ServerUnavailable, match=r"start a Redis .* or set DOCKET_URL .* or install"
    ):
        async with Docket(name):
            pass


def test_a_refusal_is_an_error_of_redis_as_well() -> None:
    assert issubclass(ServerRefused, redis.exceptions.RedisError)
