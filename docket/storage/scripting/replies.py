"""Shapes of replies."""

from __future__ import annotations

from collections.abc import Sequence


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a flat list of names and values as a table, in its order."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
