"""One server that is absent, locked, killed, paused and full."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.credentials import UsernamePasswordCredentialProvider

from docket.connection import standalone as module
from docket.connection import url as url_module
from docket.connection.base import Connection
from docket.connection.errors import Severity, severity
from docket.connection.url import connect
from docket.errors import ServerRefused, ServerUnavailable
from tests.fleet.binaries import redis_6, redis_8
from tests.fleet.process import ServerProcess, free_port
from tests.fleet.tls import TLSProxy
from tests.promises import promised

pytestmark = pytest.mark.fleet


@pytest.fixture
def long_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 100.0)
    monkeypatch.setattr(url_module, "COMMAND_TIMEOUT", 100.0)


@pytest.fixture
async def connection(own_server: ServerProcess) -> AsyncIterator[Connection]:
    async with connect(own_server.url) as connection:
        yield connection


async def _fails_fast(url: str, kind: type[Exception], words: str) -> None:
    started = time.monotonic()
    with pytest.raises(kind, match=words):
        await connect(url).open()
    assert time.monotonic() - started < 90  # not one limit of time is waited for
    with pytest.raises(kind, match=words):
        connect(url).threaded().send(("PING",))


@pytest.mark.usefixtures("long_limits")
async def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    await _fails_fast(
        f"redis://app:hunter2@127.0.0.1:{free_port()}",
        ServerUnavailable,
        r"nothing answers at redis://app:\*\*\*@127.0.0.1",
    )


@pytest.mark.usefixtures("long_limits")
async def test_a_socket_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    await _fails_fast(f"unix://{tmp_path}/none.sock", ServerUnavailable, "nothing answers at unix")


@pytest.mark.usefixtures("long_limits")
async def test_a_wrong_password_is_told_at_once(tmp_path: Path) -> None:
    with ServerProcess(redis_8(), tmp_path, password="right") as server:
        for credentials in (":wrong@", "app:wrong@", ""):
            url = f"redis://{credentials}127.0.0.1:{server.port}"
            await _fails_fast(url, ServerRefused, "refuses")


async def test_a_password_that_changed_meanwhile_is_told_as_refused(tmp_path: Path) -> None:
    with ServerProcess(redis_8(), tmp_path, password="old") as server:
        async with connect(server.url) as connection:
            thread = connection.threaded()
            thread.send(("PING",))
            with server.client() as client:
                client.config_set("requirepass", "new")
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")
            for _ in range(2):
                with pytest.raises((ServerRefused, ServerUnavailable)):
                    await connection.send(("PING",))
            with pytest.raises(ServerRefused):
                await connection.send(("PING",))
            with pytest.raises(ServerRefused):
                thread.send(("PING",))
            thread.close()


async def test_a_provider_gives_the_credentials(tmp_path: Path) -> None:
    provider = UsernamePasswordCredentialProvider("default", "right")
    with ServerProcess(redis_8(), tmp_path, password="right") as server:
        url = f"redis://127.0.0.1:{server.port}"
        async with connect(url, credential_provider=provider) as connection:
            assert await connection.send(("ECHO", "a")) == [b"a"]
            thread = connection.threaded()
            assert thread.send(("ECHO", "a")) == [b"a"]
            thread.close()


@pytest.mark.usefixtures("long_limits")
async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    with (
        ServerProcess(redis_8(), tmp_path) as server,
        TLSProxy(server.port, tmp_path) as proxy,
    ):
        await _fails_fast(f"rediss://localhost:{proxy.port}", ServerRefused, "certificate")
        async with connect(f"rediss://localhost:{proxy.port}?ssl_cert_reqs=none") as connection:
            assert await connection.send(("ECHO", "a")) == [b"a"]


async def test_a_node_of_a_cluster_is_refused_under_a_plain_url(tmp_path: Path) -> None:
    with ServerProcess(redis_6(), tmp_path, "--cluster-enabled", "yes") as server:
        await _refused_at_opening(server.url, r"write redis\+cluster://")


async def _refused_at_opening(url: str, words: str) -> None:
    with pytest.raises(ServerRefused, match=words):
        await connect(url).open()


async def test_a_server_that_was_killed_and_restarted_is_found_again(
    own_server: ServerProcess, connection: Connection
) -> None:
    thread = connection.threaded()
    await connection.send(("SET", "a", "kept"))
    thread.send(("PING",))

    own_server.kill()
    await asyncio.gather(*(_raises(lambda: connection.send(("GET", "a"))) for _ in range(20)))
    with pytest.raises(ServerUnavailable):
        thread.send(("PING",))
    own_server.start()

    assert await connection.send(("GET", "a")) == [b"kept"]
    assert thread.send(("GET", "a")) == [b"kept"]
    thread.close()


async def _raises(call: Callable[[], object]) -> None:
    with pytest.raises(ServerUnavailable):
        await call()  # type: ignore[misc]


async def test_a_paused_server_costs_a_caller_some_seconds_at_most(
    own_server: ServerProcess, connection: Connection
) -> None:
    await connection.send(("PING",))
    own_server.pause()
    try:
        started = time.monotonic()
        with pytest.raises(ServerUnavailable, match="did not answer within 5 s"):
            await connection.send(("INCR", "n"))
        assert time.monotonic() - started < promised(6)
    finally:
        own_server.resume()

    assert await connection.send(("ECHO", "a")) == [b"a"]


async def test_a_paused_server_costs_a_thread_some_seconds_at_most(
    own_server: ServerProcess, connection: Connection
) -> None:
    thread = connection.threaded()
    thread.send(("PING",))
    own_server.pause()
    try:
        started = time.monotonic()
        with pytest.raises(ServerUnavailable):
            await asyncio.to_thread(thread.send, ("INCR", "n"))
        assert time.monotonic() - started < promised(6)
    finally:
        own_server.resume()

    assert thread.send(("ECHO", "a")) == [b"a"]
    thread.close()


async def test_nothing_that_may_have_run_is_sent_twice() -> None:
    """A server that takes the command and drops the line instead of answering."""
    heard: list[bytes] = []

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"INCR" not in (data := await reader.read(4096)) and data:
            writer.write(b"-ERR unknown\r\n" * data.count(b"*"))
        heard.append(data)
        writer.close()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connection = connect(url)
    try:
        with pytest.raises(ServerUnavailable):
            await connection.send(("INCR", "n"))
        thread = connection.threaded()
        with pytest.raises(ServerUnavailable):
            await asyncio.to_thread(thread.send, ("INCR", "n"))
        with pytest.raises(ServerUnavailable):
            async with connection.waiting() as client:
                await client.incr("n")
        assert len(heard) == 3
    finally:
        await connection.close()
        server.close()


async def test_a_full_server_answers_with_an_error_that_may_heal(
    own_server: ServerProcess, connection: Connection
) -> None:
    own_server.call("CONFIG", "SET", "maxmemory", "1")

    for command in (("SET", "a", "b"), ("EVAL", "return redis.call('SET', KEYS[1], 'b')", 1, "a")):
        (error,) = await connection.send(command)
        assert severity(error) is Severity.TRANSIENT


async def test_a_primary_that_became_a_replica_is_asked_again_until_it_is_one_no_more(
    own_server: ServerProcess, connection: Connection
) -> None:
    thread = connection.threaded()
    own_server.call("REPLICAOF", "127.0.0.1", free_port())

    async def promote() -> None:
        await connection.send(("PING",))
        await asyncio.to_thread(own_server.call, "REPLICAOF", "NO", "ONE")

    writing = asyncio.create_task(connection.send(("SET", "a", "b"), ("ECHO", "c")))
    blocking = asyncio.create_task(asyncio.to_thread(thread.send, ("SET", "d", "e")))
    await promote()

    assert await writing == [b"OK", b"c"]
    assert await blocking == [b"OK"]
    thread.close()


async def test_a_replica_for_good_answers_with_an_error_that_may_heal(
    own_server: ServerProcess, connection: Connection
) -> None:
    own_server.call("REPLICAOF", "127.0.0.1", free_port())

    (error,) = await connection.send(("SET", "a", "b"))
    thread = connection.threaded()
    (blocking,) = await asyncio.to_thread(thread.send, ("SET", "a", "b"))
    thread.close()

    assert severity(error) is Severity.TRANSIENT
    assert severity(blocking) is Severity.TRANSIENT


async def test_a_caller_that_is_cancelled_while_it_connects_leaves_no_socket_behind(
    own_server: ServerProcess,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = connect(f"redis://127.0.0.1:{silent.getsockname()[1]}", concurrency=1)
        for _ in range(50):
            sending = asyncio.create_task(connection.send(("PING",)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        await connection.close()


async def test_a_blocking_wait_on_an_absent_server_is_told_as_unavailable() -> None:
    connection = connect(f"redis://127.0.0.1:{free_port()}")

    with pytest.raises(ServerUnavailable):
        async with connection.waiting() as client:
            await client.blpop(["a"], timeout=1)
    with pytest.raises(ServerUnavailable):
        async with connection.subscriber() as line:
            await line.subscribe("a")
