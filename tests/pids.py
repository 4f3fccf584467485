"""Whether a process runs, asked by its number: for processes that are no children of the asker."""

from __future__ import annotations

import os
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process runs.

    One that has exited but was not waited for yet has no life left, although its number still takes
    signals: process 1 of some machines buries those that it inherits only every few seconds.
    """
    try:
        os.kill(pid, 0)
        if not Path("/proc/self").exists():
            return True
        # The second field is the program's name, which may hold anything but ends with the last bracket.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False
