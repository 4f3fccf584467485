"""Destination and format of log messages."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime, timezone
from typing import TextIO

from typing_extensions import override

from ..foundation.plain import PlainFormatter, plain_lines
from . import tracing
from .gathering import Gathering, Lines, StandardStream, gather
from .subject import fields_of_run


def set_up_logging(level: str, form: str, *, gathers: bool = False) -> None:
    """Write the log to standard error, in the form that is asked for.

    Arguments:
        level: the least severe messages that are written.
        form: plain, json, rich, or auto: rich on a terminal where it is installed, else plain.
        gathers: whether lines of one turn of the event loop are written together.
    """
    _set_up(level, form, sys.stderr, _PlainFormatter(), _JsonFormatter(), gathers=gathers)


def set_up_worker_logging(level: str, form: str) -> None:
    """Write the log to standard output, in the lines and fields of pydocket's ``docket worker``.

    Lines of one turn of the event loop are written together.

    Arguments:
        level, form: as for ``set_up_logging``.
    """
    _set_up(level, form, sys.stdout, _WorkerPlainFormatter(), _WorkerJsonFormatter(), gathers=True)


def _set_up(
    level: str, form: str, stream: TextIO, plain: Lines, as_json: Lines, *, gathers: bool
) -> None:
    root = logging.getLogger()
    for before in list(root.handlers):
        root.removeHandler(before)
        if isinstance(before, Gathering):
            before.close()
    if form == "rich" or (form == "auto" and stream.isatty()):
        handler = _rich(stream)
    else:
        handler = _handler(stream, as_json if form == "json" else plain, gathers=gathers)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # It logs every event in every directory that is watched.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def _rich(stream: TextIO) -> logging.Handler:
    from rich.console import Console  # noqa: PLC0415 - heavy, and not always wanted
    from rich.logging import RichHandler  # noqa: PLC0415

    handler = RichHandler(console=Console(file=stream), show_path=False)
    handler.setFormatter(PlainFormatter("%(message)s"))
    return handler


def _handler(stream: TextIO, lines: Lines, *, gathers: bool) -> logging.Handler:
    if gathers:
        return gather(stream, lines)
    handler = StandardStream(stream)
    handler.setFormatter(lines)
    return handler


class _PlainFormatter(Lines, PlainFormatter):
    """Lines for people."""

    @override
    def usesTime(self) -> bool:
        return False  # it is looked up where it is written

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        head = self.head(record.created, record.levelname, record.process, record.name)
        return f"{head}{record.message}"

    @override
    def info(self, name: str, created: float, message: str) -> str:
        return plain_lines(f"{self.head(created, 'INFO', os.getpid(), name)}{message}", "  ")

    def head(self, created: float, level: str, process: int | None, name: str) -> str:
        """Return the text before a message."""
        return f"{self.local(created)},{int(created % 1 * 1000):03d} {level:<8} {process} {name}  "


class _WorkerPlainFormatter(_PlainFormatter):
    """Lines for people, as pydocket's workers write them."""

    @override
    def head(self, created: float, level: str, process: int | None, name: str) -> str:
        return f"[{self.local(created)}] {level} - {name} - "


_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Fields of every record; the rest was given as ``extra``."""


class _JsonFormatter(Lines):
    """One object per line: the message, what it is about, and the fields given as ``extra``."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = self._fields(_about(record), record.created, record.levelname, record.name)
        fields["process"] = record.process
        fields["message"] = record.getMessage()
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return _line(fields)

    @override
    def info(self, name: str, created: float, message: str) -> str:
        fields = self._fields(_about_run(), created, "INFO", name)
        return _line({**fields, "process": os.getpid(), "message": message})

    def _fields(
        self, about: dict[str, object], created: float, level: str, name: str
    ) -> dict[str, object]:
        moment = datetime.fromtimestamp(created, timezone.utc)
        return {
            **about,
            "time": moment.isoformat(timespec="milliseconds"),
            "level": level.lower(),
            "logger": name,
        }


class _WorkerJsonFormatter(Lines):
    """One object per line as pydocket's workers write it; ``exc_info`` is null where nothing was raised."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        raised, stack = record.exc_info, record.stack_info
        shown = self.formatException(raised) if raised else None
        fields = self._fields(
            _about(record), record.created, record.levelname, record.name, record.getMessage()
        )
        more = {"stack_info": self.formatStack(stack)} if stack else {}
        return _line({**fields, "exc_info": shown, **more})

    @override
    def info(self, name: str, created: float, message: str) -> str:
        fields = self._fields(_about_run(), created, "INFO", name, message)
        return _line({**fields, "exc_info": None})

    def _fields(
        self, about: dict[str, object], created: float, level: str, name: str, message: str
    ) -> dict[str, object]:
        return {
            **about,
            "name": name,
            "asctime": f"{self.local(created)},{int(created % 1 * 1000):03d}",
            "levelname": level,
            "message": message,
        }


def _about(record: logging.LogRecord) -> dict[str, object]:
    """Return the subject of a message: the fields given as ``extra``, the run, the trace."""
    extra = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
    return {**extra, **_about_run()}


def _about_run() -> dict[str, object]:
    return {**fields_of_run(), **tracing.identifiers()}


def _line(fields: dict[str, object]) -> str:
    # JSON has words for all but what is above ASCII and steers a terminal all the same.
    text = _ENCODER.encode(fields)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _shown(value: object) -> str:
    """Return a value as a string; one that cannot speak must not silence the message."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


_ENCODER = json.JSONEncoder(ensure_ascii=False, skipkeys=True, default=_shown)
