"""Events of an execution while it goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from typing_extensions import NotRequired, TypedDict

from .lifecycle import ExecutionState


class StateEvent(TypedDict):
    """An execution has entered a state; times are ISO strings."""

    type: Literal["state"]
    key: str
    state: ExecutionState
    when: str
    worker: str | None
    started_at: str | None
    completed_at: str | None
    error: NotRequired[str | None]
    """Left out of events as they happen, if there is none."""


class ProgressEvent(TypedDict):
    """An execution has come further."""

    type: Literal["progress"]
    key: str
    current: int | None
    total: int
    message: str | None
    updated_at: str | None


def iso(moment: datetime | None) -> str | None:
    """Return a moment as events have it."""
    return None if moment is None else moment.isoformat()
