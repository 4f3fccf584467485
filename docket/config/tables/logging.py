"""[logging]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Level, Table


class Logging(Table):
    """[logging]: which messages are written, and how."""

    level: Level = Field(default="info", description="The least severe messages that are written.")
    format: Literal["auto", "rich", "plain", "json"] = Field(
        default="auto",
        description="The format of messages; auto is rich on a terminal, else plain.",
    )
