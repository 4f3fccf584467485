"""The requirements of ``security.profile = "strict"``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import ConfigurationError

STRICT: Final = "strict"
SHORTEST_KEY: Final = 32
"""Bytes that a signing key has at least."""


def check_strict(codecs: Sequence[str], keys: Sequence[tuple[str, bytes]]) -> None:
    """Check that nothing is pickled, and that everything is signed with long keys.

    Raises:
        ConfigurationError: it is not so.
    """
    if "pickle" in codecs:
        raise ConfigurationError(
            'security.profile is "strict" and security.codecs allow "pickle": take it out, or choose '
            "another profile"
        )
    if not keys:
        raise ConfigurationError(
            'security.profile is "strict" and there are no security.signing_keys: add one of '
            f"{SHORTEST_KEY} bytes or more, as file:PATH or env:NAME"
        )
    for identity, secret in keys:
        if len(secret) < SHORTEST_KEY:
            raise ConfigurationError(
                f'security.profile is "strict" and the signing key {identity!r} has {len(secret)} bytes: '
                f"expected {SHORTEST_KEY} or more; make one with `openssl rand -hex 32`"
            )
