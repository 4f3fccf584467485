"""Events are sent where somebody listens, once each, and cost nothing where nobody does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker
from docket.connection.base import is_error
from docket.storage.scripting import source
from docket.storage.scripting.script import Script, run
from docket.storage.subscriptions import RESYNC
from tests.conformance.conftest import docket, name
from tests.fleet.process import ServerProcess

__all__ = ["docket", "name"]


async def job() -> str:
    return "done"


async def work_off(docket: Docket, count: int, concurrency: int = 10) -> None:
    docket.register(job)
    await docket.add_many(docket.call(job, key=f"job-{number}")() for number in range(count))
    async with Worker(docket, concurrency=concurrency) as worker:
        await worker.run_until_finished()


async def test_nothing_is_published_that_nobody_hears(own_server: ServerProcess) -> None:
    async with Docket("orders", own_server.url) as docket:
        await work_off(docket, 100)
    commands = statistics(own_server)

    assert "publish" not in commands
    # Added, claimed and settled, a batch at a time: not once per task.
    assert 0 < commands["pubsub|numsub"] == commands["pubsub|numpat"] < 100


async def test_one_who_waits_is_told_each_state_of_its_own_once(own_server: ServerProcess) -> None:
    async with Docket("orders", own_server.url) as docket:
        docket.register(job)
        execution = await docket.add(job, key="mine")()
        async with docket.storage.subscriptions.listen(
            docket.storage.keys.state("mine")
        ) as listener:
            await listener.until_in_step(docket.storage.keys.state("mine"))
            before = statistics(own_server).get("publish", 0)
            await work_off(docket, 50)
            heard = [await listener.next() for _ in range(2)]
        result = await execution.get_result(timeout=timedelta(seconds=60))

    states = [event.split(b"\n")[0] for _, event in heard if event is not RESYNC]
    assert (states, result) == ([b"running", b"completed"], "done")
    assert statistics(own_server)["publish"] - before == 2


@pytest.mark.parametrize("pattern", ["*", "{}:state:*"])
async def test_whoever_subscribes_to_a_pattern_hears_everything(
    docket: Docket, pattern: str
) -> None:
    keys = docket.storage.keys
    async with docket.storage.connection.subscriber() as line:
        await line.psubscribe(pattern.format(keys.prefix))
        assert (await message(line))["type"] == "psubscribe"
        await work_off(docket, 3, concurrency=1)
        heard: list[tuple[bytes, bytes]] = []
        while len(heard) < 9:
            event = await message(line)
            if event["channel"].startswith(keys.state("").encode()):
                heard.append((event["channel"].rpartition(b":")[2], event["data"].split(b"\n")[0]))

    assert sorted(heard) == [
        (b"job-%d" % number, state)
        for number in range(3)
        for state in (b"completed", b"queued", b"running")
    ]


async def test_what_was_done_before_an_error_is_told(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "publish(P .. ':told', 'first')\nredis.call('LPUSH', P .. ':strikes', 'of another type')"
    channel = f"{docket.storage.keys.prefix}:told"
    await docket.strike("somebody")
    async with docket.storage.subscriptions.listen(channel) as listener:
        await listener.until_in_step(channel)
        (reply,) = await run_text(docket, text, monkeypatch)

        assert is_error(reply)
        assert "WRONGTYPE" in str(reply)
        assert await listener.next() == (channel, b"first")


async def test_events_beyond_what_lua_can_pass_on_are_told(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "for number = 1, 9000 do publish(P .. ':told:' .. number % 4500, tostring(number)) end\nreturn 1"
    prefix = f"{docket.storage.keys.prefix}:told"
    channels = [f"{prefix}:1", f"{prefix}:4499"]
    async with docket.storage.subscriptions.listen(*channels) as listener:
        await listener.until_in_step(*channels)
        assert await run_text(docket, text, monkeypatch) == [1]
        heard = [await listener.next() for _ in range(4)]

    numbers = [
        (channels[0], b"1"),
        (channels[1], b"4499"),
        (channels[0], b"4501"),
        (channels[1], b"8999"),
    ]
    assert heard == numbers


async def run_text(docket: Docket, text: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a text as if it were one of the scripts."""
    read = source.read

    def also(name: str) -> str:
        return text if name == "of the test" else read(name)

    monkeypatch.setattr(source, "read", also)
    return await run(docket.storage.connection, Script("of the test").call(docket.storage.keys))


async def message(line: Any) -> dict[str, Any]:
    """The next message, of whatever kind."""
    found = await line.get_message(timeout=10)
    assert found is not None, "the line is silent"
    return found


def statistics(server: ServerProcess) -> dict[str, int]:
    """How often each command was called, by its name."""
    found: dict[str, dict[str, int]] = server.call("INFO", "commandstats")
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items()}
