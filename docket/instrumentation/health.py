"""What a process says about itself to those who ask over HTTP: alive, ready, counted."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Protocol

from .pages import Answer, HealthServer

LOOPBACK = "127.0.0.1"
"""Where servers listen unless told otherwise: what they tell is not everybody's business."""

STUCK = 10.0
"""Seconds without a turn of the event loop after which that is told."""

SILENT = 8.0
"""Seconds without Redis after which that is told, whatever it is that keeps it."""

_BEAT = 1.0


class Vital(Protocol):
    """A worker, as its health shows it."""

    @property
    def last_contact(self) -> float | None:
        """When the server last answered, on the clock of the event loop."""
        ...

    @property
    def outage(self) -> str:
        """Why the server does not do what it is asked for; empty if it does."""
        ...

    def stuck(self) -> list[str]:
        """Return which background loops no longer do their work."""
        ...


class Pulse:
    """Whether a lone worker lives and can claim work; asked from the thread that serves HTTP.

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

    def livez(self) -> Answer:
        """Whether the event loop turns."""
        silent = time.monotonic() - self._turned
        if silent > STUCK:
            return _unavailable(f"the event loop has not turned for {silent:.0f} s")
        if self._worker is not None and (stuck := self._worker.stuck()):
            return _unavailable("; ".join(stuck))
        return Answer(HTTPStatus.OK, "OK")

    def readyz(self) -> Answer:
        """Whether work can be claimed: the event loop turns, and Redis answers."""
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

    Enter it where the event loop runs, so that a stuck one is told of.

    Arguments:
        host: where to listen; loopback, unless told otherwise.
        port: the port; 0 takes a free one, None does nothing at all.
        worker: whose readiness is told.

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


def _unavailable(reason: str) -> Answer:
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")
