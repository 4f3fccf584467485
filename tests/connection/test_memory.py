"""The throw-away server: one per name and process, and gone with the process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket.connection.memory import MemoryServer
from docket.connection.traced import Traced
from docket.connection.url import connect
from docket.errors import ServerMissing, ServerUnavailable
from tests.fleet.process import until

_PROGRAM = """
import asyncio, sys
from docket.connection.memory import MemoryServer
from docket.connection.traced import Traced
from docket.connection.url import connect

async def main():
    async with connect("memory://orders") as connection:
        await connection.send(("SET", "a", "b"))
        print(MemoryServer.named("orders").directory, flush=True)
        {then}

asyncio.run(main())
"""


async def test_connections_of_one_name_share_a_server_and_others_do_not() -> None:
    async with (
        connect("memory://one") as one,
        connect("memory://one") as same,
        connect("memory://two") as other,
        connect("memory://") as nameless,
    ):
        await one.send(("SET", "a", "shared"))

        assert await same.send(("GET", "a")) == [b"shared"]
        assert await other.send(("GET", "a")) == [None]
        assert await nameless.send(("GET", "a")) == [None]


async def test_what_was_written_outlives_a_connection() -> None:
    async with connect("memory://one") as connection:
        await connection.send(("SET", "b", "kept"))
    async with connect("memory://one") as connection:
        assert await connection.send(("GET", "b")) == [b"kept"]


async def test_a_server_that_died_is_replaced_by_an_empty_one() -> None:
    async with connect("memory://dying") as connection:
        await connection.send(("SET", "a", "lost"))
        MemoryServer.named("dying").stop()

        with pytest.raises(ServerUnavailable):
            await connection.send(("GET", "a"))
        assert await connection.send(("GET", "a")) == [None]


def test_a_server_may_be_stopped_twice() -> None:
    server = MemoryServer.named("stopped")
    server.stop()
    server.stop()

    assert not server.directory.exists()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="d-") as directory:
        yield Path(directory)


def test_nothing_is_left_behind_when_the_process_ends(short_path: Path) -> None:
    ended = _run(short_path, "pass")
    directory = Path(ended.communicate(timeout=60)[0].strip())

    assert ended.returncode == 0
    assert directory.parent == short_path
    assert list(short_path.iterdir()) == []


def test_nothing_is_left_behind_when_the_process_is_killed(tmp_path: Path) -> None:
    running = _run(tmp_path, "await asyncio.sleep(60)")
    assert running.stdout is not None
    directory = Path(running.stdout.readline().strip())
    assert (directory / "server.sock").exists()

    running.kill()
    running.communicate()

    until(lambda: not directory.exists(), "the end of the server")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_gets_a_server_of_its_own_and_leaves_its_parents_alone() -> None:
    server = MemoryServer.named("parent")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        server.stop()
        own = MemoryServer.named("parent")
        os.write(writing, str(own.directory).encode())
        own.stop()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        directory = told.read()

    assert directory not in ("", str(server.directory))
    assert server.is_ours
    assert server.directory.exists()


def test_a_long_temporary_directory_is_avoided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    server = MemoryServer.named("long")

    assert server.is_ours
    assert list(long.iterdir()) == []
    server.stop()


def test_nothing_is_left_behind_where_there_is_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKET_SERVER", str(tmp_path / "none"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with pytest.raises(ServerMissing):
        MemoryServer.named("missing")

    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_no_server_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("DOCKET_SERVER", str(program))
    monkeypatch.setattr("docket.connection.memory.START_TIMEOUT", 0.2)

    with pytest.raises(ServerUnavailable, match="does not come up"):
        MemoryServer.named("silent")


def _run(temporary: Path, then: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(then=then)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


async def test_whoever_traces_a_connection_knows_whether_it_has_worked() -> None:
    traced = Traced(connect("memory://traced"))
    assert not traced.has_worked
    async with traced:
        await traced.send(("PING",))
        assert traced.has_worked
