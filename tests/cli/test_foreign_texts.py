"""What somebody has written to Redis neither steers a terminal nor passes for a line of ours."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from docket import Docket
from docket.serialization import Serializer

from .conftest import Shell

pytestmark = pytest.mark.fleet

FOREIGN = "\x1b[2J\nFORGED"
LATER = 4_000_000_000_000
"""Unix time in ms."""


@pytest.fixture
def hostile(shell: Shell) -> Shell:
    """A docket in which every text that can be foreign is."""

    async def write(docket: Docket) -> None:
        key, safe = docket.key, Serializer(codecs=("safe",))
        definition = {
            "task": FOREIGN,
            "args": [],
            "kwargs": {},
            "timing": {"every": 3600.0, "phase": 0.0},
            "seed": "",
            "paused": False,
            "catchup": "last",
            "overlap": "skip",
        }
        told = json.dumps(definition)
        pause = json.dumps({"by": FOREIGN, "reason": FOREIGN})
        now = int(time.time() * 1000) + 60_000
        call = safe.dump_call((), {})
        about = {"state": "running", "task": FOREIGN, "due": "1", "call": call}
        rule = safe.dump_result((FOREIGN, [], "", "", "", None))
        await docket.strike(FOREIGN)
        async with docket.redis() as client:
            redis: Any = client
            await redis.zadd(key("workers"), {FOREIGN: now})
            await redis.sadd(key(f"worker-tasks:{FOREIGN}"), f"charge{FOREIGN}", "refund")
            await redis.hset(key(f"worker-shapes:{FOREIGN}"), "refund", f"({FOREIGN})")
            for name in ("held", "dead", "runs"):
                await redis.hset(key(f"runs:{name}"), mapping=about)
            await redis.hset(key("runs:held"), mapping={"state": "parked", "reason": FOREIGN})
            await redis.zadd(key("parked"), {"held": 1})
            await redis.zadd(key(f"parked:{FOREIGN}:{FOREIGN}"), {"held": 1})
            await redis.sadd(key("parked-groups"), f"{FOREIGN}:{FOREIGN}")
            await redis.hset(key("runs:runs"), "consumer", f"x@{FOREIGN}")
            await redis.hset(key("runs:dead"), mapping={"state": "failed", "error": FOREIGN})
            await redis.set(key("results:dead"), safe.dump_error(RuntimeError(FOREIGN)))
            for schedule in (f"{FOREIGN}/nightly", f"{FOREIGN}/twice", f"a{FOREIGN}/twice"):
                await redis.hset(key("schedules"), f"definition:{schedule}", told)
                await redis.hset(key("schedules"), f"next:{schedule}", LATER)
                await redis.hset(key(f"schedule:{schedule}"), "pause", pause)
            await redis.hset(key("schedules"), f"definition:x/{FOREIGN}", "")
            await redis.hset(key("strikes"), f"task:{FOREIGN}", b"drop 0 500\n" + rule)
            await redis.hset(key("strikes"), f"rule:{FOREIGN}", b"drop 0 500\nnone")

    shell.visit(write)
    return shell


@pytest.mark.parametrize(
    "words",
    [
        ("strike", "--dry-run", "chargeFORGED"),
        ("restore", "other"),
        ("task", "add", "refund", "amount=int:1"),
        ("task", "cancel", "runs"),
        ("task", "explain", "held"),
        ("task", "explain", "dead"),
        ("task", "explain", "runs"),
        ("dead", "show", "dead"),
        ("parked", "release", "--dry-run"),
        ("parked", "release", "--yes"),
        ("schedule", "explain", "nightly"),
        ("schedule", "explain", "twice"),
        ("schedule", "next", "nightly"),
        ("schedule", "next", "twice"),
        ("schedule", "resume", "nightly"),
        ("schedule", "pause", "nightly"),
        ("schedule", "skip-next", "nightly"),
        ("schedule", "trigger", "nightly"),
    ],
    ids=" ".join,
)
def test_a_command_shows_foreign_texts_as_texts(hostile: Shell, words: Sequence[str]) -> None:
    done = hostile.type(*words)

    assert r"\x1b[2J" in done.output
    assert "\x1b" not in done.output
    assert not any(line.startswith("FORGED") for line in done.output.splitlines())


def test_what_a_library_warns_of_beside_an_answer_is_shown_so_too(hostile: Shell) -> None:
    done = hostile.program("schedule", "ls")

    assert r"The strike rule:\x1b[2J\nFORGED cannot be read" in done.stderr
    assert r"Schedule x/\x1b[2J\nFORGED is left out" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
