"""The subject of messages: the run in which they are written."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

Labels = Mapping[str, str | int]


class Subject(Protocol):
    """An execution, as logs and spans show it."""

    @property
    def function_name(self) -> str:
        """The name of the task."""
        ...

    def specific_labels(self) -> Labels:
        """Return the labels that distinguish it from every other execution."""
        ...


current: ContextVar[tuple[Subject, Mapping[str, str]] | None] = ContextVar(
    "docket_current_subject", default=None
)
"""The execution that runs here, and the labels of its worker."""


def fields_of_run() -> Labels:
    """Return the fields of the run that we are in: docket, worker, task, key, due time and attempt."""
    running = current.get()
    if running is None:
        return {}
    execution, labels = running
    return {**labels, **execution.specific_labels()}
