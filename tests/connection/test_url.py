"""What a URL says, and what is said about a bad one without telling its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.credentials import UsernamePasswordCredentialProvider

from docket.connection.cluster import Cluster
from docket.connection.embedded import Embedded
from docket.connection.memory import Memory
from docket.connection.sentinel import Sentinel
from docket.connection.standalone import Standalone
from docket.connection.url import connect, masked
from docket.errors import CallerError, InvalidUrl


@pytest.mark.parametrize(
    ("url", "host", "port", "options"),
    [
        ("redis://localhost", "localhost", 6379, {}),
        ("valkey://db:7000/3", "db", 7000, {"db": 3}),
        ("redis://db/?db=4&client_name=orders", "db", 6379, {"db": 4, "client_name": "orders"}),
        ("redis://app:s%40cret@db", "db", 6379, {"username": "app", "password": "s@cret"}),
        ("redis://:secret@db", "db", 6379, {"password": "secret"}),
        ("redis://app@db", "db", 6379, {"username": "app"}),
        ("redis://[::1]:6380/0", "::1", 6380, {"db": 0}),
        ("redis://[::1]", "::1", 6379, {}),
        ("REDIS://db", "db", 6379, {}),
        ("rediss://db", "db", 6379, {"ssl": True}),
        (
            "valkeys://db?ssl_cert_reqs=none&ssl_check_hostname=false",
            "db",
            6379,
            {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False},
        ),
    ],
)
def test_a_url_names_one_server(url: str, host: str, port: int, options: dict[str, object]) -> None:
    connection = connect(url)

    assert type(connection) is Standalone
    assert (connection.target.host, connection.target.port) == (host, port)
    assert connection.target.options == options


def test_a_url_names_a_socket() -> None:
    connection = connect("unix:///run/a%20b.sock?db=2&password=secret")

    assert type(connection) is Standalone
    assert connection.target.path == "/run/a b.sock"
    assert connection.target.options == {"db": 2, "password": "secret"}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis+cluster://one,two:7000", Cluster),
        ("rediss+cluster://one/0?db=0", Cluster),
        ("redis+sentinel://one,two:26380/orders", Sentinel),
        ("rediss+sentinel://a:b@one/orders/2?sentinel_username=c&sentinel_password=d", Sentinel),
        ("embedded:///var/lib/orders", Embedded),
        ("embedded://~/a?b#c%20@d", Embedded),
        ("memory://", Memory),
        ("memory://orders", Memory),
    ],
)
def test_a_url_names_an_environment(url: str, kind: type) -> None:
    assert type(connect(url)) is kind


def test_only_a_cluster_pins_the_keys_of_a_docket_to_one_slot() -> None:
    assert connect("redis+cluster://one").prefix("orders") == "{orders}"
    assert connect("redis://one").prefix("orders") == "orders"


def test_sockets_are_counted_from_the_concurrency_or_from_the_url() -> None:
    small, large = connect("redis://db", concurrency=1), connect("redis://db", concurrency=100)
    told = connect("redis://db?max_connections=7", concurrency=100)

    assert isinstance(small, Standalone)
    assert isinstance(large, Standalone)
    assert isinstance(told, Standalone)
    assert large.size - small.size == 99
    assert told.size == 7


@pytest.mark.parametrize("url", ["redis://db", "redis+cluster://db", "redis+sentinel://db/orders"])
def test_a_url_says_how_long_a_server_gets_to_answer(url: str) -> None:
    patient, told = connect(url), connect(f"{url}?socket_timeout=0.5&socket_keepalive=true")

    assert isinstance(patient, Standalone)
    assert isinstance(told, Standalone)
    assert (patient.target.patience, told.target.patience) == (5.0, 0.5)
    assert told.target.options == {"socket_keepalive": True}


def test_words_of_redis_py_that_are_seen_to_here_change_nothing() -> None:
    words = "health_check_interval=30&protocol=3&retry_on_timeout=true&timeout=20"
    plain, wordy = connect("redis://db"), connect(f"redis://db?{words}")

    assert isinstance(plain, Standalone)
    assert isinstance(wordy, Standalone)
    assert wordy.target == plain.target


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "localhost:6379",
            "expected a URL such as redis://localhost:6379/0, found 'localhost:6379'",
        ),
        (
            "redi://db",
            "unknown scheme 'redi' in redi://db; did you mean \"redis\"\\? expected one of",
        ),
        ("http://db", "unknown scheme 'http' in http://db; expected one of redis://"),
        ("redis://", "expected a host, as in redis://localhost:6379, found none in redis://"),
        ("redis+cluster://one,,two", "expected a host, as in redis\\+cluster://localhost:6379"),
        ("redis://db:99999", "expected a port between 1 and 65535 .* found 99999"),
        ("redis://db:0", "expected a port between 1 and 65535 .* found 0"),
        ("redis://one,two", "expected one host in redis://one,two, found 2"),
        ("redis://[::1", "expected a host and a port, as in redis://localhost:6379/0, found redis"),
        ("redis://db/first", "expected the number of a database at the end of redis://db/first"),
        (
            "redis://db?db=first",
            "expected a number for db in the query of redis://db, found 'first'",
        ),
        ("redis://db/0#1", "expected no # in redis://db/0"),
        ("redis://db?databse=1", "unknown option 'databse' in the query of redis://db"),
        (
            "redis://db?socket_timeout=0",
            "expected a positive number for socket_timeout in the query of redis://db, found '0'",
        ),
        ("redis://db?decode_responses=true", "unknown option 'decode_responses'"),
        ("unix:///a?socket_keepalive=true", "unknown option 'socket_keepalive'"),
        ("redis://db?dbs=1", 'did you mean "db"\\?'),
        ("redis://db?ssl_cert_reqs=none", "ssl_cert_reqs needs an encrypted URL: write rediss://"),
        ("unix:///a?ssl_keyfile=b", "ssl_keyfile needs an encrypted URL: write rediss://"),
        ("redis://db?sentinel_password=a", "unknown option 'sentinel_password'"),
        ("unix://", "expected the path of a socket, as in unix:///run/redis.sock, found unix://"),
        (
            "redis+cluster://one/3",
            "expected no database but 0 in redis\\+cluster://one/3, found '3'",
        ),
        ("redis+cluster://one?db=3", "expected no database but 0"),
        ("redis+sentinel://one", "expected the name of a service after the hosts, as in redis"),
        ("redis+sentinel://one/orders/x", "expected the number of a database .* found 'x'"),
        ("embedded://", "expected a directory, as in embedded:///var/lib/orders"),
    ],
)
def test_a_bad_url_is_told_what_was_expected(url: str, message: str) -> None:
    with pytest.raises(InvalidUrl, match=message) as caught:
        connect(url)

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CallerError)


@pytest.mark.parametrize(
    "url",
    [
        "redis://app:hunter2@db:port",
        "redis://app:hunter2@db/first",
        "redis://app:hunter2@db?databse=1",
        "redis://app:hunter2@one,two",
        "redis://app:hunter2",
        "redis://app:x/hunter2@db",
        "redis://app:1/hunter2@db",
        "redis://app:1?hunter2@db",
        "redis://app:1?db=hunter2@db",
        "redis://app:x#hunter2@db",
        "redis://app:[hunter2@db",
        "redis://:hunter2@",
        "redis+sentinel://app:hunter2@one",
        "redis+sentinel://one?sentinel_password=hunter2",
        "redis+cluster://app:hunter2@one/3",
        "redi://app:hunter2@db",
        "app:hunter2@db",
        "unix://?password=hunter2",
    ],
)
def test_a_bad_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        connect(url)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://app:hunter2@db:6379/0", "redis://app:***@db:6379/0"),
        ("redis://:hunter2@db", "redis://:***@db"),
        ("redis://app@db", "redis://app@db"),
        ("redis://db:6379/0?password=hunter2", "redis://db:6379/0"),
        ("redis://db?password=hunter2@3", "redis://***@3"),
        ("redis://a:hunt@er/2@db", "redis://a:***@db"),
        ("redis+cluster://a:hunter2@one:1,two:2", "redis+cluster://a:***@one:1,two:2"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_credentials_come_from_one_place() -> None:
    provider = UsernamePasswordCredentialProvider("app", "secret")

    assert connect("redis://db", credential_provider=provider).url == "redis://db"
    for url in ("redis://app@db", "redis://:secret@db", "redis://db?password=secret"):
        with pytest.raises(
            ValueError, match=r"^Pass credentials in the URL or in credential_provider, not both$"
        ):
            connect(url, credential_provider=provider)


def test_a_directory_is_taken_as_it_is_written(tmp_path: Path) -> None:
    directory = tmp_path / "50% #1?"

    assert connect(f"embedded://{directory}").url == f"embedded://{directory}"
