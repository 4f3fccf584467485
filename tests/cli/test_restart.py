"""``docket restart``: what becomes of it is in the exit code. It is really done in ``test_restarter.py``."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.supervised import nowhere, speaking, typed

__all__ = ["nowhere"]

DONE = {"result": "restarted", "revision": 3, "message": "", "changes": ["pool a: 2 new processes"]}


def answered(place: Path, *words: str, **said: Any) -> tuple[int, str, str]:
    """What becomes of the command where a supervisor answers so."""
    with speaking(place / "c", **said):
        done = typed("restart", "--control", "c", *words)
    (place / "c").unlink()
    return done.exit_code, done.stdout, done.stderr


def test_what_becomes_of_it_is_in_the_exit_code(nowhere: Path) -> None:
    assert answered(nowhere, "--wait", answer=DONE) == (
        0,
        "pool a: 2 new processes\nrestarted: revision 3 runs\n",
        "",
    )
    code, shown, _ = answered(nowhere, "a", "--wait", "-o", "json", answer=DONE)
    assert (code, json.loads(shown)["item"]) == (0, DONE)
    for result, line in (("rolled_back", "rolled back"), ("failed", "failed")):
        bad = {**DONE, "result": result, "message": "no such module", "changes": []}
        assert answered(nowhere, "--wait", answer=bad) == (
            1,
            f"{line}: revision 3 runs\n",
            "no such module\n",
        )
    missing = {"result": "not_found", "message": "no pool x runs on this host; there is a"}
    assert answered(nowhere, "x", answer=missing)[::2] == (3, f"{missing['message']}\n")
    busy = {"kind": "refused", "message": "a restart of a is under way"}
    assert answered(nowhere, error=busy)[::2] == (4, "a restart of a is under way\n")


def test_without_waiting_it_says_what_was_accepted(nowhere: Path) -> None:
    accepted = {"result": "accepted", "pools": ["a", "b"]}
    code, shown, _ = answered(nowhere, answer=accepted)
    assert (code, shown.partition(";")[0]) == (0, "accepted: a, b")
    code, shown, _ = answered(nowhere, "-o", "json", answer=accepted)
    assert (code, json.loads(shown)["item"]) == (0, accepted)


@pytest.mark.usefixtures("nowhere")
def test_too_late_is_8_and_nobody_is_5() -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind("c")
        hanging.listen(1)
        late = typed("restart", "--control", "c", "--wait", "--timeout", "50ms")
    assert (late.exit_code, "has not answered within 0.05 s" in late.stderr) == (8, True)
    assert typed("restart", "--control", "nothing").exit_code == 5
