"""A slot that moves, a node that dies, a list of nodes that is out of date."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from docket.connection import cluster as module
from docket.connection.base import Connection, Reply, is_error
from docket.connection.channels import Channels
from docket.connection.traced import Traced
from docket.connection.url import connect
from docket.errors import ServerUnavailable
from tests.fleet.binaries import redis_6, valkey_9
from tests.fleet.cluster import Cluster
from tests.fleet.process import ServerProcess, free_port
from tests.promises import promised

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module", params=["valkey-9.1", "redis-6.2"])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    binary = {"valkey-9.1": valkey_9, "redis-6.2": redis_6}[request.param]()
    with Cluster(binary, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def connection(cluster: Cluster, name: str) -> AsyncIterator[Connection]:
    connection = connect(cluster.url)
    connection.prefix(name)
    async with connection:
        yield connection


async def test_a_slot_that_has_moved_is_followed(
    cluster: Cluster, connection: Connection, name: str
) -> None:
    key = f"{{{name}}}:a"
    thread = connection.threaded()
    await connection.send(("SET", key, "1"))
    thread.send(("GET", key))
    other = cluster.other(key)

    cluster.begin_move(key, other)
    cluster.finish_move(key, other)

    assert await connection.send(("INCR", key), ("INCR", key)) == [2, 3]
    assert thread.send(("INCR", key)) == [4]
    assert await connection.client.get(key) == b"4"
    thread.close()


async def test_a_slot_that_is_moving_is_asked_for_politely(
    cluster: Cluster, connection: Connection, name: str
) -> None:
    here, there = f"{{{name}}}:here", f"{{{name}}}:there"
    await connection.send(("SET", here, "1"))
    other = cluster.other(here)

    cluster.begin_move(here, other)
    replies = await connection.send(("INCR", here), ("INCR", there), ("INCR", there), ("TIME",))
    cluster.finish_move(here, other)

    assert replies[:3] == [2, 1, 2]
    assert not is_error(replies[3])
    assert await connection.send(("MGET", here, there)) == [[b"2", b"2"]]


async def test_keys_that_a_move_has_torn_apart_wait_for_its_end(
    cluster: Cluster, connection: Connection, name: str
) -> None:
    here, there = f"{{{name}}}:here", f"{{{name}}}:there"
    await connection.send(("SET", here, "1"))
    other = cluster.other(here)
    cluster.begin_move(here, other)
    await connection.send(("SET", there, "2"))

    reading = asyncio.create_task(connection.send(("MGET", here, there)))
    await connection.send(("GET", there))
    await asyncio.to_thread(cluster.finish_move, here, other)

    assert await reading == [[b"1", b"2"]]


async def test_one_living_seed_is_enough(cluster: Cluster, name: str) -> None:
    seed = cluster.nodes[-1].port
    connection = connect(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{seed}")
    prefix = connection.prefix(name)

    async with connection:
        assert await connection.send(("SET", f"{prefix}:a", "1")) == [b"OK"]


async def test_a_cluster_without_a_living_node_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ASK_TIMEOUT", 100.0)
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 100.0)
    port = free_port()
    connection = connect(f"redis+cluster://app:hunter2@127.0.0.1:{port}")

    started = time.monotonic()
    with pytest.raises(ServerUnavailable, match=f"127.0.0.1:{port}") as caught:
        await connection.open()

    assert time.monotonic() - started < 90  # not one limit of time is waited for
    assert "hunter2" not in str(caught.value)


async def test_a_slot_that_nobody_holds_is_told_as_unavailable(tmp_path: Path) -> None:
    with ServerProcess(valkey_9(), tmp_path, "--cluster-enabled", "yes") as node:
        connection = connect(f"redis+cluster://127.0.0.1:{node.port}")
        with pytest.raises(ServerUnavailable, match="no node holds slot"):
            await connection.open()


async def test_a_dead_primary_is_replaced_by_its_replica(tmp_path: Path) -> None:
    with Cluster(valkey_9(), tmp_path, primaries=3, replicas=1) as cluster:
        connection = connect(cluster.url)
        key = f"{connection.prefix('orders')}:a"
        async with connection:
            thread = connection.threaded()
            await connection.send(("SET", key, "1"), ("WAIT", 1, 4000))
            assert thread.send(("GET", key)) == [b"1"]

            cluster.holder(key).kill()
            started = time.monotonic()
            reply = await _until_answered(connection, ("GET", key))

            assert reply == b"1"
            assert time.monotonic() - started < promised(10)
            assert await asyncio.to_thread(thread.send, ("GET", key)) == [b"1"]
            thread.close()


async def test_a_line_at_the_wrong_node_is_one_to_be_left(
    cluster: Cluster, connection: Connection, name: str
) -> None:
    key = f"{{{name}}}:a"
    async with connection.subscriber() as line:
        await line.subscribe(key)
        assert not await connection.has_left(line)
        assert not await Traced(connection).has_left(line)
        other = cluster.other(key)
        cluster.begin_move(key, other)
        cluster.finish_move(key, other)
        assert await connection.has_left(line)


async def test_whether_a_line_is_to_be_left_is_not_known_while_nobody_answers(
    tmp_path: Path,
) -> None:
    with Cluster(valkey_9(), tmp_path) as cluster:
        connection = connect(cluster.url)
        connection.prefix("orders")
        async with connection, connection.subscriber() as line:
            await line.subscribe("{orders}:a")
            for node in cluster.nodes:
                node.kill()
            assert not await connection.has_left(line)


async def test_channels_of_a_slot_that_is_elsewhere_are_looked_for_anew(
    cluster: Cluster, connection: Connection, name: str
) -> None:
    if cluster.nodes[0].binary == redis_6():
        # It has no channels of slots: everything goes to all nodes.
        async with connection.subscriber() as line:
            channels = await Channels.open(line, "elsewhere", is_cluster=True)
            await channels.unsubscribe("elsewhere")
        return
    elsewhere = next(
        anchor
        for anchor in (f"{{{number}}}" for number in range(100))
        if cluster.holder(anchor) is not cluster.holder(f"{{{name}}}")
    )
    with pytest.raises(ServerUnavailable, match="does not answer as it should"):
        async with connection.subscriber() as line:
            await Channels.open(line, elsewhere, is_cluster=True)


async def _until_answered(connection: Connection, command: tuple[str, ...]) -> Reply:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            (reply,) = await connection.send(command)
        except ServerUnavailable:
            # As every caller does: a pause before the next try.
            await asyncio.sleep(0.1)
        else:
            if not is_error(reply):
                return reply
    raise AssertionError("nobody took over")
