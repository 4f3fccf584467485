"""The task of pydocket that takes the place of unknown ones."""

from __future__ import annotations

import logging
from typing import Any

from ...dependencies.context import CurrentExecution, TaskLogger
from ...execution import Execution


async def default_fallback_task(
    *args: Any,
    execution: Execution = CurrentExecution(),
    logger: logging.LoggerAdapter[logging.Logger] = TaskLogger(),
    **kwargs: Any,
) -> None:
    """Drop a call of an unknown task, with a warning; without a fallback it is parked.

    Arguments:
        args, kwargs: the arguments of the call.
        execution: the call.
        logger: where the warning goes.

    Example:
        >>> Worker(docket, fallback_task=default_fallback_task)
    """
    del args, kwargs
    logger.warning(
        "Unknown task %r received - dropping. Make it known with docket.register(), or with --tasks on the "
        "command line; without this fallback it is parked until a worker knows it.",
        execution.function_name,
    )
