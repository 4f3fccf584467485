"""``make audit``: what is known of the locked dependencies that endangers those who use them.

Exit code 0 is nothing, 1 is something, 5 is that it could not be looked up: no answer is no good news.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCKED = Path(__file__).parents[1] / "requirements.lock"

FOUND, UNREACHABLE = 1, 5

WORDS = (
    *("--requirement", str(LOCKED), "--require-hashes", "--no-deps", "--disable-pip"),
    *("--format", "json", "--progress-spinner", "off"),
)


def main() -> int:
    """Ask, tell, and return the exit code."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip_audit", *WORDS], capture_output=True, text=True, check=False
    )
    code, lines = verdict(asked.stdout, asked.stderr)
    print("\n".join(lines))
    return code


def verdict(answer: str, complaints: str) -> tuple[int, list[str]]:
    """Return the exit code, and what there is to say.

    Arguments:
        answer: what pip-audit has printed.
        complaints: its standard error.
    """
    try:
        known: Sequence[Mapping[str, Any]] = json.loads(answer)["dependencies"]
    except ValueError:
        last = complaints.strip().rpartition("\n")[2]
        why = (
            "Nothing was looked up: the audit asks pypi.org, which needs the network, and pip-audit from "
            f"`pip install --group audit`; it said: {last or 'nothing'}"
        )
        return UNREACHABLE, [why]
    unknown = [one["name"] for one in known if "skip_reason" in one]
    found = [
        f"{one['name']} {one['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in known
        for hole in one.get("vulns", ())
    ]
    lines = [*found, f"{len(found)} known vulnerabilities in {len(known) - len(unknown)} packages"]
    if unknown:
        lines.append(
            f"{len(unknown)} packages could not be looked up, the network or the index behind it does not "
            f"know them: {', '.join(unknown[:10])}{' …' if len(unknown) > 10 else ''}"
        )
    return (FOUND if found else UNREACHABLE if unknown or not known else 0), lines


if __name__ == "__main__":
    sys.exit(main())
