"""Output of commands: tables for people, JSON for programs."""

from __future__ import annotations

import enum
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Final

import typer

from ...foundation.durations import format_duration
from ...foundation.plain import plain, plain_lines

VERSION: Final = 1
"""Version of the JSON output: fields may be added; a changed or removed one means a new number."""

Item = Mapping[str, Any]


class Form(str, enum.Enum):
    """The form of the output."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


Output = Annotated[
    Form,
    typer.Option(
        "--output",
        "-o",
        help="table, wide (all columns, nothing cut off), json, or jsonl (one object a line).",
    ),
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Arguments:
        title: what stands over it.
        of: what stands in it.
        is_wide: shown only where there is room.
    """

    title: str
    of: Callable[[Item], str]
    is_wide: bool = False


def show(kind: str, items: Sequence[Item], columns: Sequence[Column], form: Form) -> None:
    """Print a list.

    Arguments:
        kind: what it is a list of.
        items: what is in it; JSON shows all of each.
        columns: what a table shows of them.
        form: how it is shown.
    """
    if form is Form.JSON:
        typer.echo(dump({"version": VERSION, "kind": kind, "items": items}, indent=2))
    elif form is Form.JSONL:
        for item in items:
            typer.echo(dump(item))
    elif items:
        shown = [column for column in columns if form is Form.WIDE or not column.is_wide]
        for line in _lines(items, shown, _width(form)):
            typer.echo(line)
    else:
        note(f"no {kind}")


def show_one(kind: str, item: Item, form: Form) -> None:
    """Print one thing, a line for each of its fields.

    Arguments:
        kind: what it is.
        item: its fields.
        form: how it is shown.
    """
    if form is Form.JSON:
        typer.echo(dump({"version": VERSION, "kind": kind, "item": item}, indent=2))
    elif form is Form.JSONL:
        typer.echo(dump(item))
    else:
        fields = {name: text for name, value in item.items() if (text := _field(value))}
        width = max(map(len, fields))
        for name, text in fields.items():
            typer.echo(f"{name:<{width}}  {text}")


def note(text: str) -> None:
    """Print a note for people that is not part of the answer."""
    say(text, err=True)


def say(text: str, *, err: bool = False) -> None:
    """Print something for people, parts of which may come from elsewhere.

    Arguments:
        text: one line or several.
        err: whether it goes to the standard error, as no part of the answer.
    """
    typer.echo(plain_lines(text), err=err)


def dump(value: Any, *, indent: int | None = None) -> str:
    """Write a value as JSON; moments are ISO strings."""
    return json.dumps(value, indent=indent, default=_json)


def moment(when: datetime | None) -> str:
    """Return a moment as people at this machine read it."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def distance(when: datetime | None) -> str:
    """Describe how far a moment is from now.

    Example:
        >>> distance(datetime.now(timezone.utc) + timedelta(minutes=90, seconds=0.5))
        'in 1h30m'
    """
    if when is None:
        return ""
    seconds = round((when - datetime.now(timezone.utc)).total_seconds())
    if not seconds:
        return "now"
    shown = format_duration(timedelta(seconds=abs(seconds)))
    return f"in {shown}" if seconds > 0 else f"{shown} ago"


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{moment(value)} ({distance(value)})"
    return plain(value) if isinstance(value, str) else dump(value)


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    return str(value)


def _lines(items: Sequence[Item], columns: Sequence[Column], room: int | None) -> list[str]:
    cells = [[plain(column.of(item)) for column in columns] for item in items]
    rows = [[column.title for column in columns], *cells]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()[
            :room
        ]
        for row in rows
    ]
    return [_strong(lines[0]), *lines[1:]]


def _width(form: Form) -> int | None:
    if form is Form.WIDE or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _strong(text: str) -> str:
    has_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return typer.style(text, bold=True) if has_colour else text
