"""Runs a program of tests/frameworks/programs in an environment of its own, and reads what it found."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..fleet.kinds import MEMORY, Fleet
from .environments import ROOT, build_ours, python_of

HERE = Path(__file__).parent
BACKENDS = (MEMORY, "redis-8.2")

Found = dict[str, Any]
Run = Callable[..., Found]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program to its end: it prints what it found as JSON, in its last line."""
    built: dict[str, Path] = {}

    def run(environment: str, program: str, **settings: str) -> Found:
        python = python_of(environment)
        if environment not in built:
            built[environment] = tmp_path_factory.mktemp(environment)
            build_ours(python, built[environment])
        paths = f"{built[environment]}{os.pathsep}{ROOT / 'examples'}"
        command = [python, HERE / "programs" / f"{program}.py"]
        own = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
        ended = subprocess.run(
            command,
            env={**own, "PYTHONPATH": paths, **settings},
            cwd=built[environment],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
        return json.loads(ended.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, fleet: Fleet) -> str:
    """Where the tasks are kept: in memory, and on a real Redis."""
    return fleet.url(request.param)
