"""The command line as people type it, beside a server of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import pty
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner, Result

from docket import Docket, Worker
from docket.cli import app
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess

PROGRAM = Path(__file__).with_name("program")
T = TypeVar("T")


class Shell:
    """A terminal in the directory of an application, whose docket is a fresh one.

    Arguments:
        url: the server.
        name: the docket.
    """

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name

    def type(self, *words: str) -> Result:
        """Run ``docket`` in this process."""
        return CliRunner().invoke(app, words, prog_name="docket")

    def prints(self, *words: str) -> str:
        """What ``docket`` answers, and it ends well."""
        result = self.type(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def program(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the real program to its end."""
        with self.start(*words, **environ) as process:
            stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Start the real program."""
        return subprocess.Popen(
            [sys.executable, "-m", "docket", *words],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def on_terminal(self, *words: str, typed: str = "", **environ: str) -> tuple[int, str]:
        """Run the real program on a terminal; tells its exit code and what stood there."""
        return self._on_terminal(words, typed, environ, "", lambda: None)

    def on_terminal_until(self, text: str, act: Callable[[], None], *words: str) -> tuple[int, str]:
        """The same, and do something when a text stands there."""
        return self._on_terminal(words, "", {}, text, act)

    def _on_terminal(
        self,
        words: Sequence[str],
        typed: str,
        environ: Mapping[str, str],
        awaited: str,
        act: Callable[[], None],
    ) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        os.write(ours, typed.encode())
        with subprocess.Popen(
            [sys.executable, "-m", "docket", *words],
            env={**os.environ, **environ},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = b""
            while read := _read(ours):
                shown += read
                if awaited and awaited.encode() in shown:
                    awaited = ""
                    act()
        os.close(ours)
        return process.returncode, shown.decode()

    def visit(self, work: Callable[[Docket], Awaitable[T]]) -> T:
        """Do something in the docket, as a program would."""

        async def visiting() -> T:
            async with Docket(self.name, self.url) as docket:
                docket.register_collection("shop:tasks")
                return await work(docket)

        return asyncio.run(visiting())

    def work(self) -> None:
        """Run what is there to its end."""

        async def working(docket: Docket) -> None:
            async with Worker(docket) as worker:
                await worker.run_until_finished()

        self.visit(working)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError as error:
        # Linux tells so that the other side has been closed.
        assert error.errno == errno.EIO
        return b""


@pytest.fixture(scope="session")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server of all these tests."""
    with ServerProcess(valkey_9(), tmp_path_factory.mktemp("cli"), "--appendonly", "yes") as server:
        yield server


@pytest.fixture
def shell(own_valkey: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A terminal where the environment says which docket is meant."""
    shell = Shell(own_valkey.url, f"cli-{uuid.uuid4().hex[:8]}")
    for name in [name for name in os.environ if name.startswith("DOCKET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKET_URL", shell.url)
    monkeypatch.setenv("DOCKET_NAME", shell.name)
    monkeypatch.chdir(PROGRAM)
    monkeypatch.syspath_prepend(str(PROGRAM))
    return shell
