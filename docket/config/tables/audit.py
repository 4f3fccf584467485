"""[audit]."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from ..kinds import PositiveDuration, Size
from .base import Table


class AuditTable(Table):
    """[audit]: how much is kept of what operators have done."""

    keep: PositiveDuration = Field(
        default=timedelta(days=90), description="The time that a deed is kept."
    )
    max_memory: Size = Field(
        default=8 << 20,
        description="The memory of Redis that all deeds take, about; the oldest goes first.",
    )
