"""[history]."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from ..kinds import Duration, Size
from .base import Table


class HistoryTable(Table):
    """[history]: how much is remembered of what has ended."""

    enabled: bool = Field(
        default=True, description="Whether each end, and each failed attempt, is remembered."
    )
    keep: Duration = Field(default=timedelta(hours=72), description="The time that it is kept.")
    max_memory: Size = Field(
        default=128 << 20,
        description="The memory of Redis that it takes at most, half of it for what completed; the oldest "
        "goes first.",
    )
