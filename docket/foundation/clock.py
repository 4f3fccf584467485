"""The server's time, as seen from here."""

from __future__ import annotations

import time


class ServerClock:
    """An estimate of the server's time between its answers; only differences of the own clock are used."""

    def __init__(self) -> None:
        self._server = time.time() * 1000
        self._monotonic = time.monotonic()
        self.skew = 0.0
        """Seconds by which the own clock is ahead of the server's, give or take the way of its answer."""

    def set(self, milliseconds: int) -> None:
        """Take the time that the server has just reported."""
        self._server = milliseconds
        self.skew = time.time() - milliseconds / 1000
        self._monotonic = time.monotonic()

    def now(self) -> int:
        """Return the server's time in ms."""
        return int(self._server + (time.monotonic() - self._monotonic) * 1000)
