"""Server processes that tests start, kill, pause and restart."""

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
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from . import binaries

__all__ = ["ServerProcess", "binary", "free_port", "until"]

START_TIMEOUT = 20.0


def binary(name: str) -> str:
    """The path of a server binary by name and version, such as ``redis-6.2``."""
    found = {
        "redis-6.2": binaries.redis_6,
        "redis-8.2": binaries.redis_8,
        "valkey-8.1": binaries.valkey_8,
        "valkey-9.1": binaries.valkey_9,
    }
    return str(found[name]())


def free_port() -> int:
    """A port that is free, and whose cluster bus (port + 10000) is, too."""
    while True:
        port = random.randint(20000, 32000)
        if _is_free(port) and _is_free(port + 10000):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def until(condition: Callable[[], bool], what: str, seconds: float = START_TIMEOUT) -> None:
    """Wait for something that nobody signals."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


class ServerProcess:
    """One server on a port of its own.

    Arguments:
        program: the binary.
        directory: where its data and its log are; made if it is not there.
        durable: keep everything in an append-only file, synced before each answer.
        options: further words of its command line.
    """

    def __init__(
        self,
        program: str,
        directory: Path,
        *,
        durable: bool = False,
        options: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.program = program
        self.directory = directory
        self.port = port or free_port()
        self._durable = durable
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A plain client."""
        return redis.Redis(port=self.port, socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        """Start it and wait until it answers and has loaded what it kept."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, *self._words()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        until(self.answers, f"{self.program} on port {self.port} answering")

    def answers(self) -> bool:
        """Whether it answers and is not loading."""
        with contextlib.closing(self.client()) as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
            except (redis.RedisError, OSError):
                return False

    def stop(self) -> None:
        """End it; whatever it has kept stays."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self._process.terminate()
            self._process.wait(10)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def restart(self) -> None:
        """Start it again after it was killed or stopped, on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _words(self) -> list[str]:
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else []
        return ["--port", str(self.port), "--save", "", *durable, *self._options]


def _die_with_parent() -> None:
    """An interrupted test run must not leak servers."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.setsid()
