"""Keys that are unique and sort by the time of their making (UUID version 7, RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time


def new_key() -> str:
    """Return a key for an execution without one: 48 bits of Unix time in ms, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    high = random >> 68  # 12 bits
    low = random & ((1 << 62) - 1)
    # Written here: uuid.UUID takes three times as long.
    text = f"{milliseconds << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
