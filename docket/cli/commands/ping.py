"""``docket ping``: how long it takes from an add to an outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.times import duration_option
from ..terminal.descriptions import text
from ..terminal.exit_codes import TimedOut
from ..terminal.output import Column, Form, Output, note, show

if TYPE_CHECKING:
    from ...docket import Docket
    from ...pinging import Pong


def _seconds(name: str) -> Column:
    def told(item: Any) -> str:
        return "" if item[name] is None else f"{item[name] * 1000:.0f} ms"

    return Column(name.upper(), told)


PONGS: Final = (
    text("queue"),
    _seconds("took"),
    _seconds("waited"),
    text("worker"),
    text("trouble"),
)


def ping(
    *,
    queues: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            metavar="NAME",
            help="Where to add it; again for more.",
            show_default="those that are served, or have work",
        ),
    ] = None,
    timeout: Annotated[
        timedelta, duration_option("--timeout", help="How long it may take.", show_default="10s")
    ] = timedelta(seconds=10),
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Add a call that does nothing, and tell how long it takes to its outcome; exit 8 if it takes too long.

    Example: docket ping --queue bulk --timeout 30s
    """

    async def send(docket: Docket) -> list[Pong]:
        from ...pinging import ping  # noqa: PLC0415 - --help needs none of it

        return await ping(docket, queues or (), timeout=timeout)

    pongs = visit(Place(docket, url, config), send)
    show("pings", [*map(_of, pongs)], PONGS, output)
    late = [one for one in pongs if one.took is None]
    for one in late:
        if one.advice:
            note(f"{one.queue}: {one.advice}")
    if late:
        raise TimedOut(f"{len(late)} of {len(pongs)} have not completed in time")


def _in_seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _of(pong: Pong) -> dict[str, Any]:
    return {
        "queue": pong.queue,
        "took": _in_seconds(pong.took),
        "waited": _in_seconds(pong.waited),
        "worker": pong.worker,
        "trouble": pong.trouble or None,
        "advice": pong.advice or None,
    }
