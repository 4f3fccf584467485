"""``docket-supervisor``: validates a configuration, runs it, and follows it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..config.load import load
from ..config.problems import ConfigurationUnreadable
from ..errors import ConfigurationError, DocketError, ServerUnavailable

EXIT_FAILED = 1
EXIT_UNREADABLE = 2
EXIT_WARNINGS = 3
EXIT_UNREACHABLE = 5
EXIT_INVALID = 7


def supervise(
    config: Annotated[
        Path, typer.Option(envvar="DOCKET_CONFIG", help="The configuration to run and to follow.")
    ] = Path("docket.toml"),
    check: Annotated[
        bool, typer.Option("--check", help="Only validate: exit 0 valid, 1 invalid, 2 unreadable.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --check: exit 3 if there are warnings.")
    ] = False,
) -> None:
    """Run the workers and schedules of a docket.toml, and follow its changes."""
    raise SystemExit(_check(config, strict) if check else _run(config))


def _check(config: Path, strict: bool) -> int:
    try:
        loaded = load(config, os.environ)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return EXIT_UNREADABLE if isinstance(error, ConfigurationUnreadable) else EXIT_FAILED
    for warning in loaded.warnings:
        print(f"warning: {warning.render()}", file=sys.stderr)
    found = loaded.configuration
    print(
        f"{config}: valid ({len(found.tasks)} tasks, {len(found.schedules)} schedules, "
        f"{len(found.workers)} pools, {len(found.strikes)} strikes)"
    )
    return EXIT_WARNINGS if strict and loaded.warnings else 0


def _run(config: Path) -> int:
    from ..supervisor.process import Rejected  # noqa: PLC0415 - --check and --help need none of it
    from ..supervisor.supervisor import Supervisor  # noqa: PLC0415

    try:
        asyncio.run(Supervisor(config).run())
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return EXIT_INVALID
    except ServerUnavailable as error:
        print(error, file=sys.stderr)
        return EXIT_UNREACHABLE
    except (Rejected, DocketError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    return 0


def main() -> None:
    """The entry point of ``docket-supervisor``."""
    typer.run(supervise)


if __name__ == "__main__":
    main()
