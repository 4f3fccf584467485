"""Pages over HTTP, whatever the event loop does."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus

import pytest

from docket.instrumentation import health
from docket.instrumentation.health import Pulse, healthcheck_server
from docket.instrumentation.pages import HealthServer, Response
from tests.promises import promised


@contextmanager
def serving(**pages: Callable[[], Response]) -> Generator[str, None, None]:
    """Serve pages; tells where."""
    server = HealthServer("127.0.0.1", 0, {f"/{name}": page for name, page in pages.items()})
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()


def get(url: str) -> tuple[int, str, str]:
    """Status, kind and text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.status, page.headers["Content-Type"], page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_a_page_is_what_its_function_says_at_that_moment() -> None:
    counts = iter(range(5))

    with serving(count=lambda: Response(HTTPStatus.OK, f"{next(counts)} ≥ 0\n")) as url:
        assert get(f"{url}/count") == (200, "text/plain; charset=utf-8", "0 ≥ 0\n")
        assert get(f"{url}/count?verbose=1")[2] == "1 ≥ 0\n"


def test_status_and_kind_are_those_of_the_answer() -> None:
    answer = Response(HTTPStatus.SERVICE_UNAVAILABLE, "{}", "application/json")

    with serving(page=lambda: answer) as url:
        assert get(f"{url}/page") == (503, "application/json", "{}")


def test_an_unknown_path_tells_what_there_is() -> None:
    answer = Response(HTTPStatus.OK, "")

    with serving(livez=lambda: answer, metrics=lambda: answer) as url:
        status, _, text = get(f"{url}/")

    assert (status, text) == (404, "nothing here; there is /livez, /metrics\n")


async def test_a_stuck_event_loop_does_not_keep_it_from_answering() -> None:
    # Nothing here gives the loop a turn: were the pages served by it, no answer would come.
    begun = time.monotonic()
    with serving(livez=lambda: Response(HTTPStatus.OK, "alive\n")) as url:
        assert get(f"{url}/livez")[0] == 200

    assert time.monotonic() - begun < promised(4)


def test_nothing_is_written_for_a_probe(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(livez=lambda: Response(HTTPStatus.OK, "alive\n")) as url:
        get(f"{url}/livez")

    assert capfd.readouterr() == ("", "")


def test_a_stopped_server_gives_its_port_back() -> None:
    first = HealthServer("127.0.0.1", 0, {})
    first.start()
    with pytest.raises(OSError, match="in use"):
        HealthServer("127.0.0.1", first.port, {})
    first.stop()

    second = HealthServer("127.0.0.1", first.port, {})
    second.start()
    second.stop()


class Worker:
    """A worker, as its health shows it."""

    last_contact: float | None = None
    outage: str = ""

    def __init__(self) -> None:
        self.are_stuck: list[str] = []

    def stuck(self) -> list[str]:
        return self.are_stuck


def ask(port: int, path: str) -> tuple[int, str]:
    status, _, text = get(f"http://127.0.0.1:{port}{path}")
    return status, text


async def test_a_worker_that_has_reached_redis_is_alive_and_ready() -> None:
    worker = Worker()
    worker.last_contact = asyncio.get_running_loop().time()

    with healthcheck_server(port=0, worker=worker) as server:
        assert server is not None
        for path in ("/", "/livez", "/readyz"):
            assert await asyncio.to_thread(ask, server.port, path) == (200, "OK")


async def test_a_worker_that_has_not_reached_redis_is_alive_but_not_ready() -> None:
    with healthcheck_server(port=0, worker=Worker()) as server:
        assert server is not None
        assert await asyncio.to_thread(ask, server.port, "/livez") == (200, "OK")
        assert await asyncio.to_thread(ask, server.port, "/readyz") == (
            503,
            "the worker has not reached Redis yet\n",
        )


async def test_a_worker_that_has_lost_redis_is_alive_but_not_ready() -> None:
    worker = Worker()
    worker.last_contact = asyncio.get_running_loop().time() - health.STUCK - 1
    pulse = Pulse(worker)
    pulse.start()

    assert pulse.livez().status is HTTPStatus.OK
    answer = pulse.readyz()
    assert (answer.status, answer.body) == (503, "Redis has not answered for 11 s\n")

    worker.last_contact = asyncio.get_running_loop().time()
    pulse.start()
    assert pulse.readyz().status is HTTPStatus.OK
    pulse.stop()


async def test_a_worker_whose_server_is_full_is_alive_but_not_ready() -> None:
    worker = Worker()
    worker.last_contact = asyncio.get_running_loop().time()
    worker.outage = "the server is full"
    pulse = Pulse(worker)
    pulse.start()

    assert pulse.livez().status is HTTPStatus.OK
    assert (pulse.readyz().status, pulse.readyz().body) == (503, "the server is full\n")
    pulse.stop()


async def test_a_worker_whose_leases_are_not_renewed_is_not_alive() -> None:
    worker = Worker()
    worker.are_stuck = ["the thread that renews leases has not turned for 61 s"]
    pulse = Pulse(worker)
    pulse.start()

    answer = pulse.livez()
    assert (answer.status, answer.body) == (503, worker.are_stuck[0] + "\n")
    pulse.stop()


def test_a_page_that_fails_says_so() -> None:
    def page() -> Response:
        raise RuntimeError("changed meanwhile")

    with serving(page=page) as url:
        assert get(f"{url}/page")[::2] == (500, "RuntimeError: changed meanwhile\n")


async def test_a_stuck_event_loop_is_neither_alive_nor_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker()
    worker.last_contact = asyncio.get_running_loop().time()
    with healthcheck_server(port=0, worker=worker) as server:
        assert server is not None
        monkeypatch.setattr(health, "STUCK", 0.05)
        time.sleep(0.1)
        # The loop gets no turn while these are asked for.
        for path in ("/", "/livez", "/readyz"):
            assert ask(server.port, path) == (503, "the event loop has not turned for 0 s\n")


def test_where_no_event_loop_runs_none_is_stuck() -> None:
    with healthcheck_server(port=0) as server:
        assert server is not None
        assert ask(server.port, "/readyz") == (200, "OK")


def test_without_a_port_nothing_is_served() -> None:
    with healthcheck_server() as server:
        assert server is None
