"""What the messages of this moment are about: the run that they are written in."""

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
        """What tells it from every other execution."""
        ...


current: ContextVar[tuple[Subject, Mapping[str, str]] | None] = ContextVar(
    "docket_current_subject", default=None
)
"""The execution that runs here, and the labels of its worker."""


def fields_of_run() -> Labels:
    """The fields of the run that we are in: docket, worker, task, key, due time and attempt."""
    running = current.get()
    if running is None:
        return {}
    execution, labels = running
    return {**labels, **execution.specific_labels()}
