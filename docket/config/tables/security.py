"""[security]."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ..kinds import Name, Size
from .base import Table

Codec: TypeAlias = Literal["safe", "pickle"]


class Security(Table):
    """[security]: which bytes are trusted."""

    codecs: Annotated[tuple[Codec, ...], Field(min_length=1, strict=False)] = Field(
        default=("safe", "pickle"),
        description='How arguments and results may be encoded; ["safe"] refuses pickle on both sides.',
    )
    signing_keys: dict[Name, Annotated[str, Field(min_length=1)]] = Field(
        default={},
        description="Secrets by id, each as file:PATH or env:NAME; the first signs, all of them verify.",
        repr=False,
    )
    max_payload: Size = Field(
        default=1 << 20, description="The limit of the serialized arguments of one task, in bytes."
    )
