"""Options of a call, as ``docket task add`` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .completion import queue_names
from .times import duration, duration_option, lease
from .typed_values import parse_moment

if TYPE_CHECKING:
    from ...foundation.call_options import Options

ALWAYS = "always"
"""As long as the record of an execution is kept."""

Queue = Annotated[
    str | None,
    typer.Option(
        help="The queue that it goes to.", show_default="its task's", autocompletion=queue_names
    ),
]
Priority = Annotated[
    Literal["high", "normal", "low"] | None,
    typer.Option(help="Its place among the others of its queue.", show_default="its task's"),
]
Expires = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION|TIME",
        help="End it if it has not begun so long after it is due, or by this time.",
    ),
]
Timeout = Annotated[
    timedelta | None,
    duration_option(
        "--timeout", help="How long an attempt may take.", parser=lease, show_default="its task's"
    ),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="A short text to find it by.")
]
Once = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION|always",
        help="Do not run its key again for so long after its end, or as long as its record is kept.",
    ),
]


def call_options(
    queue: str | None,
    priority: Literal["high", "normal", "low"] | None,
    expires: str | None,
    timeout: timedelta | None,
    tags: Sequence[str] | None,
    once: str | None,
) -> Options:
    """Return what was typed as options of a call.

    Raises:
        Misused: a moment has no zone.
        typer.BadParameter: something is not a duration.
    """
    typed: Options = {
        "queue": queue,
        "priority": priority,
        "timeout": timeout,
        "tags": tuple(tags or ()),
        "once": True if once == ALWAYS else None if once is None else duration(once),
    }
    if expires is not None:
        typed["expires"] = parse_moment(expires) if "-" in expires else duration(expires)
    return typed
