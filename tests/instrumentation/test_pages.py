"""Pages for strangers: whatever they do, others are answered, and nothing is used up."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

import pytest

from docket.instrumentation import pages
from docket.instrumentation.pages import HealthServer, Response
from tests.promises import promised


@contextmanager
def serving(host: str = "127.0.0.1", patience: float = 5.0) -> Generator[HealthServer, None, None]:
    """Serve ``/livez`` and a large ``/metrics``."""
    server = HealthServer(
        host,
        0,
        {
            "/livez": lambda: Response(HTTPStatus.OK, "OK"),
            "/metrics": lambda: Response(HTTPStatus.OK, "x" * 8_000_000),
        },
        patience,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connected(server: HealthServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def said(server: HealthServer, request: str) -> str:
    """Everything that is answered to a request."""
    with connected(server) as line:
        line.sendall(request.encode("latin-1"))
        with line.makefile("rb") as answer:
            return answer.read().decode()


def is_hung_up(line: socket.socket) -> bool:
    """Whether the other side ends a connection, in whatever way."""
    try:
        return line.recv(10) == b""
    except ConnectionError:
        return True


def asked(server: HealthServer, host: str = "localhost", method: str = "GET") -> str:
    return said(server, f"{method} /livez HTTP/1.1\r\nHost: {host}\r\n\r\n")


def test_a_head_is_a_get_without_its_body() -> None:
    with serving() as server:
        got, head = asked(server), asked(server, method="HEAD")

    assert got == head + "OK"
    assert "Content-Length: 2\r\n" in head


def test_nothing_is_told_of_what_serves() -> None:
    with serving() as server:
        answer = asked(server)

    assert "Server" not in answer
    assert "Python" not in answer


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(method: str) -> None:
    with serving() as server:
        answer = asked(server, method=method)

    assert answer.startswith("HTTP/1.1 405 ")
    assert "Allow: GET, HEAD\r\n" in answer


@pytest.mark.parametrize(
    "request_line",
    ["", "GET", "GET /livez", "GET /livez HTTP/2", "\x16\x03\x01", "GET  /livez HTTP/1.1"],
)
def test_what_is_no_request_is_told_so(request_line: str) -> None:
    with serving() as server:
        assert said(server, f"{request_line}\r\n\r\n").startswith("HTTP/1.1 400 ")


def test_a_request_without_an_end_is_refused() -> None:
    with serving() as server:
        answer = said(server, "GET /livez HTTP/1.1\r\nX: " + "x" * pages.LONGEST)

    assert answer.startswith("HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "host",
    ["", "localhost", "localhost:9464", "LOCALHOST", "a.localhost:1", "127.0.0.1:80", "[::1]:80"],
)
def test_this_machine_is_asked_by_its_names_and_addresses(host: str) -> None:
    with serving() as server:
        assert asked(server, host).startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_a_page_elsewhere_does_not_read_what_is_served_to_this_machine(host: str) -> None:
    with serving() as server:
        assert asked(server, host).startswith("HTTP/1.1 421 ")


def test_what_is_served_to_all_is_served_under_any_name() -> None:
    with serving("0.0.0.0") as server:
        assert asked(server, "docket.svc.cluster.local").startswith("HTTP/1.1 200 ")


def test_an_address_of_the_newer_kind_is_listened_on() -> None:
    with serving("::1") as server, socket.create_connection(("::1", server.port), 10) as line:
        line.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        with line.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\nOK")


def test_silent_and_slow_connections_keep_nobody_from_being_answered() -> None:
    with serving() as server, ExitStack() as held:
        for number in range(350):
            line = held.enter_context(connected(server))
            if number % 7 == 0:
                line.send(b"GET /livez HTTP/1.1\r\nX: ")
        begun = time.monotonic()

        for _ in range(5):
            assert asked(server).startswith("HTTP/1.1 200 ")

        assert time.monotonic() - begun < promised(5)
        assert len(server._open) <= pages.MOST


def test_who_says_nothing_is_hung_up_on() -> None:
    with serving(patience=0.1) as server, connected(server) as line:
        assert is_hung_up(line)


def test_who_does_not_take_the_answer_is_hung_up_on() -> None:
    with serving(patience=0.1) as server, connected(server) as line:
        line.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        deadline = time.monotonic() + 60
        while not server._open and time.monotonic() < deadline:
            pass
        while server._open and time.monotonic() < deadline:
            time.sleep(0.01)

        assert not server._open


def test_a_server_that_stops_waits_for_nobody() -> None:
    with ExitStack() as held:
        with serving() as server:
            held.enter_context(connected(server))
            assert asked(server).startswith("HTTP/1.1 200 ")
            begun = time.monotonic()

        assert time.monotonic() - begun < promised(4)
