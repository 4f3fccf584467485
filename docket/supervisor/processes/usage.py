"""Vital signs of a process from the system: the memory that it holds, and the time that it has computed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PS = "/bin/ps"


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds now; 0 if it is unknown."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    except (OSError, IndexError):
        return int(_asked(pid, "rss") or 0) << 10
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def computed_seconds(pid: int) -> float:
    """Return how long a process has computed, all its threads together; 0 if it is unknown."""
    try:
        # The second field is the program's name, which may hold anything but ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return seconds_of(_asked(pid, "time"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _asked(pid: int, what: str) -> str:
    """Return the output of ``ps``, where there is no ``/proc``."""
    command = [_PS, "-o", f"{what}=", "-p", str(pid)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    except OSError:
        return ""
    return told.stdout.strip()


def seconds_of(time: str) -> float:
    """``[[days-]hours:]minutes:seconds`` in seconds."""
    days, _, rest = time.rpartition("-")
    seconds = 0.0
    for part in rest.split(":") if rest else ():
        seconds = seconds * 60 + float(part)
    return int(days or 0) * 86_400 + seconds
