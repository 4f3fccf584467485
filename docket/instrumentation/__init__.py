"""Reports of a docket on its work: events, logs, metrics, spans, health.

The names here are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .carrier import MessageGetter, MessageSetter, message_getter, message_setter
    from .health import healthcheck_server
    from .instruments import (
        CACHE_SIZE,
        QUEUE_DEPTH,
        REDIS_DISRUPTIONS,
        SCHEDULE_DEPTH,
        STRIKES_IN_EFFECT,
        TASK_DURATION,
        TASK_PUNCTUALITY,
        TASKS_ADDED,
        TASKS_CANCELLED,
        TASKS_COMPLETED,
        TASKS_DEAD,
        TASKS_FAILED,
        TASKS_INTERRUPTED,
        TASKS_PARKED,
        TASKS_PERPETUATED,
        TASKS_REDELIVERED,
        TASKS_REPLACED,
        TASKS_RETRIED,
        TASKS_RUNNING,
        TASKS_SCHEDULED,
        TASKS_STARTED,
        TASKS_STRICKEN,
        TASKS_SUCCEEDED,
        TASKS_SUPERSEDED,
    )
    from .prometheus import metrics_server

_HOMES = {
    "CACHE_SIZE": "instruments",
    "MessageGetter": "carrier",
    "MessageSetter": "carrier",
    "QUEUE_DEPTH": "instruments",
    "REDIS_DISRUPTIONS": "instruments",
    "SCHEDULE_DEPTH": "instruments",
    "STRIKES_IN_EFFECT": "instruments",
    "TASKS_ADDED": "instruments",
    "TASKS_CANCELLED": "instruments",
    "TASKS_COMPLETED": "instruments",
    "TASKS_DEAD": "instruments",
    "TASKS_FAILED": "instruments",
    "TASKS_INTERRUPTED": "instruments",
    "TASKS_PARKED": "instruments",
    "TASKS_PERPETUATED": "instruments",
    "TASKS_REDELIVERED": "instruments",
    "TASKS_REPLACED": "instruments",
    "TASKS_RETRIED": "instruments",
    "TASKS_RUNNING": "instruments",
    "TASKS_SCHEDULED": "instruments",
    "TASKS_STARTED": "instruments",
    "TASKS_STRICKEN": "instruments",
    "TASKS_SUCCEEDED": "instruments",
    "TASKS_SUPERSEDED": "instruments",
    "TASK_DURATION": "instruments",
    "TASK_PUNCTUALITY": "instruments",
    "healthcheck_server": "health",
    "message_getter": "carrier",
    "message_setter": "carrier",
    "metrics_server": "prometheus",
}

__all__ = [
    "CACHE_SIZE",
    "QUEUE_DEPTH",
    "REDIS_DISRUPTIONS",
    "SCHEDULE_DEPTH",
    "STRIKES_IN_EFFECT",
    "TASKS_ADDED",
    "TASKS_CANCELLED",
    "TASKS_COMPLETED",
    "TASKS_DEAD",
    "TASKS_FAILED",
    "TASKS_INTERRUPTED",
    "TASKS_PARKED",
    "TASKS_PERPETUATED",
    "TASKS_REDELIVERED",
    "TASKS_REPLACED",
    "TASKS_RETRIED",
    "TASKS_RUNNING",
    "TASKS_SCHEDULED",
    "TASKS_STARTED",
    "TASKS_STRICKEN",
    "TASKS_SUCCEEDED",
    "TASKS_SUPERSEDED",
    "TASK_DURATION",
    "TASK_PUNCTUALITY",
    "MessageGetter",
    "MessageSetter",
    "healthcheck_server",
    "message_getter",
    "message_setter",
    "metrics_server",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
