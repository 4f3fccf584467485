"""Runs the fast lane on Pythons from 3.10 to 3.13, as far as there are any, each in its own environment.

``--oldest`` leaves out all others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def interpreters() -> dict[str, str]:
    """The interpreters by version: on PATH, or where pyenv keeps them."""
    found: dict[str, str] = {}
    for version in VERSIONS:
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        candidates = [
            shutil.which(f"python{version}"),
            *sorted(pyenv.glob(f"{version}.*/bin/python")),
        ]
        for candidate in candidates:
            if candidate and _is_version(str(candidate), version):
                found[version] = str(candidate)
                break
    return found


def _is_version(interpreter: str, version: str) -> bool:
    asked = subprocess.run(
        [interpreter, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() == version


def main() -> int:
    """Run the fast lane everywhere but on the Python that runs this."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    failures: list[str] = []
    found = interpreters()
    wanted = {VERSIONS[0]} if "--oldest" in sys.argv else found
    for version, interpreter in found.items():
        if version == own or version not in wanted:
            continue
        environment = ROOT / f".venv-{version}"
        python = environment / "bin" / "python"
        print(f"Python {version}: {interpreter}", flush=True)
        if not python.exists():
            subprocess.run([interpreter, "-m", "venv", environment], check=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
        subprocess.run(
            [*pip, "--editable", ".[http,local,metrics,web]", "--group", "test"],
            check=True,
            cwd=ROOT,
        )
        fast = [
            python,
            "-m",
            "pytest",
            "-q",
            *("-n", "4", "--dist", "worksteal"),
            "-m",
            "everywhere or not (fleet or fault or thorough or alone)",
            "-p",
            "no:cacheprovider",
        ]
        if subprocess.run(fast, check=False, cwd=ROOT).returncode:
            failures.append(version)
    if failures:
        print(f"failed on Python {', '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
