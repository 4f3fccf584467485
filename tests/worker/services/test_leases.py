"""Leases are renewed from a thread of their own."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid

import pytest

from docket import Docket, Worker
from docket.connection.base import ThreadConnection
from docket.errors import ServerUnavailable
from docket.instrumentation.events import Observer
from docket.storage.claims import Consumer, Hold
from docket.worker.runs.slots import Run


async def nothing() -> None: ...


async def test_a_server_that_is_away_is_asked_again_soon() -> None:
    def away(_: list[Run]) -> list[Hold]:
        raise ServerUnavailable("nothing answers")

    async with Docket(uuid.uuid4().hex, "memory://leases") as docket, Worker(docket) as worker:
        docket.register(nothing)
        await docket.add(nothing)()
        claimant = Consumer("one", "one", ("default",), 60_000, 60_000, 60_000)
        _, catch = await docket.storage.exchange(claimant).trade([], 1)
        assert catch is not None
        run = worker._running.add(catch.claimed[0])
        loop = asyncio.get_running_loop()

        assert worker._leases._renew(loop, away) == 0.25
        worker._running.remove(run)
        assert worker._leases._renew(loop, away) == worker._leases._interval > 0.25


async def test_an_answer_that_makes_no_sense_does_not_end_the_renewals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def odd(_: list[Run]) -> list[Hold]:
        raise ValueError("odd")

    async with Docket(uuid.uuid4().hex, "memory://leases") as docket, Worker(docket) as worker:
        docket.register(nothing)
        await docket.add(nothing)()
        claimant = Consumer("one", "one", ("default",), 60_000, 60_000, 60_000)
        _, catch = await docket.storage.exchange(claimant).trade([], 1)
        assert catch is not None
        run = worker._running.add(catch.claimed[0])
        loop = asyncio.get_running_loop()

        for _ in range(3):
            assert worker._leases._renew(loop, odd) == 0.25
        worker._running.remove(run)

    assert caplog.text.count("Leases are not renewed") == 1


@pytest.mark.thorough
async def test_a_thread_that_has_ended_is_replaced_and_one_that_stands_still_is_named() -> None:
    class Ends(Observer):
        blocked_at = 0

        def blocked(self, seconds: float, stack: str) -> None:
            self.blocked_at += 1
            raise RuntimeError("nobody has thought of this")

    ends = Ends()
    docket = Docket(uuid.uuid4().hex, "memory://leases")
    async with docket, Worker(docket, observers=[ends]) as worker:
        leases = worker._leases
        docket.register(block)
        await docket.add(block)()
        await worker.run_until_finished()
        assert ends.blocked_at
        assert leases.stuck() == ""

        await leases.start()
        leases._thread_turned = time.monotonic() - 61
        assert leases.stuck() == "the thread that renews leases has not turned for 61 s"
        await leases.stop()


async def block() -> None:
    time.sleep(1.8)
    await asyncio.sleep(1.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_could_not_begin_is_followed_by_one_that_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Docket(uuid.uuid4().hex, "memory://leases") as docket, Worker(docket) as worker:
        connection = docket.storage.connection
        threaded, asked = connection.threaded, list[int]()

        def fails_once() -> ThreadConnection:
            asked.append(1)
            if len(asked) == 1:
                raise OSError("Too many open files")
            return threaded()

        monkeypatch.setattr(connection, "threaded", fails_once)
        await worker._leases.start()
        deadline = time.monotonic() + 60
        while len(asked) < 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert worker._leases.failures == 1
        assert any(thread.name == "docket-leases" for thread in threading.enumerate())
        await worker._leases.stop()
