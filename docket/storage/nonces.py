"""Nonces: what tells one call from every other one, however often it is sent."""

from __future__ import annotations

import secrets

FRESH = "*"
"""The nonce of a key that was made for one call only: whoever finds it there has found that call."""


def new_nonce() -> str:
    """A nonce that nobody else has: printable, and without what the scripts begin their own with."""
    return secrets.token_urlsafe(9)
