"""Where log messages go, and what they look like there."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TextIO

from typing_extensions import override

from ..plain import PlainFormatter
from . import tracing
from .subject import fields_of_run


def set_up_logging(level: str, form: str) -> None:
    """Write the log to standard error, in the form that is asked for.

    Arguments:
        level: the least severe messages that are written.
        form: plain, json, rich, or auto: rich on a terminal where it is installed, else plain.
    """
    plain = PlainFormatter("%(asctime)s %(levelname)-8s %(process)d %(name)s  %(message)s")
    _set_up(level, _handler(form, sys.stderr, plain, _JsonFormatter()))


def set_up_worker_logging(level: str, form: str) -> None:
    """Write the log to standard output, in the lines and fields of pydocket's ``docket worker``.

    Arguments:
        level, form: as for ``set_up_logging``.
    """
    plain = PlainFormatter(
        "[%(asctime)s] %(levelname)s - %(name)s - %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )
    _set_up(level, _handler(form, sys.stdout, plain, _WorkerJsonFormatter()))


def _set_up(level: str, handler: logging.Handler) -> None:
    root = logging.getLogger()
    for before in list(root.handlers):
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # It tells of every event in every directory that is watched.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def _handler(
    form: str, stream: TextIO, plain: logging.Formatter, as_json: logging.Formatter
) -> logging.Handler:
    if form == "rich" or (form == "auto" and stream.isatty()):
        from rich.console import Console  # noqa: PLC0415 - heavy, and not always wanted
        from rich.logging import RichHandler  # noqa: PLC0415

        rich = RichHandler(console=Console(file=stream), show_path=False)
        rich.setFormatter(PlainFormatter("%(message)s"))
        return rich
    handler = _StandardStream(stream)
    handler.setFormatter(as_json if form == "json" else plain)
    return handler


if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:
    _Handler = logging.StreamHandler  # takes no type before Python 3.11


class _StandardStream(_Handler):
    """Writes to a standard stream for as long as there is one: a task may close it, and the work goes on."""

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(ValueError):
            super().handleError(record)


_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record carries; the rest is what somebody gave as ``extra``."""


class _JsonFormatter(logging.Formatter):
    """One object per line: the message, what it is about, and whatever was given as ``extra``."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        fields = {
            **_about(record),
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return _line(fields)


class _WorkerJsonFormatter(logging.Formatter):
    """One object per line as pydocket's workers write it; ``exc_info`` is null where nothing was raised."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        raised, stack = record.exc_info, record.stack_info
        return _line(
            {
                **_about(record),
                "name": record.name,
                "asctime": self.formatTime(record),
                "levelname": record.levelname,
                "message": record.getMessage(),
                "exc_info": self.formatException(raised) if raised else None,
                **({"stack_info": self.formatStack(stack)} if stack else {}),
            }
        )


def _about(record: logging.LogRecord) -> dict[str, object]:
    """What a message is about: what was given as ``extra``, the run, the trace."""
    extra = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
    return {**extra, **fields_of_run(), **tracing.identifiers()}


def _line(fields: dict[str, object]) -> str:
    # JSON has words for all but what is above ASCII and steers a terminal all the same.
    text = json.dumps(fields, ensure_ascii=False, skipkeys=True, default=_shown)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _shown(value: object) -> str:
    """What JSON has no word for, as text; one that can not speak must not silence the message."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
