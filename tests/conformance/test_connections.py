"""What every way of reaching Redis keeps: the contract of ``Connection``."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from redis.exceptions import NoScriptError, ResponseError

from docket.connection.base import Connection, Reply, errors_of, is_error
from docket.connection.errors import Severity, severity
from docket.connection.url import connect
from docket.errors import ServerUnavailable

CONCURRENCY = 4
MEBIBYTE = 1024 * 1024
NAME = f"test-{uuid.uuid4().hex[:12]}"

Key = Callable[[str], str]


@pytest.fixture
async def connection(server_url: str) -> AsyncIterator[Connection]:
    connection = connect(server_url, concurrency=CONCURRENCY)
    # As storage does: on a cluster this is the slot, and with it the node.
    connection.prefix(NAME)
    async with connection:
        yield connection


@pytest.fixture
def key(connection: Connection) -> Key:
    """Keys that nobody else uses, all in one slot."""
    prefix, test = connection.prefix(NAME), uuid.uuid4().hex[:12]
    return lambda name: f"{prefix}:{test}:{name}"


async def test_replies_come_in_the_order_of_the_commands(connection: Connection, key: Key) -> None:
    replies = await connection.send(
        ("RPUSH", key("list"), "a"), ("RPUSH", key("list"), b"b"), ("LRANGE", key("list"), 0, -1)
    )

    assert replies == [1, 2, [b"a", b"b"]]


async def test_no_command_is_no_reply(connection: Connection) -> None:
    assert await connection.send() == []


async def test_arguments_of_every_type_arrive_as_written(connection: Connection, key: Key) -> None:
    values = ["ä", b"\x00\xff\r\n", 7, -(2**70), 0.1, 1e300]

    *_, found = await connection.send(
        *(("RPUSH", key("list"), value) for value in values), ("LRANGE", key("list"), 0, -1)
    )

    assert found == [value if isinstance(value, bytes) else str(value).encode() for value in values]


async def test_an_error_is_a_value_between_the_other_replies(
    connection: Connection, key: Key
) -> None:
    replies = await connection.send(
        ("SET", key("text"), "a"), ("LPUSH", key("text"), "b"), ("GET", key("text"))
    )

    assert [is_error(reply) for reply in replies] == [False, True, False]
    (error,) = errors_of(replies)
    assert severity(error) is Severity.PERMANENT
    assert replies[2] == b"a"


async def test_a_bad_argument_is_refused_before_anything_is_sent(
    connection: Connection, key: Key
) -> None:
    with pytest.raises((TypeError, ResponseError)):
        await connection.send(("SET", key("a"), "1"), ("SET", key("b"), None))  # type: ignore[arg-type]

    assert await connection.send(("EXISTS", key("a")), ("EXISTS", key("b"))) == [0, 0]


async def test_a_script_that_the_server_does_not_know_is_told_from_other_errors(
    connection: Connection, key: Key
) -> None:
    source = f"return KEYS[1] .. ' {uuid.uuid4()}'"
    sha = hashlib.sha1(source.encode()).hexdigest()

    (missing,) = await connection.send(("EVALSHA", sha, 1, key("a")))
    assert isinstance(missing, NoScriptError)
    assert severity(missing) is Severity.SCRIPT_MISSING

    (full,) = await connection.send(("EVAL", source, 1, key("a")))
    (short,) = await connection.send(("EVALSHA", sha, 1, key("a")))
    assert full == short


async def test_an_error_inside_a_script_keeps_its_meaning(connection: Connection, key: Key) -> None:
    source = "return redis.call('LPUSH', KEYS[1], 'a')"

    _, error = await connection.send(("SET", key("text"), "a"), ("EVAL", source, 1, key("text")))

    assert severity(error) is Severity.PERMANENT


async def test_a_missing_consumer_group_is_told_from_other_errors(
    connection: Connection, key: Key
) -> None:
    (error,) = await connection.send(
        ("XREADGROUP", "GROUP", "g", "c", "STREAMS", key("stream"), ">")
    )

    assert severity(error) is Severity.GROUP_MISSING


async def test_a_payload_of_a_mebibyte_goes_there_and_back(
    connection: Connection, key: Key
) -> None:
    payload = uuid.uuid4().bytes * (MEBIBYTE // 16)

    _, found = await connection.send(("SET", key("big"), payload, "EX", 60), ("GET", key("big")))

    assert found == payload


async def test_a_thousand_commands_are_one_send(connection: Connection, key: Key) -> None:
    assert await connection.send(*(("INCR", key("n")) for _ in range(1000))) == [*range(1, 1001)]


async def test_more_callers_than_sockets_wait_for_one(connection: Connection, key: Key) -> None:
    replies = await asyncio.gather(*(connection.send(("INCR", key("n"))) for _ in range(300)))

    assert sorted(reply for (reply,) in replies) == list(range(1, 301))


async def test_a_large_concurrency_gets_as_many_sockets(server_url: str) -> None:
    async with connect(server_url, concurrency=150) as connection:
        key = f"{connection.prefix(NAME)}:{uuid.uuid4()}"

        async def increment() -> list[Any]:
            for _ in range(5):
                # So many handshakes load a machine: one may be late, or a reply.
                with contextlib.suppress(ServerUnavailable):
                    return await connection.send(("INCR", key))
            return await connection.send(("INCR", key))

        replies = await asyncio.gather(*(increment() for _ in range(150)))

    assert len({reply for (reply,) in replies}) == 150


async def test_a_read_that_is_cancelled_poisons_nobody(connection: Connection, key: Key) -> None:
    for round_ in range(50):
        reads = [
            asyncio.create_task(connection.send(("ECHO", f"{round_}-{index}"), ("TIME",)))
            for index in range(CONCURRENCY)
        ]
        for _ in range(round_ % 7):
            await asyncio.sleep(0)
        for read in reads[::2]:
            read.cancel()
        results = await asyncio.gather(*reads, return_exceptions=True)

        for index, result in enumerate(results):
            if index % 2:
                assert isinstance(result, list)
                assert result[0] == f"{round_}-{index}".encode()

    assert await connection.send(("ECHO", "after")) == [b"after"]


async def test_cancelled_callers_give_every_socket_back(connection: Connection, key: Key) -> None:
    for _ in range(30):
        reads = [asyncio.create_task(connection.send(("TIME",))) for _ in range(40)]
        await asyncio.sleep(0)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    await asyncio.gather(*(connection.send(("TIME",)) for _ in range(40)))


async def test_a_blocking_pop_is_woken_by_a_push(connection: Connection, key: Key) -> None:
    async with connection.waiting() as client:
        popping = asyncio.ensure_future(client.blpop([key("bell")], timeout=30))
        await _until_somebody_waits(connection)

        await connection.send(("RPUSH", key("bell"), "token"))

        assert await popping in ([key("bell").encode(), b"token"], (key("bell").encode(), b"token"))


@pytest.mark.thorough
async def test_a_blocking_pop_waits_longer_than_a_command_may_take(
    server_url: str, key: Key
) -> None:
    # A server beside its URL, which has no words for it, has the default of 5 s.
    is_local = server_url.startswith(("embedded:", "memory:"))
    mark = "&" if "?" in server_url else "?"
    url = server_url if is_local else f"{server_url}{mark}socket_timeout=0.5"
    connection = connect(url)
    connection.prefix(NAME)
    async with connection, connection.waiting() as client:
        assert await client.blpop([key("bell")], timeout=6 if is_local else 1) is None


async def test_a_wait_that_is_cancelled_ends_at_once(connection: Connection, key: Key) -> None:
    async with connection.waiting() as client:
        popping = asyncio.ensure_future(client.blpop([key("bell")], timeout=30))
        await _until_somebody_waits(connection)
        popping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await popping
        await _until_somebody_waits(connection, False)

    await connection.send(("RPUSH", key("bell"), "token"))
    assert await connection.send(("LPOP", key("bell"))) == [b"token"]


async def test_a_message_reaches_its_subscriber(connection: Connection, key: Key) -> None:
    async with connection.subscriber() as line:
        await line.subscribe(key("channel"))
        confirmed = cast(Any, await line.get_message(timeout=None))
        await connection.send(("PUBLISH", key("channel"), b"\xff\x00"))
        message = cast(Any, await line.get_message(timeout=None))

    assert confirmed["type"] == "subscribe"
    assert (message["channel"], message["data"]) == (key("channel").encode(), b"\xff\x00")


async def test_a_thread_sends_while_the_event_loop_stands_still(
    connection: Connection, key: Key
) -> None:
    thread = connection.threaded()
    try:
        replies = thread.send(("SET", key("text"), "a"), ("LPUSH", key("text"), 1), ("TIME",))
        assert replies[0] in (b"OK", True)
        assert is_error(replies[1])
        assert thread.send(("GET", key("text"))) == [b"a"]
        assert thread.send() == []
    finally:
        thread.close()
        thread.close()


async def test_a_thread_that_was_closed_connects_anew(connection: Connection, key: Key) -> None:
    thread = connection.threaded()
    thread.send(("SET", key("text"), "a"))
    thread.close()
    try:
        assert thread.send(("GET", key("text"))) == [b"a"]
    finally:
        thread.close()


async def test_the_client_speaks_redis_py(connection: Connection, key: Key) -> None:
    await connection.client.hset(key("hash"), mapping={"a": 1})

    assert await connection.client.hgetall(key("hash")) == {b"a": b"1"}
    assert connection.client is connection.client


async def test_many_users_of_the_client_wait_instead_of_failing(
    connection: Connection, key: Key
) -> None:
    replies = await asyncio.gather(*(connection.client.incr(key("n")) for _ in range(300)))

    assert sorted(replies) == list(range(1, 301))


async def test_sockets_that_the_server_dropped_are_replaced(
    connection: Connection, key: Key
) -> None:
    thread = connection.threaded()
    thread.send(("TIME",))
    await asyncio.gather(*(connection.send(("TIME",)) for _ in range(CONCURRENCY)))

    await _drop_all_sockets(connection)

    assert await _persistently(connection, ("SET", key("text"), "a")) in (b"OK", True)
    for _ in range(2 * CONCURRENCY):
        assert await connection.send(("GET", key("text"))) == [b"a"]
    assert thread.send(("GET", key("text"))) == [b"a"]
    thread.close()


async def test_a_wait_whose_socket_is_dropped_says_so(connection: Connection, key: Key) -> None:
    async def wait() -> None:
        async with connection.waiting() as client:
            await client.blpop([key("bell")], timeout=30)

    waiting = asyncio.create_task(wait())
    await _until_somebody_waits(connection)
    await _drop_all_sockets(connection)

    with pytest.raises(ServerUnavailable):
        await waiting


async def test_a_subscription_whose_socket_is_dropped_says_so(
    connection: Connection, key: Key
) -> None:
    async def listen() -> None:
        async with connection.subscriber() as line:
            await line.subscribe(key("channel"))
            await line.get_message(timeout=None)
            await _drop_all_sockets(connection, "pubsub")
            await line.get_message(timeout=None)

    with pytest.raises(ServerUnavailable):
        await listen()


async def test_a_connection_is_opened_once(connection: Connection) -> None:
    with pytest.raises(AssertionError, match="RedisConnection is not reentrant"):
        await connection.open()

    assert len(await connection.send(("TIME",))) == 1


async def test_a_connection_may_be_closed_twice_and_opened_again(server_url: str) -> None:
    connection = connect(server_url)
    await connection.close()
    for _ in range(2):
        await connection.open()
        await connection.send(("TIME",))
        await connection.client.get("nothing")
        await connection.close()
        await connection.close()


def test_a_connection_may_be_used_in_one_event_loop_after_another(server_url: str) -> None:
    connection = connect(server_url, concurrency=1)

    async def use() -> None:
        async with connection:
            await asyncio.gather(*(connection.send(("TIME",)) for _ in range(100)))
            await asyncio.gather(*(connection.client.get("nothing") for _ in range(100)))

    for _ in range(2):
        asyncio.run(use())


async def test_a_server_says_what_it_is(connection: Connection, server_url: str) -> None:
    facts = await connection.facts()

    assert facts.family in {"redis", "valkey"}
    assert facts.version >= (6, 2)
    assert facts.is_cluster is connection.is_cluster
    assert facts.eviction == "noeviction"


async def test_the_url_of_a_connection_shows_no_secret(connection: Connection) -> None:
    assert "s3cret" not in connection.url
    assert "s3cret" not in repr(vars(connection))


async def _persistently(connection: Connection, command: tuple[str, ...]) -> Reply:
    """Send until it is answered: a socket may drop while the command is under way."""
    while True:
        try:
            (reply,) = await connection.send(command)
        except ServerUnavailable:
            continue
        return reply


async def _until_somebody_waits(connection: Connection, expected: bool = True) -> None:
    """Return when a client of the server is blocked, or none is any more."""
    while True:
        (clients,) = await connection.send(("CLIENT", "LIST"))
        if (b"flags=b" in clients) is expected:
            return


async def _drop_all_sockets(connection: Connection, kind: str = "normal") -> None:
    await connection.send(("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"))
