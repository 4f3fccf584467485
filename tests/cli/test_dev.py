"""``docket dev``: from nothing to a task that runs, and new code as soon as it is saved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket.cli.commands.dev import CODE
from docket.config.describing.starter import STARTER
from docket.connection.embedded import EmbeddedServer
from docket.discovery.fingerprint import is_ours
from tests.cli.conftest import Shell
from tests.cli.supervised import typed
from tests.supervisor.conftest import until

pytestmark = pytest.mark.fleet


class Bench:
    """A directory, and ``docket dev`` in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "docket.toml"
        self.code = directory / "tasks.py"
        self._log = directory / "log"
        self._log.touch()
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        """Start it, and wait until it is up."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "docket", "dev", *words],
                cwd=self.directory,
                env={**os.environ, "DOCKET_SUPERVISOR__LISTEN": "127.0.0.1:0"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.until_logged("is up at")

    def until_logged(self, words: str) -> None:
        """Wait for words, after those that were waited for before."""
        found = -1

        def is_there() -> bool:
            nonlocal found
            found = self._log.read_text().find(words, self._read)
            return found >= 0

        try:
            until(is_there, f"{words!r} in the log")
        except AssertionError:
            print(self._log.read_text())
            raise
        self._read = found + len(words)

    def stop(self) -> int | None:
        """Have it be interrupted as from a terminal; tells its exit code."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGINT)
        code, self._process = self._process.wait(60), None
        return code


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.stop()
    EmbeddedServer(tmp_path / ".docket").stop()


def test_it_begins_with_nothing_and_follows_the_code(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start("--init")
    assert bench.file.read_text() == STARTER
    monkeypatch.chdir(bench.directory)
    assert typed("task", "add", "hello", "name=Jane").exit_code == 0
    bench.until_logged("Hello, Jane!")

    bench.code.write_text(CODE.replace("Hello", "Welcome"))
    bench.until_logged("Code has changed: tasks.py")
    bench.until_logged("The code as it is now runs")
    assert typed("task", "add", "hello", "name=John").exit_code == 0
    bench.until_logged("Welcome, John!")

    bench.code.write_text("def hello(:\n")
    bench.until_logged("The code does not fit, what runs goes on:")
    assert typed("task", "add", "hello", "name=Jill").exit_code == 0
    bench.until_logged("Welcome, Jill!")

    bench.code.write_text(
        CODE + "\n\nimport sys\n\nif 'docket.supervisor.processes.child' in sys.modules:\n"
        "    raise OSError('only a worker has this trouble')\n"
    )
    bench.until_logged("The code cannot be run, what runs goes on: ")
    assert bench.stop() == 0


def test_a_file_is_run_with_a_server_of_its_own_whatever_it_names(bench: Bench) -> None:
    bench.file.write_text(
        'url = "redis://production:6379/0"\n[tasks.hello]\nfunction = "tasks:hello"\n'
    )
    bench.code.write_text(CODE)
    bench.start()
    assert bench.stop() == 0
    assert EmbeddedServer(bench.directory / ".docket").status().is_running


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_file_it_says_what_to_type(empty: Path) -> None:
    result = typed("dev")
    assert result.exit_code == 3
    assert "there is no docket.toml; docket dev --init writes one" in result.stderr
    assert list(empty.iterdir()) == []


def test_on_a_terminal_it_offers_something_to_begin_with(empty: Path) -> None:
    code, shown = Shell("", "").on_terminal("dev", typed="n\n")
    assert code == 3
    assert "There is no docket.toml. Write one to begin with? [y/N]" in shown
    assert list(empty.iterdir()) == []


def test_what_is_there_is_not_replaced(bench: Bench) -> None:
    bench.code.write_text("hello = print\n")
    bench.start("--init", "--url", f"embedded://{bench.directory / '.docket'}")
    assert bench.code.read_text() == "hello = print\n"


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("tasks.py", True),
        ("shop/deep/tasks.py", True),
        (".venv/lib/x.py", False),
        ("venv/lib/x.py", False),
        ("shop/__pycache__/x.py", False),
        (".#tasks.py", False),
    ],
)
def test_only_code_of_the_user_counts(path: str, counts: bool) -> None:
    assert is_ours(path) is counts
