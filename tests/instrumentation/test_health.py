"""Pages over HTTP, whatever the event loop does."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus

import pytest

from docket.instrumentation.health import Answer, HealthServer


@contextmanager
def serving(**pages: Callable[[], Answer]) -> Generator[str, None, None]:
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

    with serving(count=lambda: Answer(HTTPStatus.OK, f"{next(counts)} ≥ 0\n")) as url:
        assert get(f"{url}/count") == (200, "text/plain; charset=utf-8", "0 ≥ 0\n")
        assert get(f"{url}/count?verbose=1")[2] == "1 ≥ 0\n"


def test_status_and_kind_are_those_of_the_answer() -> None:
    answer = Answer(HTTPStatus.SERVICE_UNAVAILABLE, "{}", "application/json")

    with serving(page=lambda: answer) as url:
        assert get(f"{url}/page") == (503, "application/json", "{}")


def test_an_unknown_path_tells_what_there_is() -> None:
    answer = Answer(HTTPStatus.OK, "")

    with serving(livez=lambda: answer, metrics=lambda: answer) as url:
        status, _, text = get(f"{url}/")

    assert (status, text) == (404, "nothing here; there is /livez, /metrics\n")


async def test_a_stuck_event_loop_does_not_keep_it_from_answering() -> None:
    # Nothing here gives the loop a turn: were the pages served by it, no answer would come.
    begun = time.monotonic()
    with serving(livez=lambda: Answer(HTTPStatus.OK, "alive\n")) as url:
        assert get(f"{url}/livez")[0] == 200

    assert time.monotonic() - begun < 4


def test_nothing_is_written_for_a_probe(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(livez=lambda: Answer(HTTPStatus.OK, "alive\n")) as url:
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
