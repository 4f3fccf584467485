"""Environments with published programs that were written for pydocket, which is not in them.

What others have published is installed once per machine. Docket and its companion are built from this
tree and stand in front of it, so that they are never older than the test.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COMPANION = ROOT / "companion"

PROGRAMS = {
    # Prefect 3.8 passes an argument to FastAPI that newer versions have dropped.
    "current": ["fastmcp==4.1.2", "fastmcp-tasks==4.1.2", "prefect==3.8.8", "fastapi<0.140"],
    # The last series that imports private names, and that lives on events instead of polling.
    "fastmcp-2": ["fastmcp==2.14.7"],
}
"""The smallest set that has every way of use, in versions that are known to fit each other."""


def python_of(environment: str) -> Path:
    """The interpreter of an environment, which is made when it is first asked for."""
    directory = _cache() / f"{environment}-{_recipe(environment)}"
    python = directory / "bin" / "python"
    with once(directory) as is_first:
        if is_first:
            _install(environment, directory, python)
    return python


@contextmanager
def once(directory: Path) -> Generator[bool, None, None]:
    """Let one process at a time fill a directory, and tell it whether that is still to be done."""
    directory.mkdir(parents=True, exist_ok=True)
    stamp = directory / "done"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not stamp.exists()
        stamp.touch()


def build_ours(python: Path, target: Path) -> None:
    """Build Docket and its companion from this tree, as wheels, and unpack them into a directory."""
    _pip(
        python,
        "install",
        "--no-deps",
        "--no-build-isolation",
        *("--target", target),
        *(ROOT, COMPANION),
    )


def _install(environment: str, directory: Path, python: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    # Both of ours take part in the resolution, as for a user, and then leave: they are built anew.
    ours = (f"{ROOT}[local]", COMPANION)
    _pip(python, "install", "--no-compile", "hatchling>=1.27", *ours, *PROGRAMS[environment])
    _pip(python, "uninstall", "--yes", "docket-platform", "pydocket")


def _pip(python: Path, command: str, *arguments: str | Path) -> None:
    pip = [python, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *arguments], check=True)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "docket-frameworks"


def _recipe(environment: str) -> str:
    ours = [(place / "pyproject.toml").read_text("utf-8") for place in (ROOT, COMPANION)]
    recipe = repr((sys.version, PROGRAMS[environment], ours))
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]
