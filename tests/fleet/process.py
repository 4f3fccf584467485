"""One server process that tests may kill, pause and start again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from typing_extensions import Self

PATIENCE = 60.0
"""Seconds that a server gets for whatever it is asked to do."""

LARGEST_PORT = 32767 - 10000
"""A cluster's bus listens at port + 10000; above 32768 the system gives ports to clients."""

LANES = 16
"""Processes that run tests next to each other each have ports of their own: one looks whether a port is
free some time before its server takes it."""

_given: set[int] = set()
_lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % LANES


def free_port() -> int:
    """A port that is free, and whose bus port is free, and that was not given before."""
    while True:
        port = random.randrange(10000 + _lane, LARGEST_PORT, LANES)
        if port not in _given and _is_free(port) and _is_free(port + 10000):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a state that no server signals."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE:.0f} s"
        time.sleep(0.005)


class ServerProcess:
    """A server on a port of its own.

    Arguments:
        binary: what to run.
        directory: where it keeps its files; made if need be.
        settings: further arguments for it.
        password: of the default user, if it has one.
        sentinel: run as a Sentinel of this configuration file.

    Example:
        >>> with ServerProcess(valkey_9(), tmp_path, "--appendonly", "yes") as server:
        ...     server.kill()
        ...     server.start()
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        *settings: str,
        password: str | None = None,
        sentinel: Path | None = None,
        port: int | None = None,
    ) -> None:
        self.binary = binary
        self.directory = directory
        self.port = port or free_port()
        self._settings = settings
        self._password = password
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        credentials = f":{self._password}@" if self._password else ""
        return f"redis://{credentials}127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> Self:
        """Run it, and return when it answers."""
        assert self._process is None, "it runs"
        self.launch()
        self.until_ready()
        return self

    def launch(self) -> None:
        """Run it without waiting."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
            )

    def until_ready(self) -> None:
        """Return when it answers and has loaded what it kept."""
        until(self._answers, f"the start of {self.binary} ({self.directory / 'server.log'})")

    def kill(self) -> None:
        """SIGKILL: no farewell, no last write. Safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> Self:
        """Kill it and start it again on the same port and files."""
        self.kill()
        return self.start()

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def call(self, *command: str | int | bytes) -> Any:
        """Run one command, outside of everything that is tested."""
        with self.client() as client:
            return cast(Any, client).execute_command(*command)

    @contextlib.contextmanager
    def client(self) -> Generator[redis.Redis]:
        """A blocking client."""
        client = redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self._password,
            protocol=2,
            socket_timeout=20,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield client
        finally:
            client.close()

    def _command(self) -> list[str]:
        if self._sentinel is not None:
            return [str(self.binary), str(self._sentinel), "--sentinel"]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        secret = ["--requirepass", self._password] if self._password else []
        return [str(self.binary), *place, "--save", "", *secret, *self._settings]

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "server.log").read_text()
        try:
            return bool(self.call("PING"))
        except (RedisError, OSError):
            return False


_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """An interrupted run leaves no server behind, where the system knows how."""
    if sys.platform == "linux":
        _libc.prctl(1, signal.SIGKILL)
