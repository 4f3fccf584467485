"""Docket: a declarative, config-driven task platform for Python on Redis Streams.

The names here are loaded when they are first used, so that importing the package costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from . import testing
    from .agenda import Agenda
    from .annotations import Logged
    from .dependencies import (
        CallArgument,
        ConcurrencyLimit,
        Cooldown,
        Cron,
        CurrentDocket,
        CurrentExecution,
        CurrentSyncDocket,
        CurrentWorker,
        CycleError,
        Debounce,
        Depends,
        ExponentialRetry,
        Perpetual,
        Progress,
        RateLimit,
        Retry,
        Shared,
        SyncProgress,
        TaskArgument,
        TaskKey,
        TaskLogger,
        Timeout,
    )
    from .docket import Docket
    from .errors import DocketError
    from .execution import Execution, ExecutionCancelled, TaskCall
    from .foundation.lifecycle import Disposition, ExecutionState
    from .strikelist import StrikeList
    from .sync import SyncDocket
    from .worker import Worker

_HOMES = {
    "Agenda": "agenda",
    "CallArgument": "dependencies",
    "ConcurrencyLimit": "dependencies",
    "Cooldown": "dependencies",
    "Cron": "dependencies",
    "CurrentDocket": "dependencies",
    "CurrentExecution": "dependencies",
    "CurrentSyncDocket": "dependencies",
    "CurrentWorker": "dependencies",
    "CycleError": "dependencies",
    "Debounce": "dependencies",
    "Depends": "dependencies",
    "Disposition": "foundation.lifecycle",
    "Docket": "docket",
    "DocketError": "errors",
    "Execution": "execution",
    "ExecutionCancelled": "execution",
    "ExecutionState": "foundation.lifecycle",
    "ExponentialRetry": "dependencies",
    "Logged": "annotations",
    "Perpetual": "dependencies",
    "Progress": "dependencies",
    "RateLimit": "dependencies",
    "Retry": "dependencies",
    "Shared": "dependencies",
    "StrikeList": "strikelist",
    "SyncDocket": "sync",
    "SyncProgress": "dependencies",
    "TaskArgument": "dependencies",
    "TaskCall": "execution",
    "TaskKey": "dependencies",
    "TaskLogger": "dependencies",
    "Timeout": "dependencies",
    "Worker": "worker",
}

__all__ = [
    "Agenda",
    "CallArgument",
    "ConcurrencyLimit",
    "Cooldown",
    "Cron",
    "CurrentDocket",
    "CurrentExecution",
    "CurrentSyncDocket",
    "CurrentWorker",
    "CycleError",
    "Debounce",
    "Depends",
    "Disposition",
    "Docket",
    "DocketError",
    "Execution",
    "ExecutionCancelled",
    "ExecutionState",
    "ExponentialRetry",
    "Logged",
    "Perpetual",
    "Progress",
    "RateLimit",
    "Retry",
    "Shared",
    "StrikeList",
    "SyncDocket",
    "SyncProgress",
    "TaskArgument",
    "TaskCall",
    "TaskKey",
    "TaskLogger",
    "Timeout",
    "Worker",
    "__version__",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module(".testing", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'docket' has no attribute {name!r}")
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
