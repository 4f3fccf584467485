"""Runs executions: one occupation per file, wired together in ``worker``."""

from .worker import Worker

__all__ = ["Worker"]
