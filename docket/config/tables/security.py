"""[security]."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ..kinds import Name, Size
from .base import Table

Codec: TypeAlias = Literal["safe", "pickle"]
Profile: TypeAlias = Literal["default", "strict"]


class Security(Table):
    """[security]: which bytes are trusted."""

    profile: Profile = Field(
        default="default",
        description='"strict" refuses pickle everywhere, and asks for signing keys of 32 bytes or more.',
    )
    codecs: Annotated[tuple[Codec, ...], Field(min_length=1, strict=False)] = Field(
        default=("safe",),
        description='The allowed encodings of values; "pickle" takes any object, and runs code when read.',
    )
    signing_keys: dict[Name, Annotated[str, Field(min_length=1)]] = Field(
        default={},
        description="Secrets by id, each as file:PATH or env:NAME; the first signs, all of them verify.",
        repr=False,
    )
    max_payload: Size = Field(
        default=1 << 20, description="The limit of the serialized arguments of one task, in bytes."
    )
