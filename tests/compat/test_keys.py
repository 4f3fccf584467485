"""Keys of executions, as programs written for pydocket choose them: any text."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    CurrentExecution,
    Disposition,
    Docket,
    Execution,
    ExecutionCancelled,
    ExecutionState,
    Perpetual,
    Progress,
    Retry,
    Worker,
)
from docket.dependencies import AdmissionBlocked
from tests.compat.conftest import soon, working

KEYS = {
    "url": "https://shop.example/orders?id=7&sort=a b#top",
    "path": "/var/lib/ünïcödé/🎉.txt",
    "long": "k" * 1024,
    "long in bytes": "ü" * 512,
    "empty": "",
    "lines": "first\nsecond\r\n",
    "terminal": "\x1b[2J\x07",
    "zero": "a\0b",
    "braces": "{one}{two}:*?[x]",
    "spaces": "  ",
}

seen: list[Any] = []


async def work(
    number: int,
    retry: Retry = Retry(attempts=2),
    progress: Progress = Progress(),
    limit: ConcurrencyLimit = ConcurrencyLimit("number", max_concurrent=1),
    execution: Execution = CurrentExecution(),
) -> str:
    await progress.set_message("begun")
    if execution.attempt == 1:
        raise ValueError("not yet")
    return execution.key


async def wait() -> None:
    seen.append("waits")
    await asyncio.Event().wait()


async def again(perpetual: Perpetual = Perpetual()) -> None:
    seen.append("ran")


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
async def test_any_text_is_a_key_from_its_schedule_to_its_result(docket: Docket, key: str) -> None:
    added = await docket.add(work, soon(), key)(1)
    again = await docket.add(work, soon(), key)(1)
    replaced = await docket.replace(work, soon(0.05), key)(1)
    (waiting,) = (await docket.snapshot()).future
    states: list[str] = []

    async def listen() -> None:
        async for event in replaced.subscribe(ready=ready):
            if event["type"] == "state":
                states.append(event["state"])
                if event["state"].is_terminal:
                    return

    ready = asyncio.Event()
    listening = asyncio.create_task(listen())
    await ready.wait()
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await asyncio.wait_for(listening, 60)
    found = await docket.get_execution(key)

    assert added.disposition is Disposition.SCHEDULED
    assert again.disposition is Disposition.ALREADY_SCHEDULED
    assert waiting.key == key
    assert states[-1] == "completed"
    assert found is not None
    assert (found.key, found.attempt) == (key, 2)
    assert found.progress.message == "begun"
    assert await found.get_result() == key


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
async def test_any_text_can_be_cancelled_while_it_waits_and_while_it_runs(
    docket: Docket, key: str
) -> None:
    waiting = await docket.add(wait, soon(), key)()
    await docket.cancel(key)
    await waiting.sync()
    running = await docket.add(wait, key=key)()
    async with Worker(docket) as worker, working(worker):
        while not seen:
            await asyncio.sleep(0.01)
        await docket.cancel(key)
        with pytest.raises(ExecutionCancelled):
            await running.get_result(timeout=timedelta(seconds=60))

    assert waiting.state is ExecutionState.CANCELLED


@pytest.mark.parametrize("key", ["", "first\nsecond"])
async def test_any_text_can_be_perpetual_and_limited(here: Docket, key: str) -> None:
    async def cooled(cooldown: Cooldown = Cooldown(timedelta(minutes=1))) -> None:
        seen.append("cooled")

    async with Worker(here) as worker:
        await here.add(again, key=key)()
        await worker.run_at_most({key: 3})
        await here.add(cooled, key=key)()
        await here.add(cooled, key=f"{key} other")()
        await worker.run_until_finished()

    assert seen == ["ran", "ran", "ran", "cooled"]


async def test_what_is_shown_of_a_key_steers_no_terminal_and_begins_no_line(
    here: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ValueError("no good")

    async def unknown() -> None: ...

    key = "a\n\x1b[2J↪ forged"
    execution = await here.add(fail, key=key)()
    await here.add(unknown, key="b\nforged")()
    del here.tasks["unknown"]
    with caplog.at_level(logging.DEBUG):
        async with Worker(here) as worker:
            await worker.run_until_finished()
        await here.cancel(key)

    assert execution.call_repr() == "fail(){a\\n\\x1b[2J↪ forged}"
    assert caplog.messages
    assert not any(set("\n\x1b") & set(message) for message in caplog.messages)
    for told in (
        AdmissionBlocked(execution),
        (await raised(execution.get_result(timeout=timedelta()))),
    ):
        assert "\n" not in str(told)


async def raised(coroutine: Any) -> BaseException:
    """What a coroutine raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await coroutine
    return caught.value
