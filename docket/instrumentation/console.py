"""Where log messages go, and what they look like there."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from typing_extensions import override


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
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-8s %(process)d %(name)s  %(message)s")
        )
    return handler


class _JsonFormatter(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        fields = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)
