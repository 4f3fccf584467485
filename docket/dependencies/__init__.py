"""Dependencies that a task can declare in its signature: one file per feature."""

from __future__ import annotations

from uncalled_for import (
    CallArgument,
    CycleError,
    Dependency,
    FailedDependency,
    Shared,
    SharedContext,
    get_annotation_dependencies,
    get_dependency_parameters,
)
from uncalled_for import DependencyFactory as DependencyFunction
from uncalled_for.functional import Depends, _Depends
from uncalled_for.introspection import _parameter_cache

from ..annotations import validate_dependencies
from .base import (
    AdmissionBlocked,
    CompletionHandler,
    FailureHandler,
    Runtime,
    TaskOutcome,
    current_docket,
    current_execution,
    current_worker,
    format_duration,
)
from .concurrency_limit import ConcurrencyBlocked, ConcurrencyLimit
from .context import (
    CurrentDocket,
    CurrentExecution,
    CurrentWorker,
    TaskArgument,
    TaskKey,
    TaskLogger,
)
from .cooldown import Cooldown
from .cron import Cron
from .debounce import Debounce
from .perpetual import Perpetual
from .plain import CurrentSyncDocket, SyncProgress
from .progress import Progress
from .rate_limit import RateLimit
from .resolution import (
    detect_single_conflicts,
    get_single_dependency_of_type,
    get_single_dependency_parameter_of_type,
    resolved_dependencies,
    validate_worker_dependencies,
)
from .retry import ExponentialRetry, ForcedRetry, Retry
from .timeout import Timeout

__all__ = [
    "AdmissionBlocked",
    "CallArgument",
    "CompletionHandler",
    "ConcurrencyBlocked",
    "ConcurrencyLimit",
    "Cooldown",
    "Cron",
    "CurrentDocket",
    "CurrentExecution",
    "CurrentSyncDocket",
    "CurrentWorker",
    "CycleError",
    "Debounce",
    "Dependency",
    "DependencyFunction",
    "Depends",
    "ExponentialRetry",
    "FailedDependency",
    "FailureHandler",
    "ForcedRetry",
    "Perpetual",
    "Progress",
    "RateLimit",
    "Retry",
    "Runtime",
    "Shared",
    "SharedContext",
    "SyncProgress",
    "TaskArgument",
    "TaskKey",
    "TaskLogger",
    "TaskOutcome",
    "Timeout",
    "_Depends",
    "_parameter_cache",
    "current_docket",
    "current_execution",
    "current_worker",
    "detect_single_conflicts",
    "format_duration",
    "get_annotation_dependencies",
    "get_dependency_parameters",
    "get_single_dependency_of_type",
    "get_single_dependency_parameter_of_type",
    "resolved_dependencies",
    "validate_dependencies",
    "validate_worker_dependencies",
]
