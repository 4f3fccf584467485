"""Two releases of one format: the checkout at hand, and one beside it.

The other one is the commit that ``DOCKET_BEFORE`` names, else the one before this; where there is none (no
repository, a shallow one, a commit of another format) it is a copy of this one with another version number.
Both come with their own tests, so that each runs the worker program that fits it.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from .workers import ROOT

BEFORE = "DOCKET_BEFORE"
PACKAGES = ("docket", "tests")
FORMAT = Path("docket", "storage", "scripts", "include", "format.lua")
VERSION = Path("docket", "_version.py")


def release_before(directory: Path) -> Path:
    """Put another release of the same format into a directory; gives the checkout."""
    named = os.environ.get(BEFORE)
    found = _checked_out(named or "HEAD~1", directory / "commit")
    if found is None or _format(found) != _format(ROOT):
        assert not named, f"{BEFORE}: {named} is no commit of this repository and this format"
        found = _copied(directory / "copy")
    assert _imported(found) == str(found / "docket" / "__init__.py")
    return found


def _checked_out(commit: str, to: Path) -> Path | None:
    asked = subprocess.run(
        ["git", "archive", commit, *PACKAGES], cwd=ROOT, capture_output=True, check=False
    )
    if asked.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(asked.stdout)) as archive:
        archive.extractall(to)
    return to


def _copied(to: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, to / package, ignore=shutil.ignore_patterns("__pycache__"))
    (to / VERSION).write_text('__version__ = "0.0.1"\n')
    return to


def _format(checkout: Path) -> str:
    """The number of the format that a checkout writes; empty if it knows of none."""
    if not (checkout / FORMAT).exists():
        return ""
    found = re.search(r"FORMAT = '(\d+)'", (checkout / FORMAT).read_text())
    assert found, f"no number in {checkout / FORMAT}"
    return found[1]


def _imported(checkout: Path) -> str:
    """Which package a program finds that is started there."""
    program = "import docket; print(docket.__file__)"
    asked = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=True
    )
    return asked.stdout.strip()
