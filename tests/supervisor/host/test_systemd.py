"""What systemd is told."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket.supervisor.host.systemd import Notifier

from ..inside import Home, Log, up


class Systemd:
    """The socket that systemd names, and what came there."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind("\0" + address[1:] if address[0] == "@" else address)
        self._line.settimeout(60)

    def hear(self) -> list[str]:
        """The next message."""
        return self._line.recv(4096).decode().splitlines()

    async def hear_until(self, word: str) -> list[str]:
        """The next message with a word in it, while the event loop turns."""
        while True:
            lines = await asyncio.to_thread(self.hear)
            if any(line.startswith(word) for line in lines):
                return lines

    def close(self) -> None:
        self._line.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest) -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory(prefix="docket-") as directory:
        place = str(Path(directory) / "notify")
        systemd = Systemd(place if request.param == "path" else f"@{place}")
        yield systemd
        systemd.close()


def test_it_is_told_what_happens(systemd: Systemd) -> None:
    notifier = Notifier(systemd.address, status=lambda: "fine")

    notifier.ready()
    notifier.reloading()
    notifier.stopping()

    assert systemd.hear() == ["READY=1", "STATUS=fine"]
    reloading = systemd.hear()
    assert (reloading[0], reloading[2]) == ("RELOADING=1", "STATUS=fine")
    assert reloading[1].removeprefix("MONOTONIC_USEC=").isdigit()
    assert systemd.hear() == ["STOPPING=1", "STATUS=fine"]


async def test_the_watchdog_is_fed_while_the_event_loop_turns(systemd: Systemd) -> None:
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "20000"}
    notifier = Notifier.of(environ, lambda: "fine")
    await notifier.start()
    heard = [await asyncio.to_thread(systemd.hear) for _ in range(3)]
    await notifier.stop()

    assert heard == [["WATCHDOG=1", "STATUS=fine"]] * 3


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "no"}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}]
)
async def test_a_watchdog_of_others_is_not_fed(systemd: Systemd, environ: dict[str, str]) -> None:
    notifier = Notifier.of({**environ, "NOTIFY_SOCKET": systemd.address}, lambda: "fine")
    await notifier.start()
    heard = await asyncio.to_thread(systemd.hear)
    await notifier.stop()

    assert heard == ["STATUS=fine"]


def test_its_own_number_is_known(systemd: Systemd) -> None:
    environ = {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}

    assert Notifier.of(environ, str)._watchdog == 0.02


def test_where_there_is_no_systemd_nobody_is_told(tmp_path: Path) -> None:
    Notifier(None).ready()
    Notifier(str(tmp_path / "nobody")).ready()


@pytest.mark.fleet
async def test_a_supervisor_tells_how_it_fares(
    systemd: Systemd, home: Home, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with up(home, {"NOTIFY_SOCKET": systemd.address}):
        ready = await systemd.hear_until("READY")
        home.edit('drain = "1s"', 'drain = "2s"')
        await log.until("applied as revision 2")
        assert (await systemd.hear_until("RELOADING"))[0] == "RELOADING=1"
        again = await systemd.hear_until("READY")

    assert ready[1] == "STATUS=revision 1, 1 of 1 worker processes ready"
    assert again[1] == "STATUS=revision 2, 1 of 1 worker processes ready"
    assert (await systemd.hear_until("STOPPING"))[0] == "STOPPING=1"
