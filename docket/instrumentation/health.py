"""What a process says about itself to those who ask over HTTP: alive, ready, counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One page."""

    status: HTTPStatus
    body: str
    content_type: str = "text/plain; charset=utf-8"


class HealthServer:
    """Answers on a thread of its own, so that a stuck event loop is told of instead of timing out.

    Arguments:
        host, port: where to listen; port 0 takes a free one.
        pages: what to answer, by path.
    """

    def __init__(self, host: str, port: int, pages: dict[str, Callable[[], Answer]]) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(pages))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="docket-health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.server_port

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(pages: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                known = ", ".join(sorted(pages))
                answer = Answer(HTTPStatus.NOT_FOUND, f"nothing here; there is {known}\n")
            else:
                answer = page()
            body = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - given by the base
            """Say nothing: probes come every second."""

    return Handler
