"""The worker, which runs executions: one service per file, wired together in ``worker``."""

from .runs.fallback import default_fallback_task
from .worker import Worker

__all__ = ["Worker", "default_fallback_task"]
