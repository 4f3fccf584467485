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
from .environments import ROOT, build_ours, once, python_of

HERE = Path(__file__).parent / "programs"

Found = dict[str, Any]
Run = Callable[..., Found]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "frameworks"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture(scope="session")
def run(shared: Path, fleet: Fleet) -> Run:
    """Run a program to its end, once: it prints what it found as JSON, in its last line.

    The settings become its environment; in them ``{url}`` is where its tasks are kept, and ``{directory}``
    is its own.
    """

    def run(environment: str, program: str, kind: str, **settings: str) -> Found:
        directory = shared / f"{program}-{kind}"
        with once(directory) as is_first:
            if is_first:
                words = {"url": fleet.url(kind), "directory": str(directory)}
                filled = {key: value.format(**words) for key, value in settings.items()}
                found = _printed_by(environment, HERE / f"{program}.py", shared, filled)
                (directory / "found.json").write_text(found, "utf-8")
        return json.loads((directory / "found.json").read_text("utf-8"))

    return run


def _printed_by(environment: str, program: Path, shared: Path, settings: dict[str, str]) -> str:
    python, ours = python_of(environment), shared / f"ours-{environment}"
    with once(ours) as is_first:
        if is_first:
            build_ours(python, ours / "packages")
    paths = f"{ours / 'packages'}{os.pathsep}{ROOT / 'examples'}"
    ended = subprocess.run(
        [python, program],
        env={**os.environ, "PYTHONPATH": paths, **settings},
        cwd=ours,
        capture_output=True,
        text=True,
        timeout=300,  # a server of theirs takes half a minute to import on a machine that is busy
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout.splitlines()[-1]


@pytest.fixture(scope="module", params=(MEMORY, "redis-8.2"))
def kind(request: pytest.FixtureRequest) -> str:
    """What keeps the tasks: a server in memory, and a real Redis."""
    return request.param
