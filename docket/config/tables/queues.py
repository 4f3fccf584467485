"""[queues.NAME]."""

from __future__ import annotations

from pydantic import Field

from .base import Table


class QueueTable(Table):
    """[queues.NAME]: the state of a queue; ``*`` is every queue."""

    paused: bool = Field(
        default=False,
        description="True pauses it: nothing of it is started, and what runs goes on.",
    )
