"""Durations and moments as options of commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import typer

from ...foundation.durations import parse_duration


def duration(text: str | timedelta) -> timedelta:
    """Return the duration that was typed.

    Raises:
        typer.BadParameter: it is not a duration.
    """
    if isinstance(text, timedelta):
        return text
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def lease(text: str | timedelta) -> timedelta:
    """Return the duration that was typed, if it is longer than zero.

    Raises:
        typer.BadParameter: it is not such a duration.
    """
    found = duration(text)
    if not found:
        raise typer.BadParameter(
            f'expected a duration longer than zero, such as "30s", found {text!r}'
        )
    return found


def later(delay: timedelta) -> datetime | None:
    """Return the moment that is so far from now; None is now, by the server's clock."""
    return datetime.now(timezone.utc) + delay if delay else None


def duration_option(
    *names: str,
    help: str,  # noqa: A002 - as typer calls it
    parser: Callable[[str | timedelta], timedelta] = duration,
    **more: Any,
) -> Any:
    """Make an option that takes a duration: 30, 30s, 5m, 2h, mm:ss or hh:mm:ss.

    Arguments:
        names: what it is called.
        help: what it is for.
        parser: what reads it.
        more: further arguments of an option.
    """
    return typer.Option(*names, help=help, parser=parser, metavar="DURATION", **more)
