"""[results]."""

from __future__ import annotations

from pydantic import Field

from ..kinds import Limit
from .base import Table


class ResultsTable(Table):
    """[results]: how much memory results may take."""

    max_memory: Limit = Field(
        default=256 << 20,
        description="The memory of Redis that results take at most; beyond it the oldest are evicted. "
        "0 is no limit.",
    )
