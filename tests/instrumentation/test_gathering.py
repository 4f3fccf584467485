"""Log lines of one turn of the event loop: written together, in their order, and none is lost."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typing_extensions import override

from docket import Docket, Worker
from docket.instrumentation import gathering
from docket.instrumentation.console import set_up_logging, set_up_worker_logging
from docket.instrumentation.logs import WorkerLog

log = logging.getLogger("docket.test")
worker_log = logging.getLogger("docket.worker")
UNTIL = 20.0


def said(line: str) -> str:
    """The message of a line, without what stands before it."""
    return re.split(r"docket\.\w+  ", line, maxsplit=1)[1]


class WithoutPytest(list[logging.Handler]):
    """The handlers of the root logger, as an application has them: pytest adds some for each test."""

    @override
    def append(self, handler: logging.Handler, /) -> None:
        if not type(handler).__module__.startswith("_pytest"):
            super().append(handler)


class Stream(io.StringIO):
    """A standard stream that remembers each write, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.written = threading.Event()

    @override
    def write(self, text: str, /) -> int:
        self.writes.append(text)
        self.written.set()
        return super().write(text)

    @property
    def messages(self) -> list[str]:
        """What the lines say, without time, level and process."""
        return [said(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    """Standard error, while the lines of a worker process are gathered."""
    root = logging.getLogger()
    level, leave = root.level, os._exit
    stream = Stream()
    monkeypatch.setattr(root, "handlers", WithoutPytest())
    monkeypatch.setattr(sys, "stderr", stream)
    set_up_logging("info", "plain", gathers=True)
    yield stream
    if gathering.active is not None:
        gathering.active.close()
    os._exit = leave
    root.setLevel(level)


def run_of(number: int) -> None:
    """Log what a worker logs of a run that does nothing."""
    observer = WorkerLog()
    observer.started("work", lambda: f"work(){{{number}}}", 0.001, 0)
    observer.ended("work", lambda: f"work(){{{number}}}", 0.002, "completed")


async def test_what_is_logged_in_one_turn_is_one_write_in_its_order(stream: Stream) -> None:
    run_of(1)
    log.info("of a task, %d", 1)
    run_of(2)
    assert not stream.writes

    await asyncio.sleep(0)

    assert len(stream.writes) == 1
    assert stream.messages == [
        "↪ [   1ms] work(){1}", "↩ [   2ms] work(){1}", "of a task, 1",
        "↪ [   1ms] work(){2}", "↩ [   2ms] work(){2}",
    ]  # fmt: skip


async def test_a_warning_is_written_at_once_after_what_was_before_it(stream: Stream) -> None:
    run_of(1)
    log.warning("now")

    assert [message.split()[0] for message in stream.messages] == ["↪", "↩", "now"]


async def test_a_thousand_lines_are_as_many_writes_as_a_pipe_takes_at_once(stream: Stream) -> None:
    for number in range(1000, 1500):
        run_of(number)
    assert len(stream.getvalue().splitlines()) == gathering.MOST == 1000

    sizes = {len(line.encode()) + 1 for line in stream.getvalue().splitlines()}
    (size,) = sizes
    per_write = gathering.ATOMIC // size
    assert len(stream.writes) == -(-1000 // per_write)
    assert all(text.endswith("\n") for text in stream.writes)
    assert all(len(text.encode()) <= gathering.ATOMIC for text in stream.writes)


async def test_a_line_that_no_pipe_takes_at_once_is_written_by_itself(stream: Stream) -> None:
    log.info("before")
    log.info("x" * gathering.ATOMIC)
    log.info("behind")
    await asyncio.sleep(0)

    assert [len(text) > gathering.ATOMIC for text in stream.writes] == [False, True, False]


async def test_lines_do_not_wait_for_a_blocked_event_loop(stream: Stream) -> None:
    for number in range(3):
        run_of(number)
        # The turn does not end here.
        assert stream.written.wait(UNTIL)
        stream.written.clear()
        await asyncio.sleep(0)

    assert len(stream.messages) == 6


def test_where_no_event_loop_runs_each_line_is_written_at_once(stream: Stream) -> None:
    log.info("one")
    run_of(1)

    assert len(stream.writes) == 3


async def test_lines_of_threads_are_all_there_and_in_the_order_of_each(stream: Stream) -> None:
    def chat(name: str) -> None:
        for number in range(200):
            log.info("%s %d", name, number)

    chatting = [asyncio.to_thread(chat, name) for name in "abc"]
    everybody = asyncio.gather(*chatting)
    while not everybody.done():
        run_of(1)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert gathering.active is not None
    gathering.active.flush()

    for name in "abc":
        heard = [message for message in stream.messages if message.startswith(name)]
        assert heard == [f"{name} {number}" for number in range(200)]


async def test_a_message_that_cannot_be_made_takes_no_other_with_it(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.info("before")
    log.info("%d", "no number")
    log.info("behind")
    await asyncio.sleep(0)

    assert stream.messages == ["before", "behind"]


async def test_a_stream_that_a_task_has_closed_ends_nothing(stream: Stream) -> None:
    stream.close()

    log.info("heard by nobody")
    await asyncio.sleep(0)


async def test_a_change_of_the_configuration_loses_nothing(stream: Stream) -> None:
    run_of(1)
    set_up_logging("info", "plain")

    assert len(stream.messages) == 2
    assert gathering.active is None


class Collected(logging.Handler):
    """What an application does with records."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.levelname} {record.getMessage()}")


def not_as_it_is(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("↪")


def patched(logger: logging.Logger, record: logging.LogRecord) -> None:
    record.msg = f"patched {record.msg}"
    for handler in logging.getLogger().handlers:
        handler.handle(record)


def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    record.msg = f"made {record.msg}"
    return record


async def test_a_handler_of_an_application_hears_of_every_run(stream: Stream) -> None:
    collected = Collected()
    for logger in (worker_log, logging.getLogger("docket"), logging.getLogger()):
        logger.addHandler(collected)
        run_of(1)
        logger.removeHandler(collected)
        await asyncio.sleep(0)

    assert collected.messages == 3 * ["INFO ↪ [   1ms] work(){1}", "INFO ↩ [   2ms] work(){1}"]
    assert stream.messages == 3 * ["↪ [   1ms] work(){1}", "↩ [   2ms] work(){1}"]


@pytest.mark.parametrize(
    ("of_what", "name", "value", "expected"),
    [
        (worker_log, "filters", [not_as_it_is], ["↩ [   2ms] work(){1}"]),
        (None, "filters", [not_as_it_is], ["↩ [   2ms] work(){1}"]),
        (None, "level", logging.WARNING, []),
        (worker_log, "disabled", True, []),
        (worker_log, "propagate", False, []),
        (
            logging.Logger, "callHandlers", patched,
            ["patched ↪ [   1ms] work(){1}", "patched ↩ [   2ms] work(){1}"],
        ),
        (
            logging, "_logRecordFactory", made,
            ["made ↪ [   1ms] work(){1}", "made ↩ [   2ms] work(){1}"],
        ),
    ],
)  # fmt: skip
async def test_what_an_application_has_set_up_applies_to_runs(
    stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
    of_what: object,
    name: str,
    value: object,
    expected: list[str],
) -> None:
    monkeypatch.setattr(of_what or gathering.active, name, value)
    run_of(1)
    await asyncio.sleep(0)

    assert stream.messages == expected


@pytest.mark.parametrize("set_up", [set_up_logging, set_up_worker_logging])
@pytest.mark.parametrize("form", ["plain", "json"])
async def test_a_line_of_a_run_looks_the_same_however_it_is_written(
    docket: Docket,
    stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
    set_up: Callable[..., None],
    form: str,
) -> None:
    async def work() -> None:
        worker_log.info("↩ [   0ms] work(){k} asked")

    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("docket.instrumentation.logs.duration", lambda _: "   0ms")  # pyright: ignore[reportUnknownLambdaType]
    set_up("info", form, **({"gathers": True} if set_up is set_up_logging else {}))
    stream.truncate(0)
    await docket.add(work, key="k")()
    async with Worker(docket, "w") as worker:
        await worker.run_until_finished()
    await asyncio.sleep(0)

    lines = [line for line in stream.getvalue().splitlines() if "work(){k}" in line]
    if form == "plain":
        ends = [line.partition("docket.worker")[2] for line in lines]
        assert ends[1] == f"{ends[2]} asked"
    else:
        begin, asked, end = map(json.loads, lines)
        assert list(begin) == list(asked) == list(end)
        assert asked.pop("message") == f"{end.pop('message')} asked"
        for fields in (asked, end):
            del fields["time" if "time" in fields else "asctime"]
        assert asked == end
        assert end["docket.key"] == "k"


PROGRAM = """
import asyncio, logging, os, sys
from docket.instrumentation.console import set_up_logging

log = logging.getLogger("docket.test")

async def main():
    set_up_logging("info", "plain", gathers=True)
    log.info("before")
    log.info("the last one")
    {end}

asyncio.run(main())
"""


def said_before(end: str) -> tuple[int, str]:
    """What a program has written that ends so, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("end", "code"),
    [("pass", 0), ("sys.exit(3)", 3), ("raise ValueError('no good')", 1), ("os._exit(4)", 4)],
)
def test_however_python_ends_a_program_its_last_lines_are_written(end: str, code: int) -> None:
    exit_code, text = said_before(end)

    assert exit_code == code
    lines = [line for line in text.splitlines() if "docket.test" in line]
    assert [said(line) for line in lines] == ["before", "the last one"]


def test_a_fork_writes_nothing_of_its_parent_and_its_own_lines_at_once() -> None:
    end = "\n    ".join(
        (
            "if (child := os.fork()) == 0:",
            "    log.info('of the child')",
            "    os._exit(0)",
            "os.waitpid(child, 0)",
        )
    )

    _, text = said_before(end)

    # From Python 3.12 on, a fork beside threads is warned of.
    lines = [said(line) for line in text.splitlines() if "docket.test" in line]
    assert lines == ["before", "the last one", "of the child"]


def test_who_reads_no_more_does_not_keep_a_process_from_leaving() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    while True:
        try:
            os.write(write, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write, True)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end="os._exit(4)")],
        stderr=write,
        timeout=60,
        check=False,
    )

    assert done.returncode == 4
    os.close(read)
    os.close(write)
