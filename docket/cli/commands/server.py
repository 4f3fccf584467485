"""``docket server``: starts, stops and shows the embedded server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...discovery.layering import EMBEDDED
from ...errors import DocketError
from ...foundation.plain import plain_lines

if TYPE_CHECKING:
    from ...connection.embedded import EmbeddedServer

EXIT_FAILED = 1
EXIT_NOT_RUNNING = 3

Directory = Annotated[
    Path, typer.Option("--directory", "-d", help="Where its data is: .docket beside docket.toml.")
]

app = typer.Typer(
    help="Start, stop or look at the embedded server, which keeps the work of one machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def start(directory: Directory = Path(EMBEDDED)) -> None:
    """Start it, unless it runs."""
    server = _server(directory)
    try:
        server.start()
    except DocketError as error:
        raise _failed(error) from error
    typer.echo(f"running: embedded://{server.directory} (process {server.status().pid})")


@app.command()
def stop(directory: Directory = Path(EMBEDDED)) -> None:
    """Let the server write everything to disk and stop."""
    server = _server(directory)
    try:
        was_running = server.stop()
    except DocketError as error:
        raise _failed(error) from error
    typer.echo(f"{'stopped' if was_running else 'was not running'}: embedded://{server.directory}")


@app.command()
def status(directory: Directory = Path(EMBEDDED)) -> None:
    """Show whether it runs; exit 0 if it does, 3 if it does not."""
    found = _server(directory).status()
    if not found.is_running:
        typer.echo(f"not running: embedded://{found.directory}")
        raise typer.Exit(EXIT_NOT_RUNNING)
    typer.echo(f"running: embedded://{found.directory}")
    typer.echo(f"process: {found.pid}")
    typer.echo(f"socket: {found.socket}")


def _server(directory: Path) -> EmbeddedServer:
    from ...connection.embedded import EmbeddedServer  # noqa: PLC0415 - --help needs none of it

    return EmbeddedServer(directory)


def _failed(error: DocketError) -> typer.Exit:
    print(plain_lines(str(error)), file=sys.stderr)
    return typer.Exit(EXIT_FAILED)
