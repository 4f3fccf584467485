"""Storage of results that behaves as tests want it to."""

from __future__ import annotations

import asyncio
from typing import Any

from key_value.aio.stores.memory import MemoryStore


class Endless(MemoryStore):
    """One that is never done with storing, and tells when it has begun to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def put(self, *args: Any, **kwargs: Any) -> None:
        """Begin."""
        self.begun.set()
        await asyncio.Event().wait()
