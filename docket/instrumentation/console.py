"""Where log messages go, and what they look like there."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from datetime import datetime, timezone
from typing import TextIO

from typing_extensions import override

from . import tracing
from .subject import fields_of_run


def set_up_logging(level: str, form: str) -> None:
    """Write the log to standard error, in the form that is asked for.

    Arguments:
        level: the least severe messages that are written.
        form: plain, json, rich, or auto: rich on a terminal where it is installed, else plain.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_handler(form))
    root.setLevel(level.upper())
    # It tells of every event in every directory that is watched.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def _handler(form: str) -> logging.Handler:
    if form == "rich" or (form == "auto" and sys.stderr.isatty()):
        from rich.console import Console  # noqa: PLC0415 - heavy, and not always wanted
        from rich.logging import RichHandler  # noqa: PLC0415

        return RichHandler(console=Console(stderr=True), show_path=False)
    handler = _StandardError()
    if form == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-8s %(process)d %(name)s  %(message)s")
        )
    return handler


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the standard error for as long as there is one: a task may close it, and the work goes on."""

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
        extra = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
        fields = {
            **extra,
            **fields_of_run(),
            **tracing.identifiers(),
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
        return json.dumps(fields, ensure_ascii=False, skipkeys=True, default=_shown)


def _shown(value: object) -> str:
    """What JSON has no word for, as text; one that can not speak must not silence the message."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
