"""A worker process, from the inside: it follows the line, and ends when its worker cannot go on."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.foundation.worker_spec import WorkerSpec
from docket.instrumentation import gathering
from docket.supervisor.processes import child
from docket.supervisor.processes.child import Child
from docket.supervisor.processes.pool import Desired
from docket.supervisor.processes.protocol import Channel
from tests.fleet.process import ServerProcess
from tests.supervisor.inside import Log, until

pytestmark = pytest.mark.fleet


class Line:
    """The supervisor's end, and what became of the child at the other one."""

    def __init__(self, channel: Channel, serving: asyncio.Task[int]) -> None:
        self.channel = channel
        self.serving = serving

    async def answer(self) -> dict[str, Any] | None:
        """What the child says next that is no status."""
        while (message := await asyncio.wait_for(self.channel.hear(), 60)) is not None:
            if message["word"] not in ("hello", "status"):
                return message
        return None

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.serving, 60)


@pytest.fixture
async def line(log: Log, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    # It would end the process of the test.
    monkeypatch.setattr(child, "_watch_for_orphanage", lambda _: None)  # pyright: ignore[reportUnknownLambdaType]
    ours, theirs = socket.socketpair()
    line = Line(await Channel.over(ours), asyncio.create_task(Child().serve(theirs)))
    yield line
    line.channel.close()
    await line.exit_code()


@pytest.fixture
def orders(
    own_server: ServerProcess, desired: Desired, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> WorkerSpec:
    """Those of a user whose rights may change."""
    own_server.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
    monkeypatch.syspath_prepend(str(tmp_path))
    # What is imported here must not be found by other tests.
    monkeypatch.setitem(sys.modules, "work", None)
    monkeypatch.delitem(sys.modules, "work")
    return replace(desired.orders, url=own_server.url.replace("redis://", "redis://app:pw@"))


async def test_a_process_without_orders_says_nothing_and_can_be_told_to_go(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_STATUS_EVERY", 0)
    for _ in range(100):
        await asyncio.sleep(0)

    await line.channel.say("drain", seconds=1)

    assert await line.channel.hear() == {"word": "hello"}
    assert await line.channel.hear() is None
    assert await line.exit_code() == 0


async def test_a_worker_that_is_refused_its_work_waits_until_it_is_allowed_again(
    line: Line, orders: WorkerSpec, own_server: ServerProcess, log: Log
) -> None:
    await line.channel.say("configure", revision=1, orders=json.loads(orders.text))
    answer = await line.answer()
    assert answer is not None
    assert answer["word"] == "ready"

    # Refused before it has ever claimed it would end: such a user will never work.
    await until(lambda: own_server.call("EXISTS", "pool:stream") == 1, "the first claim")
    own_server.call("ACL", "SETUSER", "app", "-evalsha")

    await log.until("Redis refuses")
    own_server.call("ACL", "SETUSER", "app", "+evalsha")

    await log.until("Redis is back")
    await line.channel.say("drain", seconds=1)
    assert await line.exit_code() == 0


async def test_only_a_process_for_suspects_writes_each_line_by_itself(
    line: Line, orders: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "_exit", os._exit)
    for revision, wait, gathers in ((1, 15_000, True), (2, None, False)):
        changed = replace(orders, suspects_wait=wait)
        await line.channel.say("configure", revision=revision, orders=json.loads(changed.text))
        answer = await line.answer()
        assert answer is not None
        assert answer["word"] == "ready"
        assert (gathering.active is not None) is gathers


async def test_the_history_has_the_revision_of_the_orders_that_a_run_began_under(
    line: Line, orders: WorkerSpec
) -> None:
    async def fine() -> None: ...

    remembering = replace(orders, history_keep=3600.0, history_memory=1 << 20)
    async with Docket("pool", orders.url) as docket:
        docket.register(fine)
        for revision in (3, 4):
            told = json.loads(remembering.text)
            await line.channel.say("configure", revision=revision, orders=told)
            assert (await line.answer() or {})["word"] == "ready"
            execution = await docket.add("fine", key=f"under {revision}")()
            await execution.get_result(timeout=timedelta(seconds=60))

        page = await docket.insights.history()
    assert [(one.key, one.revision) for one in page.entries] == [("under 4", 4), ("under 3", 3)]
    await line.channel.say("drain", seconds=1)


async def test_a_worker_that_ends_by_itself_ends_its_process(line: Line, log: Log) -> None:
    async def fail() -> None:
        raise RuntimeError("it cannot be")

    served = Child()
    served._working = asyncio.create_task(fail())

    assert await served._follow_orders(line.channel) == 1
    assert "The worker cannot go on: it cannot be" in log


async def test_a_worker_that_is_refused_at_its_start_says_why(
    line: Line, orders: WorkerSpec, own_server: ServerProcess
) -> None:
    # Needed by a worker that registers, and by nobody before.
    own_server.call("ACL", "SETUSER", "app", "-sadd")

    await line.channel.say("configure", revision=1, orders=json.loads(orders.text))

    answer = await line.answer()
    assert answer is not None
    assert (answer["word"], answer["revision"]) == ("rejected", 1)
    assert answer["reason"].startswith("docket.errors.ServerRefused: ")
    assert answer["trouble"] == "refused"


async def test_a_process_whose_supervisor_is_gone_ends_soon_whatever_its_event_loop_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = threading.Event()
    codes: list[int] = []

    def note(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(os, "_exit", note)
    monkeypatch.setattr(child, "ORPHANED", -1)
    ours, theirs = socket.socketpair()
    with theirs:
        child._watch_for_orphanage(theirs.fileno())
        assert not ended.wait(0.05)
        ours.close()
        # The event loop does not turn meanwhile.
        assert ended.wait(60)
    assert codes == [75]
