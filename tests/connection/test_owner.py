"""A docket belongs to the event loop and the process that it was entered in."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker
from docket.connection.url import connect
from docket.errors import OpenedElsewhere

URL = "memory://owner"


async def job(number: int) -> int:
    return number


@contextmanager
def opened() -> Generator[Callable[[Awaitable[Any]], Any]]:
    """An event loop that is open for the length of a block; gives what runs something in it."""
    loop = asyncio.new_event_loop()
    try:
        yield loop.run_until_complete
    finally:
        loop.close()


def new_docket(*, traced: bool = False) -> Docket:
    return Docket(uuid.uuid4().hex, URL, config=False, enable_internal_instrumentation=traced)


WAYS: dict[str, Callable[[Docket], Awaitable[Any]]] = {
    "add": lambda docket: docket.add(job, key="key")(2),
    "leave": lambda docket: docket.__aexit__(None, None, None),
    "enter": lambda docket: docket.__aenter__(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_docket_that_is_used_in_another_event_loop_is_refused_by_one_sentence(way: str) -> None:
    docket = new_docket()
    with opened() as run:
        run(docket.__aenter__())

        async def use() -> None:
            with pytest.raises(OpenedElsewhere, match="in, another one; enter a Docket in this"):
                await WAYS[way](docket)

        with opened() as run_elsewhere:
            run_elsewhere(use())
        run(docket.__aexit__(None, None, None))


def test_a_sentence_says_that_the_event_loop_is_closed() -> None:
    docket = new_docket(traced=True)
    with opened() as run:
        run(docket.__aenter__())
        # Tasks that their event loop leaves behind would be complained of.
        run(docket.strike_list.close())
        run(docket.storage.subscriptions.close())

    async def use() -> None:
        with pytest.raises(OpenedElsewhere, match="one that is closed"):
            await docket.add(job)(1)

    with opened() as run:
        run(use())


async def test_others_do_the_first_event_loop_no_harm() -> None:
    async with new_docket() as docket, Worker(docket) as worker:
        docket.register(job)
        working = asyncio.create_task(worker.run_forever())
        execution = await docket.add(job, key="first")(1)
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 1

        async def use() -> None:
            with pytest.raises(OpenedElsewhere):
                await docket.add(job, key="elsewhere")(2)
            with pytest.raises(OpenedElsewhere):
                async with docket.redis():
                    pass
            with pytest.raises(OpenedElsewhere):
                await execution.subscribe().__anext__()

        await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(use())) for _ in range(3)))

        last = await docket.add(job, key="last")(3)
        assert await last.get_result(timeout=timedelta(seconds=60)) == 3
        working.cancel()
        await working


async def test_outside_of_all_event_loops_a_client_can_be_asked_for() -> None:
    async with new_docket() as docket:
        connection = docket.storage.connection
        client = await asyncio.to_thread(lambda: connection.client)

        assert await client.ping()


async def test_a_docket_that_was_left_can_be_entered_in_another_event_loop() -> None:
    docket = new_docket()
    async with docket:
        pass

    async def enter() -> None:
        async with docket:
            await docket.add(job)(1)

    await asyncio.to_thread(lambda: asyncio.run(enter()))


async def test_a_fork_is_told_to_enter_a_docket_of_its_own() -> None:
    connection = connect(URL)
    await connection.open()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            connection.refuse_strangers()
        except OpenedElsewhere as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as told:
        words = told.read()
    assert f"was opened in process {os.getpid()}, and this is its fork {child}" in words
    assert "enter a Docket after the fork" in words
    assert await connection.send(("PING",)) == [b"PONG"]
    await connection.close()
