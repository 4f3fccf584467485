"""The slot of a docket moves to another node: nothing is done by halves, and everybody follows."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.crc import key_slot

from docket import Docket, Execution, Worker
from docket.errors import ServerUnavailable
from docket.storage import subscriptions
from docket.storage.claims import renew
from docket.storage.subscriptions import RESYNC
from tests.conformance.conftest import until, working
from tests.fleet.binaries import redis_6, redis_8, valkey_8, valkey_9
from tests.fleet.cluster import Cluster
from tests.fleet.process import ServerProcess

pytestmark = pytest.mark.fleet

BINARIES = {
    "redis-6.2": redis_6,
    "redis-8.2": redis_8,
    "valkey-8.1": valkey_8,
    "valkey-9.1": valkey_9,
}
MOVING = "is moving to another node; work waits"
ARRIVED = "has arrived; work goes on"


async def double(number: int) -> int:
    return 2 * number


@pytest.fixture(scope="module", params=BINARIES)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with Cluster(BINARIES[request.param](), tmp_path_factory.mktemp("moving")) as cluster:
        yield cluster


@pytest.fixture
async def docket(cluster: Cluster) -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, cluster.url) as docket:
        docket.register(double)
        yield docket


async def test_a_script_waits_for_the_end_of_the_move_and_does_nothing_before(
    cluster: Cluster, docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "docket.connection")
    await docket.add_many(
        docket.call(double, key=f"before-{number}")(number) for number in range(20)
    )
    anchor = docket.storage.keys.stream("default")
    source, target = cluster.holder(anchor), cluster.other(anchor)
    cluster.begin_move(anchor, target)
    cluster.carry(anchor, target, most=10)
    before = (kept(source, anchor), kept(target, anchor))

    adding = asyncio.ensure_future(docket.add(double, key="after")(7))
    await until(lambda: told(caplog, MOVING))
    await asyncio.sleep(0)
    during = (kept(source, anchor), kept(target, anchor))
    await asyncio.to_thread(cluster.finish_move, anchor, target)
    execution = await asyncio.wait_for(adding, 60)

    assert during == before
    assert min(before) > 0
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    assert await execution.get_result(timeout=timedelta(seconds=60)) == 14
    assert kept(source, anchor) == 0
    assert [caplog.text.count(MOVING), caplog.text.count(ARRIVED)] == [1, 1]


async def test_what_is_read_meanwhile_is_right(cluster: Cluster, docket: Docket) -> None:
    keys = [f"key-{number}" for number in range(12)]
    await docket.add_many(docket.call(double, key=key)(1) for key in keys)
    anchor = docket.storage.keys.stream("default")
    target = cluster.other(anchor)
    cluster.begin_move(anchor, target)
    found: list[Execution | None] = []
    # What needs more than one key waits, and misses nothing.
    counting = asyncio.create_task(docket.snapshot())
    while cluster.carry(anchor, target, most=3):
        found += [await docket.get_execution(key) for key in keys]
        assert await docket.get_execution("unknown") is None
    await asyncio.to_thread(cluster.finish_move, anchor, target)

    assert None not in found
    assert len(found) > 3 * len(keys)
    assert (await counting).total_tasks == len(keys)


async def test_a_slot_that_was_left_open_stands_still_and_is_told(
    cluster: Cluster, docket: Docket, tmp_path: Path
) -> None:
    anchor = docket.storage.keys.stream("default")
    target = cluster.other(anchor)
    await docket.add(double, key="one")(1)
    cluster.begin_move(anchor, target)

    with pytest.raises(ServerUnavailable, match="redis-cli --cluster fix"):
        await docket.cancel("one")
    words = ["doctor", "--docket", docket.name, "--url", cluster.url]
    doctor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "docket", *words), stdout=PIPE, stderr=STDOUT, cwd=tmp_path
    )
    said, _ = await doctor.communicate()
    cluster.finish_move(anchor, target)

    assert kept(target, anchor) > 0
    assert doctor.returncode != 0
    assert b"left open" in said
    assert b"slot %d is moving" % key_slot(docket.prefix.encode()) in said


async def test_a_thread_waits_and_follows_as_well(cluster: Cluster, docket: Docket) -> None:
    anchor = docket.storage.keys.stream("default")
    target = cluster.other(anchor)
    await docket.add(double, key="one")(1)
    line = docket.storage.connection.threaded()
    assert await asyncio.to_thread(renew, line, docket.storage.keys, "nobody", []) == []
    cluster.begin_move(anchor, target)
    cluster.carry(anchor, target, most=1)

    renewing = asyncio.create_task(
        asyncio.to_thread(renew, line, docket.storage.keys, "nobody", [])
    )
    await asyncio.sleep(0.1)
    assert not renewing.done()
    await asyncio.to_thread(cluster.finish_move, anchor, target)

    assert await asyncio.wait_for(renewing, 60) == []
    line.close()


async def test_who_waits_for_a_result_hears_of_it_wherever_the_slot_is(
    cluster: Cluster, docket: Docket
) -> None:
    anchor = docket.storage.keys.stream("default")
    execution = await docket.add(double, key="waited-for")(21)
    waiting = asyncio.create_task(execution.get_result(timeout=timedelta(seconds=60)))
    await until(lambda: listened_to(docket, execution.key))
    target = cluster.other(anchor)
    cluster.begin_move(anchor, target)
    await asyncio.to_thread(cluster.finish_move, anchor, target)
    # The line that was left comes back by itself: nothing has happened yet that it could have heard.
    await until(lambda: listened_to(docket, execution.key))

    async with Worker(docket) as worker, working(worker):
        assert await waiting == 42


async def test_events_stay_at_one_node_where_the_server_can_do_that(
    cluster: Cluster, docket: Docket
) -> None:
    execution = await docket.add(double, key="waited-for")(21)
    holder = cluster.holder(docket.storage.keys.future)
    holder.call("CONFIG", "RESETSTAT")
    channel = docket.storage.keys.state("waited-for")
    async with docket.storage.subscriptions.listen(channel) as listener:
        await listener.until_in_step(channel)
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        heard = [await listener.next() for _ in range(2)]
    commands = holder.call("INFO", "commandstats")

    states = [event.split(b"\n")[0] for _, event in heard if event is not RESYNC]
    assert states == [b"running", b"completed"]
    assert ("cmdstat_publish" in commands) != ("cmdstat_spublish" in commands)
    assert ("cmdstat_spublish" in commands) == (cluster.nodes[0].binary != redis_6())
    assert await execution.get_result() == 42


async def test_one_who_may_not_use_the_channels_of_a_slot_uses_the_others(
    cluster: Cluster, docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "SILENCE", 0.2)
    rules = [
        "on",
        ">pw",
        "resetkeys",
        "resetchannels",
        f"~{{{docket.name}}}:*",
        f"&{{{docket.name}}}:*",
    ]
    rules += ["+@all", "-@pubsub", "+subscribe", "+unsubscribe"]
    for node in cluster.nodes:
        node.call("ACL", "SETUSER", "watcher", "reset", *rules)
    execution = await docket.add(double, key="waited-for")(21)
    anchor = docket.storage.keys.stream("default")
    target = cluster.other(anchor)
    url = cluster.url.replace("//", "//watcher:pw@")
    async with Docket(docket.name, url) as watcher:
        found = await watcher.get_execution("waited-for")
        assert found is not None
        waiting = asyncio.create_task(found.get_result(timeout=timedelta(seconds=60)))
        channel = docket.storage.keys.state(execution.key)
        await until(lambda: heard_at(cluster.holder(anchor), channel))
        cluster.begin_move(anchor, target)
        await asyncio.to_thread(cluster.finish_move, anchor, target)
        await until(lambda: heard_at(target, channel))
        async with Worker(docket) as worker, working(worker):
            assert await waiting == 42


async def test_who_waits_follows_a_primary_that_hands_over(
    cluster: Cluster, tmp_path: Path
) -> None:
    binary = cluster.nodes[0].binary
    with Cluster(binary, tmp_path, primaries=3, replicas=1) as group:
        async with Docket("orders", group.url) as docket:
            docket.register(double)
            anchor = docket.storage.keys.future
            execution = await docket.add(double)(21)
            waiting = asyncio.create_task(execution.get_result(timeout=timedelta(seconds=60)))
            await until(lambda: listened_to(docket, execution.key))
            replica = group.nodes[3 + group.primaries.index(group.holder(anchor))]
            replica.call("CLUSTER", "FAILOVER")
            await until(lambda: is_primary(replica))
            async with Worker(docket) as worker, working(worker):
                assert await waiting == 42


async def told(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return words in caplog.text


def kept(node: ServerProcess, key: str) -> int:
    """How many keys of the slot of this one a node has."""
    return node.call("CLUSTER", "COUNTKEYSINSLOT", key_slot(key.encode()))


async def listened_to(docket: Docket, key: str) -> bool:
    """Whether the state of an execution is subscribed to, as far as its own program knows."""
    return docket.storage.keys.state(key) in vars(docket.storage.subscriptions)["_confirmed"]


async def heard_at(node: ServerProcess, channel: str) -> bool:
    return node.call("PUBSUB", "NUMSUB", channel)[1] > 0


async def is_primary(node: ServerProcess) -> bool:
    return node.call("ROLE")[0] == b"master"
