"""Every example is a program: it runs, and prints what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

PRINTED = {
    "crm": """\
acme: 20
globex: 20
initech: 20
segments of acme: 1
segments of globex: 1
segments of initech: 1
warnings to acme: 1
warnings to globex: 1
warnings to initech: 1
at a time: 2
""",
    "feed": """\
connect
store a
store b
store c
disconnect
""",
    "export": """\
rows 20
small.csv
cancelled
""",
    "flask_shop": """\
{'mail': 'welcome-42', 'state': 'queued'}
welcome to the shop, user 42
{'state': 'completed'}
""",
    "fastapi_exports": """\
rows 20
completed
""",
}


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "printed"), PRINTED.items(), ids=str)
def test_a_program_prints_what_it_says(name: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}"],
        check=False,
        cwd=ROOT,
        env={"DOCKET_URL": "memory://example", "DOCKET_NAME": name},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
