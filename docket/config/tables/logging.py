"""[logging]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Level, Table


class Logging(Table):
    """[logging]: what is told, and how."""

    level: Level = Field(default="info", description="The least severe messages that are written.")
    format: Literal["auto", "rich", "plain", "json"] = Field(
        default="auto",
        description="How messages are written; auto is rich on a terminal, else plain.",
    )
