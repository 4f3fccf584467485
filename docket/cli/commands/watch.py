"""``docket watch``: follows one execution to its end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...foundation.plain import plain
from ..parameters.place import Config, Place, visit
from ..terminal.output import dump, note

if TYPE_CHECKING:
    from ...docket import Docket
    from ...execution import Execution

AGAIN: Final = "\r\x1b[K"
"""Sequence that puts the next text in the place of the last line."""


def watch(
    *,
    key: Annotated[str, typer.Argument(help="The key of the execution.")],
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            "-u",
            envvar="DOCKET_REDIS_URL",
            metavar="URL",
            help="The server; DOCKET_URL works as well.",
        ),
    ] = None,
    docket: Annotated[
        str | None,
        typer.Option("--docket", "-d", metavar="NAME", help="The docket. [env: DOCKET_NAME]"),
    ] = None,
    config: Config = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as a JSON object.")
    ] = False,
) -> None:
    """Follow the state and the progress of an execution until it ends."""

    async def follow(docket: Docket) -> None:
        execution = await docket.get_execution(key)
        if execution is None:
            note(
                f"Error: docket {docket.name!r} holds no execution {key!r}; it may have ended "
                "a while ago, or never have been added"
            )
            return
        await _follow(execution, _Printer(as_json, docket.name))

    visit(Place(docket, url, config), follow)


async def _follow(execution: Execution, printer: _Printer) -> None:
    printer.begin(execution)
    events = execution.subscribe()
    is_over = False
    try:
        while not is_over:
            event = await anext(events)
            printer.tell(event)
            is_over = event["type"] == "state" and event["state"].is_terminal
    finally:
        await events.aclose()
        printer.end()


class _Printer:
    """Printer of events as they come; on a terminal, progress stays on one line."""

    def __init__(self, as_json: bool, docket: str) -> None:
        self._as_json = as_json
        self._docket = docket
        self._is_live = sys.stdout.isatty() and not as_json
        self._is_open = False
        self._last = ""

    def begin(self, execution: Execution) -> None:
        if not self._as_json:
            typer.echo(f"{plain(execution.call_repr())} in docket {self._docket}")

    def tell(self, event: Mapping[str, Any]) -> None:
        if self._as_json:
            typer.echo(dump(event))
        elif (line := _line(event)) and line != self._last:
            self._last = line
            is_progress = event["type"] == "progress"
            self._write(line, stays=self._is_live and is_progress)

    def end(self) -> None:
        if self._is_open:
            typer.echo()
            self._is_open = False

    def _write(self, line: str, *, stays: bool) -> None:
        if stays:
            typer.echo(f"{AGAIN}{line}", nl=False)
            self._is_open = True
            return
        self.end()
        typer.echo(line)


def _line(event: Mapping[str, Any]) -> str:
    if event["type"] == "progress":
        if event["current"] is None and not event["message"]:
            return ""
        done, total = event["current"] or 0, event["total"]
        return plain(f"  {done}/{total} ({done / total:.0%}) {event['message'] or ''}".rstrip())
    worker = f" on {event['worker']}" if event["worker"] else ""
    error = f": {event['error']}" if event.get("error") else ""
    return plain(f"{event['state'].value}{worker}{error}")
