"""``docket-supervisor``: validates a configuration, runs it, and follows it."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ... import errors
from ...config.checking.problems import ConfigurationInvalid, ConfigurationUnreadable
from ...config.checking.report import Format
from ...config.load import Chosen
from ...errors import ConfigurationError, DocketError
from ...foundation.plain import plain_lines
from ...supervisor.host.init import under_init
from .. import Version
from ..configuration.findings import checked
from ..parameters.options import Config, Profile, Settings, chosen
from ..terminal.exit_codes import FAILED, INVALID, UNREACHABLE, USAGE, WARNINGS


def supervise(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only validate: exit 0 valid, 7 invalid, 2 unreadable.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --check: exit 9 if there are warnings.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="With --check: import the code, in another process.")
    ] = False,
    form: Annotated[
        Format, typer.Option("--format", help="With --check: the format of problems.")
    ] = "text",
    _version: Version = False,
) -> None:
    """Run the workers and schedules of a docket.toml, and follow its changes."""
    file, over = chosen(config, profile, settings)
    if check:
        raise SystemExit(_check(file, over, strict, probe, form))
    raise SystemExit(under_init(lambda: run(file, over)))


def _check(file: Path, over: Chosen, strict: bool, probe: bool, form: Format) -> int:
    outcome = checked(file, over, form, is_probed=probe)
    if isinstance(outcome, ConfigurationUnreadable):
        return USAGE
    if isinstance(outcome, ConfigurationInvalid):
        return INVALID
    return WARNINGS if strict and outcome.warnings else 0


def run(file: Path, over: Chosen) -> int:
    """Run a configuration until asked to stop, and return the exit code.

    Arguments:
        file: the configuration.
        over: what is laid over it.
    """
    from ...supervisor.processes.process import Rejected  # noqa: PLC0415 - --check and --help need none of it
    from ...supervisor.supervisor import Supervisor  # noqa: PLC0415

    try:
        supervisor = Supervisor(file, os.environ, over)
        # What is there now stays: the event loop waits while a full garbage collection looks at all there is.
        gc.freeze()
        asyncio.run(supervisor.run())
    except ConfigurationError as error:
        print(plain_lines(str(error)), file=sys.stderr)
        return INVALID
    except errors.ServerUnavailable as error:
        print(plain_lines(str(error)), file=sys.stderr)
        return UNREACHABLE
    except (Rejected, DocketError) as error:
        print(plain_lines(str(error)), file=sys.stderr)
        return FAILED
    return 0


def main() -> None:
    """Run ``docket-supervisor``."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(supervise)
    app()


if __name__ == "__main__":
    main()
