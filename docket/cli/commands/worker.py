"""``docket worker``: run a worker until it is asked to stop."""

from __future__ import annotations

import enum
import errno
import os
import socket
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..parameters.objects import STANDARD, loaded, register
from ..parameters.place import Config, Name, Place, Url
from ..parameters.times import duration_option, lease
from ..terminal.exit_codes import CommandError, Misused

if TYPE_CHECKING:
    from ...calls.registry import Registry, TaskFunction

LOOPBACK: Final = "127.0.0.1"
_CAN_NOT_LISTEN: Final = (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL)


class LogLevel(str, enum.Enum):
    """The least severe messages that are written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class LogFormat(str, enum.Enum):
    """The format of the log."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"


def worker(
    *,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            envvar="DOCKET_TASKS",
            metavar="MODULE:ATTRIBUTE",
            help="A collection of tasks to run; may be given more than once.",
            show_default=STANDARD,
        ),
    ] = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    name: Annotated[
        str | None,
        typer.Option(
            envvar="DOCKET_WORKER_NAME", help="The name of the worker.", show_default="host#process"
        ),
    ] = None,
    logging_level: Annotated[
        LogLevel, typer.Option(envvar="DOCKET_LOGGING_LEVEL", case_sensitive=False)
    ] = LogLevel.INFO,
    logging_format: Annotated[
        LogFormat | None,
        typer.Option(
            envvar="DOCKET_LOGGING_FORMAT",
            case_sensitive=False,
            show_default="rich on a terminal, else plain",
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            envvar="DOCKET_WORKER_CONCURRENCY",
            min=1,
            help="The number of tasks that run at a time.",
        ),
    ] = 10,
    message_batch: Annotated[
        int,
        typer.Option(
            envvar="DOCKET_WORKER_MESSAGE_BATCH",
            min=1,
            help="Accepted for compatibility; a claim takes as many as there are free slots.",
        ),
    ] = 1000,
    redelivery_timeout: Annotated[
        timedelta,
        duration_option(
            envvar="DOCKET_WORKER_REDELIVERY_TIMEOUT",
            parser=lease,
            help="How long it may be silent before others take over its work.",
            show_default="30s",
        ),
    ] = timedelta(seconds=30),
    reconnection_delay: Annotated[
        timedelta,
        duration_option(
            envvar="DOCKET_WORKER_RECONNECTION_DELAY",
            help="Accepted for compatibility.",
            show_default="5s",
        ),
    ] = timedelta(seconds=5),
    minimum_check_interval: Annotated[
        timedelta,
        duration_option(
            envvar="DOCKET_WORKER_MINIMUM_CHECK_INTERVAL",
            help="An upper bound; a worker is woken, it does not poll.",
            show_default="100ms",
        ),
    ] = timedelta(milliseconds=100),
    scheduling_resolution: Annotated[
        timedelta,
        duration_option(
            envvar="DOCKET_WORKER_SCHEDULING_RESOLUTION",
            help="An upper bound, too.",
            show_default="250ms",
        ),
    ] = timedelta(milliseconds=250),
    schedule_automatic_tasks: Annotated[
        bool,
        typer.Option(
            envvar="DOCKET_WORKER_SCHEDULE_AUTOMATIC_TASKS",
            help="Start perpetual tasks that ask for it.",
        ),
    ] = True,
    enable_internal_instrumentation: Annotated[
        bool,
        typer.Option(
            envvar="DOCKET_WORKER_ENABLE_INTERNAL_INSTRUMENTATION",
            help="Show its own Redis traffic in traces.",
        ),
    ] = False,
    until_finished: Annotated[
        bool, typer.Option("--until-finished", help="Exit when there is nothing left to do.")
    ] = False,
    healthcheck_port: Annotated[
        int | None,
        typer.Option(
            envvar="DOCKET_WORKER_HEALTHCHECK_PORT",
            min=0,
            max=65535,
            help="The port of /livez and /readyz.",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            envvar="DOCKET_WORKER_METRICS_PORT",
            min=0,
            max=65535,
            help="The port of /metrics, for Prometheus.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(envvar="DOCKET_WORKER_HOST", help="The address that both ports listen at."),
    ] = LOOPBACK,
    fallback_task: Annotated[
        str | None,
        typer.Option(
            envvar="DOCKET_FALLBACK_TASK",
            metavar="MODULE:ATTRIBUTE",
            help="Called in the place of unknown tasks, which are parked without it.",
        ),
    ] = None,
    dependencies: Annotated[
        str | None,
        typer.Option(
            envvar="DOCKET_WORKER_DEPENDENCIES",
            metavar="MODULE:ATTRIBUTE",
            help="Dependencies to wrap around every task.",
        ),
    ] = None,
) -> None:
    """Run a worker until SIGTERM or SIGINT; then it finishes what runs, and ends."""
    if config is not None:
        # Tasks that make a docket of their own mean the same one.
        os.environ["DOCKET_CONFIG"] = str(config)
    found = Place(docket, url, config).found()
    collections = tasks or [STANDARD]

    import asyncio  # noqa: PLC0415 - --help needs none of these

    from ...calls.registry import Registry  # noqa: PLC0415
    from ...instrumentation.console import set_up_worker_logging  # noqa: PLC0415
    from ...worker import Worker  # noqa: PLC0415

    set_up_worker_logging(logging_level.value, logging_format.value if logging_format else "auto")
    _check(Registry(), collections, fallback_task, dependencies)
    try:
        asyncio.run(
            _alone(
                Worker.run(
                    found.name,
                    found.url,
                    name,
                    concurrency,
                    redelivery_timeout,
                    reconnection_delay,
                    minimum_check_interval,
                    scheduling_resolution,
                    schedule_automatic_tasks,
                    enable_internal_instrumentation,
                    until_finished,
                    healthcheck_port,
                    metrics_port,
                    collections,
                    fallback_task,
                    message_batch,
                    dependencies,
                    host=host,
                )
            )
        )
    except OSError as error:
        if error.errno not in _CAN_NOT_LISTEN and not isinstance(error, socket.gaierror):
            raise
        raise CommandError(_can_not_listen(error, host, healthcheck_port, metrics_port)) from error
    except ImportError as error:
        if metrics_port is None:
            raise
        raise CommandError(f"--metrics-port: {error}, or leave it out") from error


async def _alone(work: Coroutine[Any, Any, None]) -> None:
    """Do the work of this program; what tasks have left running does not keep it."""
    from ...worker.leftovers import end_children, leave_threads  # noqa: PLC0415

    known = threading.enumerate()
    await work
    end_children()
    leave_threads(known)


def _check(
    registry: Registry, collections: list[str], fallback_task: str | None, dependencies: str | None
) -> None:
    """Find out now what is wrong with what the worker is to load, and say it in few words."""
    from ...dependencies.resolution import validate_worker_dependencies  # noqa: PLC0415

    for path in collections:
        register(registry, path)
    if fallback_task:
        function: TaskFunction | object = loaded("--fallback-task", fallback_task)
        if not callable(function):
            raise Misused(
                f"--fallback-task {fallback_task}: expected a function, found {function!r}"
            )
    if dependencies:
        wrapped = loaded("--dependencies", dependencies)
        try:
            validate_worker_dependencies(wrapped)
        except (TypeError, ValueError) as error:
            raise Misused(f"--dependencies {dependencies}: {error}") from error


def _can_not_listen(
    error: OSError, host: str, healthcheck_port: int | None, metrics_port: int | None
) -> str:
    ports = {"--healthcheck-port": healthcheck_port, "--metrics-port": metrics_port}
    asked = " and ".join(f"{name} {port}" for name, port in ports.items() if port is not None)
    return f"cannot listen at {host} for {asked}: {error.strerror}; choose another port or --host"
