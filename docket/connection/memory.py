"""A private, throw-away server for tests: real Lua, real waiting, real pub/sub, no traces.

One per name and process. It is the same binary as the embedded one, in a temporary directory and without
persistence, and it ends with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from ..errors import ServerUnavailable
from .embedded import LONGEST_SOCKET, EmbeddedServer, find_binary
from .standalone import Standalone, Target

START_TIMEOUT = 10.0

_GUARD = """
import os, subprocess, sys
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
sys.stdin.read()
server.kill()
server.wait()
import shutil
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""Waits for the end of its standard input, which comes when the process that holds the other end is gone,
in any way; then ends the server and removes its directory. Works on every POSIX system."""


class MemoryServer:
    """The server behind one name in this process."""

    _all: ClassVar[dict[str, MemoryServer]] = {}
    _started: ClassVar[list[MemoryServer]] = []
    """All of them, also those that did not come up."""
    _lock = threading.Lock()

    def __init__(self) -> None:
        binary = find_binary()
        self.directory = _short_directory()
        self.socket = self.directory / "server.sock"
        self._pid = os.getpid()
        self._guard = subprocess.Popen(  # noqa: S603 - both programs are ours
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                _GUARD,
                str(self.directory),
                binary,
                *self._settings(),
            ],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._started.append(self)
        self._until_it_answers()

    @classmethod
    def named(cls, name: str) -> MemoryServer:
        """Return the server of this name, started if it does not run."""
        with cls._lock:
            server = cls._all.get(name)
            if server is None or not server.is_ours:
                server = cls._all[name] = cls()
            return server

    @classmethod
    def stop_all(cls) -> None:
        """End all of this process."""
        for server in cls._started:
            server.stop()

    @classmethod
    def forget_lock(cls) -> None:
        """Take a lock that is free: a fork inherits it without the thread that would release it."""
        cls._lock = threading.Lock()

    @property
    def is_ours(self) -> bool:
        """True if it runs, and for this process: a forked child must not share its parent's."""
        return self._pid == os.getpid() and self._guard.poll() is None

    def stop(self) -> None:
        """End it and remove what it has left."""
        if self._pid == os.getpid() and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _settings(self) -> list[str]:
        return [
            "--port", "0",
            "--unixsocket", str(self.socket),
            "--unixsocketperm", "600",
            "--dir", str(self.directory),
            "--appendonly", "no",
            "--save", "",
        ]  # fmt: skip

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        server = EmbeddedServer(self.directory)
        while not server.status().is_running:
            if time.monotonic() > deadline or self._guard.poll() is not None:
                raise ServerUnavailable("the in-memory server does not come up")
            time.sleep(0.003)


# Now, so that it runs behind the functions of those who use a server: the last registered comes first.
atexit.register(MemoryServer.stop_all)
os.register_at_fork(after_in_child=MemoryServer.forget_lock)


def _short_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="docket-memory-"))
    if len(os.fsencode(directory / "server.sock")) <= LONGEST_SOCKET:
        return directory
    directory.rmdir()
    return Path(tempfile.mkdtemp(prefix="docket-memory-", dir="/tmp"))


class Memory(Standalone):
    """The in-memory server of a name, alive until the process ends.

    Arguments:
        url: for messages.
        name: programs of one process that use the same name share the server.
        size: how many connections are used at a time.
    """

    is_throwaway = True

    def __init__(self, url: str, name: str, size: int) -> None:
        super().__init__(url, Target(), size)
        self._name = name

    @override
    def locate(self) -> Target:
        return Target(path=str(MemoryServer.named(self._name).socket))
