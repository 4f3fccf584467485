"""Log lines of one turn of the event loop, written together: each by itself costs more than a run does.

Only worker processes of Docket do so. Elsewhere a line of a run is an ordinary record, made at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO, TypeAlias

from typing_extensions import override

PATIENCE: Final = 0.1
"""Seconds after which lines are written although their turn has not ended: the event loop is blocked."""

MOST: Final = 1000
"""Lines that are gathered, at most."""

ATOMIC: Final = select.PIPE_BUF
"""Bytes that a pipe takes in one piece; there may be several processes that write to it."""

_FAREWELL: Final = 1.0
"""Seconds that a process which exits at once takes to write what is left: there may be no reader."""

_Said: TypeAlias = tuple[Context, float, str, Callable[..., str], tuple[Any, ...]]
"""A log line before its text is made: context, time, and the function with its arguments."""


class Lines(logging.Formatter, ABC):
    """A formatter that needs no record for a line at ``INFO``."""

    _second = (0, "")

    @abstractmethod
    def info(self, name: str, created: float, message: str) -> str:
        """Return the line that ``format`` makes of a record which has nothing but these.

        Arguments:
            name: of the logger.
            created: when, in seconds of the system's clock.
            message: what is said.
        """

    def local(self, created: float) -> str:
        """Return the local time, in seconds; most lines are of the second of the line before."""
        second, text = self._second
        if second != int(created):
            second = int(created)
            text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = second, text
        return text


if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:
    _Handler = logging.StreamHandler  # takes no type before Python 3.11


class StandardStream(_Handler):
    """Handler for a standard stream for as long as there is one: a task may close it."""

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(ValueError):
            super().handleError(record)


class Gathering(StandardStream):
    """Handler that writes the lines of one turn of the event loop when the turn has ended, in their order.

    A warning, and what is worse, is written at once, with all that was gathered before. So is everything
    before a fork, at the end of the process as long as Python ends it, and soon if the turn does not end.

    Arguments:
        stream: the stream to write to.
        lines: makes the texts.
    """

    def __init__(self, stream: TextIO, lines: Lines) -> None:
        super().__init__(stream)
        self.setFormatter(lines)
        self._lines = lines
        # Threads add to it while it is written: it is never another list.
        self._gathered: list[_Said | str] = []
        self._is_due = False
        self._turn = 0
        self._looked_at: tuple[int, logging.Logger] | None = None
        self._is_alone = False
        self._has_begun = threading.Event()
        self._is_open = True
        threading.Thread(target=self._watch, name="docket-log", daemon=True).start()

    def takes(self, logger: logging.Logger, text: Callable[..., str], *arguments: Any) -> bool:
        """Log a text at ``INFO``, to be made when the turn has ended, if there is no other handler.

        Returns whether it is taken; else it is to be logged as ever.

        Arguments:
            logger: its logger; that it is enabled has been checked.
            text: makes the text of the arguments.
            arguments: nothing that changes.
        """
        if self._looked_at != (self._turn, logger):
            self._looked_at = self._turn, logger
            self._is_alone = self._is_all_that_hears(logger)
        if self._is_alone:
            self._gather((copy_context(), time.time(), logger.name, text, arguments))
        return self._is_alone

    @override
    def handle(self, record: logging.LogRecord) -> bool:
        kept: Any = self.filter(record)
        if not kept:
            return False
        # A filter may give another one, from Python 3.12.
        record = record if kept is True else kept
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return True
        self._gather(text)
        if record.levelno >= logging.WARNING:
            self.flush()
        return True

    @override
    def flush(self) -> None:
        self.acquire()
        try:
            self._turn += 1
            # Before it is looked what there is: who comes later asks for a turn again.
            self._is_due = False
            gathered = self._gathered.copy()
            del self._gathered[: len(gathered)]
            if gathered:
                self._write([self._line(one) for one in gathered])
        finally:
            self.release()

    @override
    def close(self) -> None:
        self.flush()
        self.gather_no_more()
        self._has_begun.set()
        super().close()

    def gather_no_more(self) -> None:
        """Write at once what is logged from now on."""
        global active  # noqa: PLW0603 - there is one process, and one log
        self._is_open = False
        active = None

    def forget(self) -> None:
        """Become the handler of a fork: what is gathered is its parent's to write."""
        self.gather_no_more()
        self._gathered.clear()

    def farewell(self) -> None:
        """Write what is left, but do not wait for long: the process is about to leave."""
        writing = threading.Thread(target=self.flush, name="docket-log-end", daemon=True)
        with contextlib.suppress(RuntimeError):  # it is too late for threads
            writing.start()
            writing.join(_FAREWELL)

    def _gather(self, one: _Said | str) -> None:
        self._gathered.append(one)
        if not self._is_open or len(self._gathered) >= MOST:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._wait_for_the_end_of_the_turn()

    def _wait_for_the_end_of_the_turn(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:
            # There is none here: a plain function runs in a thread.
            self.flush()
            return
        if not self._has_begun.is_set():
            self._has_begun.set()

    def _watch(self) -> None:
        """Write what waits for a turn that does not end."""
        while self._is_open:
            self._has_begun.wait()
            turn = self._turn
            time.sleep(PATIENCE)
            if self._turn == turn:
                self._has_begun.clear()
                if self._gathered:
                    self.flush()

    def _line(self, one: _Said | str) -> str:
        if isinstance(one, str):
            return one
        context, created, name, text, arguments = one
        return context.run(self._lines.info, name, created, text(*arguments))

    def _is_all_that_hears(self, logger: logging.Logger) -> bool:
        """Return True if a record of this logger would come here and nowhere else, unchanged."""
        if self.filters or self.level > logging.INFO or self.formatter is not self._lines:
            return False
        if logger.filters or logger.disabled:
            return False
        if logging.getLogRecordFactory() is not logging.LogRecord or not _is_as_python_has_it():
            return False
        above: logging.Logger | None = logger
        while above is not None and above.propagate and not above.handlers:
            above = above.parent
        return above is not None and above.parent is None and above.handlers == [self]

    def _write(self, lines: list[str]) -> None:
        try:
            for piece in _pieces(lines, self.terminator):
                self.stream.write(piece)
                self.stream.flush()
        except Exception:
            self.handleError(logging.makeLogRecord({"msg": f"{len(lines)} lines are not written"}))


active: Gathering | None = None
"""The handler that gathers in this process."""


def gather(stream: TextIO, lines: Lines) -> Gathering:
    """Let this process gather its lines, also when it is ended by ``os._exit``.

    Arguments:
        stream, lines: as for ``Gathering``.
    """
    global active  # noqa: PLW0603 - there is one process, and one log
    active = Gathering(stream, lines)
    os._exit = _write_and_exit
    return active


_exit = os._exit


def _write_and_exit(status: int) -> NoReturn:
    if active is not None:
        active.farewell()
    _exit(status)


def _write_before_fork() -> None:
    if active is not None:
        active.flush()


def _forget_in_fork() -> None:
    if active is not None:
        active.forget()


os.register_at_fork(before=_write_before_fork, after_in_child=_forget_in_fork)


def _is_as_python_has_it() -> bool:
    """Return True if the way in which records are handed on is unchanged; Sentry changes it."""
    handing_on: tuple[Any, ...] = (logging.Logger.handle, logging.Logger.callHandlers)
    return all(getattr(each, "__globals__", None) is vars(logging) for each in handing_on)


def _pieces(lines: list[str], end: str) -> Iterator[str]:
    """Yield whole lines, as many as a pipe takes at once; a longer line is a piece of its own."""
    piece: list[str] = []
    size = 0
    for text in lines:
        line = text + end
        length = len(line.encode(errors="replace"))
        if size + length > ATOMIC and piece:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += length
    yield "".join(piece)
