"""Flask under gunicorn: the docket of a module is loaded once, and used by all workers that are forked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..fleet.kinds import Fleet

ROOT = Path(__file__).parents[2]


@pytest.mark.fleet
@pytest.mark.timeout(300)
def test_forked_workers_add_from_their_threads_and_end_without_a_complaint(
    fleet: Fleet, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contrib.programs.gunicorn_client"],
        check=False,
        cwd=ROOT,
        env={**os.environ, "URL": fleet.url("redis-8.2"), "DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=250,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["4 workers", "160 keys, 161 in the docket", "code 0 []"]
