"""Slices of a deed that is about many executions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

from ..storage.dead import SLICE

T = TypeVar("T")

WINDOW: Final = 0.1
"""Seconds for which a slice is enough, where there is a rate."""


async def slices(items: Sequence[T], rate: float | None = None) -> AsyncIterator[Sequence[T]]:
    """Yield items in slices of one script each, and no more of them a second than a rate allows.

    Arguments:
        items: all of them.
        rate: how many a second; None is any number.
    """
    size, pause = SLICE, 0.0
    if rate is not None:
        size = max(1, min(SLICE, int(rate * WINDOW)))
        pause = size / rate
    for at in range(0, len(items), size):
        if at and pause:
            await asyncio.sleep(pause)
        yield items[at : at + size]
