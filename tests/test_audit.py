"""What the audit of the dependencies says of the answers that it gets."""

from __future__ import annotations

import json
from typing import Any

from tests.audit import FOUND, LOCKED, UNREACHABLE, verdict


def said(*dependencies: dict[str, Any]) -> tuple[int, list[str]]:
    return verdict(json.dumps({"dependencies": dependencies, "fixes": []}), "")


GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
WORSE = {"name": "worse", "version": "3.0", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


def test_nothing_known_is_good_news() -> None:
    assert said(GOOD) == (0, ["0 known vulnerabilities in 1 packages"])


def test_what_is_known_is_told_with_the_version_that_mends_it() -> None:
    assert said(GOOD, BAD, WORSE) == (
        FOUND,
        [
            "bad 2.0: PYSEC-1, mended in 2.1",
            "worse 3.0: PYSEC-2, mended in no version yet",
            "2 known vulnerabilities in 3 packages",
        ],
    )


def test_what_nobody_knows_is_no_good_news() -> None:
    code, lines = said(GOOD, UNKNOWN)

    assert code == UNREACHABLE
    assert lines[-1].startswith("1 packages could not be looked up, the network or the index")
    assert said()[0] == UNREACHABLE


def test_an_audit_without_the_network_says_so() -> None:
    code, (line,) = verdict("", "Traceback …\nConnectionError: no route to host\n")

    assert code == UNREACHABLE
    assert "needs the network" in line
    assert line.endswith("it said: ConnectionError: no route to host")


def test_what_is_audited_is_what_is_locked() -> None:
    assert "redis==" in LOCKED.read_text()
