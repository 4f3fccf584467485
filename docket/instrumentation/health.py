"""Health of a process over HTTP: alive, ready, counters."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Protocol

from .pages import HealthServer, Response

LOOPBACK = "127.0.0.1"
"""Address that servers listen at by default: their pages are not for everyone."""

STUCK = 10.0
"""Seconds without a turn of the event loop after which that is reported."""

SILENT = 8.0
"""Seconds without Redis after which that is reported, for any reason."""

_BEAT = 1.0


class Vital(Protocol):
    """A worker, as its health shows it."""

    @property
    def last_contact(self) -> float | None:
        """Time of the last answer of the server, on the clock of the event loop."""
        ...

    @property
    def outage(self) -> str:
        """Reason why the server does not do what it is asked to do; empty if it does."""
        ...

    def stuck(self) -> list[str]:
        """Return which background loops no longer do their work."""
        ...


class Pulse:
    """Health of a lone worker: whether it lives and can claim work; asked from the thread that serves HTTP.

    Arguments:
        worker: the worker; without one only the event loop is looked at.
    """

    def __init__(self, worker: Vital | None = None) -> None:
        self._worker = worker
        self._turned = time.monotonic()
        self._answered: float | None = None
        self._beat: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Beat with the running event loop from now on; where none runs, none can be stuck."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._turned = math.inf
            return
        self._turned = time.monotonic()
        contact = None if self._worker is None else self._worker.last_contact
        if contact is not None:
            # Another thread cannot ask for the time of this loop.
            self._answered = self._turned - (loop.time() - contact)
        self._beat = loop.call_later(_BEAT, self.start)

    def stop(self) -> None:
        """Beat no longer."""
        if self._beat is not None:
            self._beat.cancel()

    def livez(self) -> Response:
        """Report whether the event loop turns."""
        silent = time.monotonic() - self._turned
        if silent > STUCK:
            return _unavailable(f"the event loop has not turned for {silent:.0f} s")
        if self._worker is not None and (stuck := self._worker.stuck()):
            return _unavailable("; ".join(stuck))
        return Response(HTTPStatus.OK, "OK")

    def readyz(self) -> Response:
        """Report whether work can be claimed: the event loop turns, and Redis answers."""
        alive = self.livez()
        if alive.status is not HTTPStatus.OK or self._worker is None:
            return alive
        if self._answered is None:
            return _unavailable("the worker has not reached Redis yet")
        if outage := self._worker.outage:
            return _unavailable(outage)
        silent = time.monotonic() - self._answered
        if silent > SILENT:
            return _unavailable(f"Redis has not answered for {silent:.0f} s")
        return alive


@contextmanager
def healthcheck_server(
    host: str = LOOPBACK, port: int | None = None, worker: Vital | None = None
) -> Generator[HealthServer | None, None, None]:
    """Answer probes for the length of a block: ``/livez``, ``/readyz``, and ``/`` as ``/livez``.

    Enter it where the event loop runs, so that a stuck one is reported.

    Arguments:
        host: the address to listen at; loopback by default.
        port: the port; 0 takes a free one, None does nothing at all.
        worker: the worker whose readiness is reported.

    Raises:
        OSError: the port is taken.

    Example:
        >>> async with Worker(docket) as worker:
        ...     with healthcheck_server(port=8080, worker=worker):
        ...         await worker.run_forever()
    """
    if port is None:
        yield None
        return
    pulse = Pulse(worker)
    pages = {"/": pulse.livez, "/livez": pulse.livez, "/readyz": pulse.readyz}
    server = HealthServer(host, port, pages)
    pulse.start()
    server.start()
    try:
        yield server
    finally:
        server.stop()
        pulse.stop()


def _unavailable(reason: str) -> Response:
    return Response(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")
