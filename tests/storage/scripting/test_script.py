"""Scripts on their way to the server, and what they ask of it."""

from __future__ import annotations

from docket import Docket
from tests.fleet.process import ServerProcess
from tests.storage.test_events import job, statistics


async def test_a_script_that_the_server_lacks_travels_once_for_many_calls(
    own_server: ServerProcess,
) -> None:
    async with Docket("orders", own_server.url) as docket, docket.redis() as client:
        await client.script_flush()
        await client.config_resetstat()
        await docket.add_many(docket.call(job)() for _ in range(300))

        assert statistics(own_server)["eval"] == 1
        assert len((await docket.snapshot()).future) == 300


async def test_an_add_asks_little_of_the_server(own_server: ServerProcess) -> None:
    async with Docket("orders", own_server.url) as docket, docket.redis() as client:
        await docket.add(job)()  # from now on the script is there, and the stream
        await client.config_resetstat()
        for _ in range(10):
            await docket.add(job)()
        commands = statistics(own_server)

    # Something else may have been asked once meanwhile.
    each = {name: calls // 10 for name, calls in commands.items()}
    assert sum(each.values()) <= 9
    assert each["evalsha"] == each["hset"] == each["xadd"] == 1
