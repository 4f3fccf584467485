"""A docket that any program opens, from any thread, without an event loop of its own."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import assert_type

from docket import Docket, SyncDocket, TaskCall, Worker
from docket.errors import Closed, ServerUnavailable, WouldBlock
from docket.sync import Bridge, SyncExecution
from docket.sync.process import process
from tests.compat.conftest import soon, working

from ..fleet.kinds import MEMORY, Fleet

ROOT = Path(__file__).parents[2]
PATIENCE = timedelta(seconds=60)


@pytest.fixture(params=(MEMORY, pytest.param("redis-8.2", marks=pytest.mark.fleet)))
def url(request: pytest.FixtureRequest, fleet: Fleet) -> str:
    return fleet.url(request.param)


@pytest.fixture
def name() -> str:
    return f"own-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def docket(name: str, url: str) -> Iterator[SyncDocket]:
    docket = SyncDocket(name, url, config=False)
    yield docket
    docket.close()


async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


def double(number: int) -> int:
    return 2 * number


def sent_by(docket: SyncDocket, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands each round trip about the task has, from now on."""
    connection: Any = docket._docket.storage.connection
    sent: list[int] = []
    send = connection.send

    async def counted(*commands: Any) -> Any:
        if "double" in repr(commands):
            sent.append(len(commands))
        return await send(*commands)

    monkeypatch.setattr(connection, "send", counted)
    return sent


async def test_a_program_adds_and_follows_what_a_worker_runs(
    name: str, url: str, docket: SyncDocket
) -> None:
    def program() -> list[Any]:
        execution = docket.add(greet)("Jane", greeting="Hi")
        states = [event["state"] for event in execution.subscribe() if event["type"] == "state"]
        return [states[-1], execution.get_result(timeout=PATIENCE)]

    async with Docket(name, url, config=False) as theirs:
        theirs.register(greet)
        async with Worker(theirs) as worker, working(worker):
            assert await asyncio.to_thread(program) == ["completed", "Hi, Jane"]


def test_each_add_of_one_thread_is_one_round_trip(
    docket: SyncDocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    docket.open()
    sent = sent_by(docket, monkeypatch)

    for number in range(10):
        docket.add(double)(number)

    assert sent == [1] * 10


def test_adds_of_many_threads_in_one_moment_share_a_round_trip(
    docket: SyncDocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    docket.open()
    docket.register(double)
    sent, submitted, turns = sent_by(docket, monkeypatch), threading.Semaphore(0), threading.Event()
    submit = asyncio.run_coroutine_threadsafe

    def counted(
        coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop
    ) -> futures.Future[Any]:
        future = submit(coroutine, loop)
        submitted.release()
        return future

    assert process.thread is not None
    process.thread.loop.call_soon_threadsafe(turns.wait)
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", counted)
    with ThreadPoolExecutor(8) as threads:
        adding = threads.map(docket.add(double), range(8))
        for _ in range(8):
            submitted.acquire()
        turns.set()
        keys = {one.key for one in adding}

    assert len(keys) == 8
    assert sent == [1, 1]


def test_nothing_that_threads_add_is_lost(docket: SyncDocket) -> None:
    def program(_: int) -> list[str]:
        return [docket.add(double, soon(3600))(number).key for number in range(25)]

    with ThreadPoolExecutor(8) as threads:
        keys = {key for some in threads.map(program, range(8)) for key in some}

    assert len(keys) == 200
    assert docket.snapshot().total_tasks == 200
    assert docket.clear() == 200


def test_all_dockets_of_a_process_share_a_thread(name: str) -> None:
    with SyncDocket(name, "memory://own") as one, SyncDocket(f"{name}-2", "memory://own") as two:
        one.add(double)(1)
        two.add(double)(1)
        mine = [thread for thread in threading.enumerate() if thread.name == "docket"]

    assert len(mine) == 1


def test_it_needs_no_server_until_it_is_used() -> None:
    docket = SyncDocket("orders", "memory://never", config=False)
    docket.register(double)

    assert (docket.name, docket.url, docket.tasks["double"]) == ("orders", "memory://never", double)
    assert docket.key("mine") == "orders:mine"
    docket.close()


def test_one_that_was_closed_says_so_until_it_is_opened_again(docket: SyncDocket) -> None:
    docket.add(double)(1)
    docket.close()
    docket.close()
    with pytest.raises(Closed, match=rf"found that '{docket.name}' was closed; open it again"):
        docket.add(double)(2)

    with docket as again:
        again.add(double)(3)
        assert again.clear() == 2
    with pytest.raises(Closed, match="was closed"):
        docket.strikes()


def test_one_that_is_opened_by_many_threads_at_once_is_opened_once(docket: SyncDocket) -> None:
    ready = threading.Barrier(8)

    def program(number: int) -> str:
        ready.wait()
        return docket.add(double)(number).key

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(program, range(8)))) == 8
    assert docket.clear() == 8


def test_what_could_not_be_opened_is_tried_again(name: str, tmp_path: Path) -> None:
    docket = SyncDocket(name, f"unix://{tmp_path}/nobody.sock", lazy=False, config=False)
    for _ in range(2):
        with pytest.raises(ServerUnavailable):
            docket.add(double)(1)
    docket.close()


async def test_in_an_event_loop_it_says_what_to_use_instead(docket: SyncDocket) -> None:
    refused: list[Callable[[], object]] = [docket.open, docket.close, docket.strikes]
    for call in (*refused, lambda: docket.add(greet)("Jane")):
        with pytest.raises(WouldBlock, match=r"in async code use Docket and await its calls"):
            call()


async def test_one_of_a_worker_is_not_closed_by_its_tasks(name: str) -> None:
    async with Docket(name, "memory://own", config=False) as theirs:
        given = SyncDocket.of(theirs, Bridge.here())

        def program() -> str:
            with given as docket:
                docket.add(double)(1)
            return given.add(double)(2).state.value

        assert await asyncio.to_thread(program) == "queued"


def test_a_file_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "docket.toml").write_text('name = "orders"\nurl = "memory://own"\n')

    docket = SyncDocket.from_config(tmp_path / "docket.toml")

    assert (docket.name, docket.url) == ("orders", "memory://own")


def run(program: str, *arguments: str) -> list[str]:
    """What a program of its own prints."""
    # Python 3.12 warns of each fork of a process that has threads.
    python = [sys.executable, "-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [*python, "-m", f"tests.sync.programs.{program}", *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.thorough
def test_a_fork_opens_its_own_and_waits_for_no_lock(name: str, url: str) -> None:
    found = run("forking", url, name)

    # A server in memory is that of one process.
    total = 1 + 5 if url.startswith("memory:") else 3 + 1 + 8 + 2 + 1 + 5
    assert found[:-1] == ["3", "[8, '2']", "'child of the loop'", str(total), "None"]
    assert found[-1].startswith("OpenedElsewhere: expected the process that this docket was opened")


@pytest.mark.thorough
def test_a_program_that_ends_closes_what_it_has_opened(name: str, url: str) -> None:
    found = run("ending", url, name)

    assert found[:2] == ["state", "queued"]
    assert found[2].startswith("expected a docket that is used while its program runs")
    assert found[3:] == ["['MainThread']", "True"]


def test_it_takes_what_a_docket_takes() -> None:
    assert inspect.signature(SyncDocket) == inspect.signature(Docket)


def test_its_calls_are_typed() -> None:
    def program(docket: SyncDocket) -> None:
        assert_type(docket.add(greet)("Jane", greeting="Hi"), SyncExecution)
        assert_type(docket.replace(double, soon(1), "key")(5), SyncExecution)
        assert_type(docket.call(double)(5), TaskCall)
        docket.add(greet)(5)  # type: ignore[arg-type]
        docket.replace(double, soon(1), "key")(nobody=1)  # type: ignore[call-arg]

    with SyncDocket("typed", "memory://own") as docket:
        assert_type(docket, SyncDocket)
    assert program
