"""Tasks that kill their process, in each of the ways in which processes die."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path


def exit_hard() -> None:
    """Leave without a word."""
    os._exit(3)


def crash() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def be_killed() -> None:
    """End as one whose memory the kernel wants back."""
    os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(allowance: int) -> tuple[int, int]:
    """Let this process have so many bytes more than it has; gives the limits of before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + allowance, before[1]))
    return before


def hoard() -> None:
    """Take memory until there is none, and end as C libraries end then: by abort."""
    _limit_memory(256 << 20)
    taken: list[bytes] = []
    try:
        while True:
            taken.append(bytes(16 << 20))
    except MemoryError:
        os.abort()


async def swell() -> int:
    """Ask for more memory than this process may have, which Python survives."""
    before = _limit_memory(64 << 20)
    try:
        return len(bytearray(1 << 30))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


WAYS: dict[str, Callable[[], None]] = {
    "SIGKILL": be_killed,
    "SIGSEGV": crash,
    "exit code 3": exit_hard,
    "SIGABRT": hoard,
}
"""How a process dies, by what its supervisor says of it."""


async def kill(way: str, after: float = 0.0) -> None:
    """Kill this process after so many seconds."""
    await asyncio.sleep(after)
    WAYS[way]()
