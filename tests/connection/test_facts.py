"""What a server says it is, and which servers will not do."""

from __future__ import annotations

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from docket.connection.base import Facts
from docket.connection.facts import read_facts, refuse_unfit
from docket.errors import ServerRefused


def _hello(server: bytes, version: bytes, mode: bytes = b"standalone") -> list[object]:
    return [b"server", server, b"version", version, b"proto", 2, b"mode", mode, b"modules", []]


def test_redis_is_read_from_its_greeting() -> None:
    info = b"# Memory\r\nmaxmemory_policy:allkeys-lru\r\n"

    facts = read_facts([_hello(b"redis", b"6.2.14"), b"# Server\r\n", info])

    assert facts == Facts("redis", (6, 2, 14), is_cluster=False, eviction="allkeys-lru")


def test_valkey_is_not_taken_for_the_redis_that_it_says_it_is() -> None:
    server = b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.8\r\n"

    facts = read_facts([_hello(b"redis", b"7.2.4"), server, b""])

    assert (facts.family, facts.version) == ("valkey", (8, 1, 8))


def test_a_user_who_may_not_ask_for_more_learns_the_version_only() -> None:
    refused = NoPermissionError("User app has no permissions to run the 'info' command")

    facts = read_facts([_hello(b"valkey", b"9.1.2", b"cluster"), refused, refused])

    assert facts == Facts("valkey", (9, 1, 2), is_cluster=True, eviction=None)


def test_a_server_that_does_not_greet_is_refused() -> None:
    refused = ResponseError("unknown command `HELLO`, with args beginning with: ")

    with pytest.raises(ServerRefused):
        read_facts([refused, b"redis_version:5.0.1\r\n", b""])


def test_a_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(ServerRefused, match=r"expected Redis 6.2 or newer, .* found redis 6.0.16"):
        refuse_unfit(Facts("redis", (6, 0, 16)), "redis://db", is_cluster=False)


def test_a_node_of_a_cluster_wants_another_url() -> None:
    node = Facts("redis", (7, 2), is_cluster=True)

    refuse_unfit(node, "redis+cluster://db", is_cluster=True)
    with pytest.raises(ServerRefused, match=r"write redis\+cluster://"):
        refuse_unfit(node, "redis://db", is_cluster=False)
