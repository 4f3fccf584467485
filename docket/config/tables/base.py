"""The base of all tables of a docket.toml."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]


class Table(BaseModel):
    """Base of all tables: unknown keys are errors, a string is not a number, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants"
    )


def with_keys(choice: str, *keys: str) -> dict[str, Any]:
    """Return the rule for editors that a table has one of these keys, or some of them."""
    return {choice: [{"required": [key]} for key in keys]}
