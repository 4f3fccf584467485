"""A supervisor that is shared by the tests of a module, and commands that are typed beside it."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from docket.cli import app
from tests.supervisor.conftest import Supervised

SCHEDULED = '[schedules.nightly]\ntask = "note"\nargs = [1]\ncron = "30 2 * * *"\n'


def typed(*words: str) -> Result:
    """What becomes of ``docket`` with these words, in this process."""
    return CliRunner().invoke(app, words, prog_name="docket")


class Desk:
    """A terminal in the directory of a supervisor, which notices no edit by itself."""

    def __init__(self, supervised: Supervised) -> None:
        self.supervised = supervised
        self.file = supervised.file
        self.text = self.file.read_text()

    def type(self, *words: str) -> Result:
        """Run ``docket`` in this process."""
        return typed(*words)

    def prints(self, *words: str) -> str:
        """What ``docket`` answers, and it ends well."""
        result = self.type(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def write(self, old: str, new: str) -> None:
        """Have the file say something else than it has said at first."""
        assert old in self.text
        self.file.write_text(self.text.replace(old, new))

    def restore(self) -> None:
        """Have everything be as it was at first."""
        self.file.write_text(self.text)
        self.prints("reload", "--wait", "--config", str(self.file), "--allow-removals")


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """The supervisor of all tests of a module."""
    supervised = Supervised(tmp_path_factory.mktemp("desk"))
    supervised.edit(('settle = "100ms"', 'watch = "off"'))
    supervised.append(SCHEDULED)
    supervised.start()
    yield supervised
    supervised.clean_up()


@pytest.fixture
def desk(supervised: Supervised, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A terminal beside it."""
    monkeypatch.chdir(supervised.directory)
    desk = Desk(supervised)
    yield desk
    desk.restore()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without anything."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def speaking(path: Path, **said: object) -> Generator[None, None, None]:
    """A supervisor that answers one request in the working directory, whatever it is, with these words."""

    def speak() -> None:
        talk, _ = line.accept()
        with talk, talk.makefile("rb") as requests:
            requests.readline()
            talk.sendall(json.dumps({"version": 1, **said}).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as line:
        line.bind(path.name)  # here, because the whole path may be too long
        line.listen(1)
        speaker = threading.Thread(target=speak)
        speaker.start()
        yield
        speaker.join(60)


def on_terminal(*words: str, enough: bytes, typed: bytes = b"") -> str:
    """Run the real program on a terminal, and interrupt it when it has shown something twice."""
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-m", "docket", *words], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        while shown.count(enough) < 2:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break  # Linux tells so that the other side has been closed
    os.close(ours)
    return shown.decode()
