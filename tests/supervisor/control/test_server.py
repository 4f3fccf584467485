"""The control socket: only its user speaks there, and whatever is said, the supervisor goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from docket.errors import OperatorError
from docket.supervisor.control import client
from docket.supervisor.control import server as listening
from docket.supervisor.control.client import (
    NobodyAnswers,
    NotGranted,
    NotInTime,
    NotUnderstood,
    ask,
    place_of,
    socket_of,
    stranger_at,
)
from docket.supervisor.control.server import LARGEST, Control, NoPlace


class Answers:
    """What can be asked for here."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    @property
    def words(self) -> dict[str, Any]:
        """By word."""
        return {"echo": self.echo, "hold": self.hold, "refuse": self.refuse, "break": self.break_}

    async def echo(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer with what was said."""
        return {"heard": request.get("heard")}

    async def hold(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer when it is released."""
        self.asked.set()
        await self.released.wait()
        return {"heard": "released"}

    async def refuse(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do not do it."""
        raise OperatorError("not now")

    async def break_(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fail over it."""
        raise ZeroDivisionError("a mistake of ours")


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def place(short_path: Path) -> Path:
    return short_path / "run" / "c.sock"


@pytest.fixture
async def control(place: Path, answers: Answers) -> AsyncIterator[Control]:
    control = Control(place, answers.words)
    await control.start()
    yield control
    await control.stop()


async def asked(place: Path, word: str, seconds: float = 60.0, **fields: Any) -> dict[str, Any]:
    """Ask as a command does, from a thread of its own."""
    return await asyncio.to_thread(ask, place, word, seconds, **fields)


async def spoken(place: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Say these bytes, and read answers until the other side hangs up or all are answered."""
    reader, writer = await asyncio.open_unix_connection(socket_of(place))
    writer.writelines(lines)
    writer.write_eof()
    answers = [json.loads(line) async for line in reader]
    writer.close()
    return answers


def kinds(answers: list[dict[str, Any]]) -> list[str]:
    """What each answer is: fine, or its kind of error."""
    return [answer.get("error", {"kind": "fine"})["kind"] for answer in answers]


@pytest.mark.usefixtures("control")
async def test_what_is_asked_is_answered(place: Path) -> None:
    assert await asked(place, "echo", heard="é\n") == {"heard": "é\n"}


@pytest.mark.usefixtures("control")
async def test_several_requests_on_one_connection_are_answered_in_their_order(place: Path) -> None:
    lines = [b'{"version": 1, "ask": "echo", "heard": %d}\n' % number for number in range(5)]
    answers = await spoken(place, *lines)
    assert [answer["answer"]["heard"] for answer in answers] == [0, 1, 2, 3, 4]
    assert {answer["version"] for answer in answers} == {1}


@pytest.mark.usefixtures("control")
async def test_only_its_user_may_speak_there(place: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


async def test_nothing_is_left_of_it_when_it_stops(place: Path, control: Control) -> None:
    await control.stop()
    assert list(place.parent.iterdir()) == []
    with pytest.raises(NobodyAnswers, match=r"no supervisor listens at .* docket-supervisor"):
        await asked(place, "echo")
    await control.stop()


async def test_a_socket_that_somebody_else_has_taken_is_left_to_them(
    place: Path, control: Control, answers: Answers
) -> None:
    place.unlink()
    other = Control(place, answers.words)
    await other.start()
    await control.stop()
    assert await asked(place, "echo", heard=1) == {"heard": 1}
    await other.stop()


@pytest.mark.usefixtures("control")
async def test_a_second_supervisor_is_told_that_another_one_listens(
    place: Path, answers: Answers
) -> None:
    second = Control(place, answers.words)
    with pytest.raises(OperatorError, match="another supervisor listens on"):
        await second.start()
    await second.stop()
    assert await asked(place, "echo", heard=1) == {"heard": 1}


async def test_a_supervisor_that_hangs_counts_as_one_that_listens(
    place: Path, answers: Answers
) -> None:
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as hanging, contextlib.ExitStack() as queue:
        hanging.bind(os.fspath(place))
        hanging.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = queue.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(os.fspath(place))
        with pytest.raises(OperatorError, match="another supervisor listens on"):
            await Control(place, answers.words).start()


async def test_the_socket_of_a_dead_supervisor_is_replaced(place: Path, answers: Answers) -> None:
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(place))
    control = Control(place, answers.words)
    await control.start()
    assert await asked(place, "echo", heard=1) == {"heard": 1}
    await control.stop()


async def test_what_is_no_socket_is_not_touched(place: Path, answers: Answers) -> None:
    place.parent.mkdir()
    place.write_text("precious")
    with pytest.raises(OperatorError, match="is there and is not a socket; move it,"):
        await Control(place, answers.words).start()
    assert place.read_text() == "precious"


@pytest.fixture
def runtime(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files of this user are."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    return short_path


async def test_where_nothing_may_be_written_it_is_elsewhere(
    tmp_path: Path, runtime: Path, answers: Answers
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "c.sock"  # not even root can write there
    control = Control(place, answers.words)
    await control.start()
    assert socket_of(place).parent.parent == runtime
    assert await asked(place, "echo", heard=1) == {"heard": 1}
    with pytest.raises(OperatorError, match="another supervisor listens on"):
        await Control(place, answers.words).start()
    await control.stop()
    with pytest.raises(NobodyAnswers):
        await asked(place, "echo")


async def test_where_it_can_not_be_anywhere_that_is_told(
    tmp_path: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(NoPlace, match=r"cannot listen on .*/file/c.sock: File exists; set"):
        await Control(tmp_path / "file" / "c.sock", answers.words).start()


async def test_what_may_not_be_connected_to_is_told(place: Path, answers: Answers) -> None:
    place.parent.mkdir()
    place.symlink_to(place)
    with pytest.raises(OperatorError, match="is there and is not a socket"):
        await Control(place, answers.words).start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(os.fspath(place.with_name("d.sock")))
        with pytest.raises(OperatorError, match=r"cannot be used: Protocol wrong type"):
            await Control(place.with_name("d.sock"), answers.words).start()


@pytest.mark.usefixtures("control")
async def test_requests_without_a_meaning_are_told_what_was_expected(place: Path) -> None:
    answers = await spoken(
        place,
        b"hello\n",
        b"[1]\n",
        b'{"version": 1}\n',
        b'{"version": 2, "ask": "echo"}\n',
        b'{"version": 1, "ask": "stop"}\n',
        b"[" * 50_000 + b"\n",
        b"\xff\xfe\n",
        b'{"version": 1, "ask": "echo"}\n',
    )
    assert kinds(answers) == ["misunderstood"] * 7 + ["fine"]
    messages = [answer["error"]["message"] for answer in answers[:5]]
    assert messages[1] == messages[2]
    assert messages[1].startswith("expected a JSON object such as")
    assert "expected version 1, found 2" in messages[3]
    assert messages[4] == "there is no 'stop'; there is break, echo, hold, refuse"


@pytest.mark.usefixtures("control")
async def test_a_command_hears_why_it_is_refused_not_understood_or_failed(place: Path) -> None:
    with pytest.raises(NotGranted, match=r"^not now$"):
        await asked(place, "refuse")
    with pytest.raises(NotGranted, match="ZeroDivisionError: a mistake of ours"):
        await asked(place, "break")
    with pytest.raises(NotUnderstood, match="there is no 'sing'"):
        await asked(place, "sing")


@pytest.mark.usefixtures("control")
async def test_a_request_that_is_too_long_ends_the_connection(place: Path) -> None:
    assert kinds(await spoken(place, b"x" * (16 * LARGEST))) == ["misunderstood"]
    assert await asked(place, "echo", heard=1) == {"heard": 1}


@pytest.mark.usefixtures("control")
async def test_a_command_that_waits_no_longer_does_not_end_what_it_asked_for(
    place: Path, answers: Answers
) -> None:
    with pytest.raises(NotInTime, match=r"has not answered within 0.05 s; it may still do"):
        await asked(place, "hold", 0.05)
    await asyncio.wait_for(answers.asked.wait(), 60)
    answers.released.set()
    assert await asked(place, "echo", heard=1) == {"heard": 1}


async def test_a_command_that_waits_is_told_when_the_supervisor_goes(
    place: Path, control: Control, answers: Answers
) -> None:
    waiting = asyncio.create_task(asked(place, "hold"))
    await asyncio.wait_for(answers.asked.wait(), 60)
    await control.stop()
    with pytest.raises(NobodyAnswers, match="has hung up without an answer"):
        await waiting


async def test_who_says_nothing_or_does_not_listen_is_hung_up_on(
    place: Path, answers: Answers
) -> None:
    control = Control(place, answers.words, patience=0.1)
    await control.start()
    silent, speaker = await asyncio.open_unix_connection(place)
    _, chatter = await asyncio.open_unix_connection(place)
    request = b'{"version": 1, "ask": "echo", "heard": "%s"}\n' % (b"x" * 60_000)
    with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
        for _ in range(200):
            chatter.write(request)
            await asyncio.wait_for(chatter.drain(), 60)
    assert await asyncio.wait_for(silent.read(), 60) == b""
    control._patience = 60
    assert await asked(place, "echo", heard=1) == {"heard": 1}
    for writer in (speaker, chatter):
        writer.close()
    await control.stop()


@pytest.mark.usefixtures("control")
async def test_more_than_it_can_hear_at_a_time_are_told_so(
    place: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST", 1)
    first = asyncio.create_task(asked(place, "hold"))
    await asyncio.wait_for(answers.asked.wait(), 60)
    with pytest.raises(NotGranted, match="1 clients are connected already"):
        await asked(place, "echo")
    answers.released.set()
    assert await first == {"heard": "released"}


@pytest.mark.usefixtures("control")
async def test_it_outlives_whatever_is_said(place: Path) -> None:
    dice = random.Random(17)
    good = b'{"version": 1, "ask": "echo", "heard": [1, {"a": "b"}]}\n'
    for _ in range(100):
        said = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            said[dice.randrange(len(said))] = dice.randrange(256)
        reader, writer = await asyncio.open_unix_connection(place)
        writer.write(said)
        if dice.random() < 0.5:
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert await asked(place, "echo", heard=1) == {"heard": 1}


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for that of a socket, whatever the tests run in."""
    with tempfile.TemporaryDirectory(prefix="docket-") as directory:
        yield Path(directory)


async def test_a_path_too_long_for_a_socket_leads_to_one_elsewhere(
    tmp_path: Path, runtime: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("deep" * 30) / "c.sock"
    for _ in range(2):
        control = Control(place, answers.words)
        await control.start()
        assert Path(place.read_text()).parent.parent == runtime
        with monkeypatch.context() as elsewhere:
            elsewhere.delenv("XDG_RUNTIME_DIR")
            assert await asked(place, "echo", heard=1) == {"heard": 1}
        written = place.read_text()
        await control.stop()
        assert not place.exists()
        with pytest.raises(NobodyAnswers):
            await asked(place, "echo")
        place.write_text(written)  # as one leaves it that was killed

    socket_of(place).parent.chmod(0o755)
    with pytest.raises(NoPlace, match="AF_UNIX path too long"):
        await Control(place, answers.words).start()


def test_it_is_beside_the_file_unless_the_path_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "docket.toml"
    assert place_of(".docket/control.sock", file) == tmp_path / ".docket" / "control.sock"
    assert place_of("/run/docket.sock", file) == Path("/run/docket.sock")
    monkeypatch.setenv("HOME", "/home/jane")
    assert place_of("~/docket.sock", file) == Path("/home/jane/docket.sock")


async def test_a_socket_of_another_user_is_neither_asked_nor_minded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tempfile.TemporaryDirectory()
    monkeypatch.setenv("XDG_RUNTIME_DIR", short.name)
    place = tmp_path / ("x" * 90) / "control.sock"
    place.parent.mkdir()
    theirs = Control(place, Answers().words)
    await theirs.start()
    found = socket_of(place)
    owner = found.lstat().st_uid
    if owner == 0:
        os.chown(found, 12345, 12345)
        os.chown(found.parent, 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)

    def elsewhere(_: Path) -> Path:
        return found

    monkeypatch.setattr(client, "elsewhere", elsewhere)

    with pytest.raises(NotGranted, match="belongs to another user"):
        ask(place, "echo")
    with pytest.raises(NoPlace):
        await Control(place, Answers().words).start()
    await theirs.stop()
    short.cleanup()


def test_root_asks_what_is_where_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "control.sock"
    monkeypatch.setattr(os, "getuid", lambda: 0)

    assert stranger_at(place, place) is None


def test_a_socket_that_is_not_there_is_nobodys(tmp_path: Path) -> None:
    assert stranger_at(tmp_path / "no" / "socket", tmp_path / "other") is None
