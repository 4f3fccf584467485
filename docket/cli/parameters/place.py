"""The docket that a command is about: its options, and the way into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ...discovery.address import DEFAULT_NAME, DEFAULT_URL, Address, find
from ..terminal.exit_codes import Misused

if TYPE_CHECKING:
    from ...docket import Docket

T = TypeVar("T")

# The environment is read where all programs read it, so that one order holds for all.
Name = Annotated[
    str | None,
    typer.Option(
        "--docket",
        metavar="NAME",
        help="The docket. [env: DOCKET_NAME; then the file]",
        show_default=DEFAULT_NAME,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The server. [env: DOCKET_URL; then the file]",
        show_default=DEFAULT_URL,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The file with name and url, where they are not given otherwise. [env: DOCKET_CONFIG]",
        show_default="docket.toml, if there is one",
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """The options that say which docket is meant.

    Arguments:
        name: the docket.
        url: the server.
        config: the file with the rest.
    """

    name: str | None = None
    url: str | None = None
    config: Path | None = None

    def found(self) -> Address:
        """Return its address: from the options, the environment, the file, the defaults.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        return find(self.name, self.url, config=self.config)


def would_start(url: str) -> bool:
    """Return True if a look at this url would start an embedded server, because it does not run."""
    if not url.lower().startswith("embedded:"):
        return False
    from ...connection.embedded import EmbeddedServer  # noqa: PLC0415 - few ask for it

    return not EmbeddedServer(url.partition("://")[2]).status().is_running


def visit(place: Place, work: Callable[[Docket], Awaitable[T]]) -> T:
    """Open the docket, do something there, and leave.

    Arguments:
        place: which one.
        work: what to do.

    Raises:
        Misused: it is in the memory of another process.
        ServerUnavailable: nothing answers there.
    """
    found = place.found()
    if found.url.lower().startswith("memory:"):
        raise Misused(
            f"{found.url} is in the memory of one process, where no other can look; name a server with "
            "--url, or run `docket server start` and write embedded://.docket"
        )

    import asyncio  # noqa: PLC0415 - the engine is heavy, and --help needs none of it

    async def visiting() -> T:
        from ...docket import Docket  # noqa: PLC0415
        from ...operations.audit import COMMAND_LINE  # noqa: PLC0415

        # Looking runs nothing of what is stored, even if the docket allows its workers to.
        async with Docket(
            place.name, place.url, config=place.config, codecs=("safe",), lazy=False
        ) as docket:
            docket.operations.audit.source = COMMAND_LINE
            return await work(docket)

    return asyncio.run(visiting())
