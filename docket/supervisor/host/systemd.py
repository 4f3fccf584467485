"""Notifications to systemd about the supervisor, over the socket that it names (see sd_notify(3))."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping

from typing_extensions import Self

from ...foundation.service import Service


class Notifier(Service):
    """Notifications to systemd; without systemd, none.

    While it runs it feeds the watchdog, twice as often as that needs it: a hanging event loop is noticed.

    Arguments:
        address: the socket; None if there is none. One that begins with ``@`` is in the abstract namespace.
        watchdog: seconds after which silence is the end; None is never.
        status: returns the state of the supervisor in one line.
    """

    def __init__(
        self,
        address: str | None,
        watchdog: float | None = None,
        status: Callable[[], str] = str,
    ) -> None:
        self._address = "\0" + address[1:] if address and address[0] == "@" else address
        self._watchdog = watchdog
        self._status = status

    @classmethod
    def of(cls, environ: Mapping[str, str], status: Callable[[], str]) -> Self:
        """Make the notifier that the environment asks for; a watchdog may be meant for another process."""
        limit = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog = int(limit) / 1_000_000 if limit.isdigit() and is_ours else None
        return cls(environ.get("NOTIFY_SOCKET"), watchdog, status)

    def ready(self) -> None:
        """Everything is up, or a reload is over."""
        self._tell("READY=1", f"STATUS={self._status()}")

    def reloading(self) -> None:
        """Report that a reload begins."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", f"STATUS={self._status()}")

    def stopping(self) -> None:
        """Report that the end begins."""
        self._tell("STOPPING=1", f"STATUS={self._status()}")

    silence = 30.0

    async def run(self) -> None:
        """Feed the watchdog until stopped."""
        pause = 1.0 if self._watchdog is None else min(1.0, self._watchdog / 2)
        while True:
            self.turn()
            alive = () if self._watchdog is None else ("WATCHDOG=1",)
            self._tell(*alive, f"STATUS={self._status()}")
            await asyncio.sleep(pause)

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            # systemd may be busy with others: what it has no room for is sent again in a second.
            line.setblocking(False)
            try:
                line.connect(self._address)
                line.sendall("\n".join(lines).encode())
            except OSError:
                # No one listens there: what systemd does not hear must not be the end of the fleet.
                return
