"""I12: what people are told when all is over, held against the ledger and Redis."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from docket import Docket
from docket.foundation.lifecycle import ExecutionState

from .ledger import Audit

NOT_FOUND = 3
REFUSAL = re.compile(
    r"(?P<key>[^{}\s]+)\}: (?:the outcome was refused \((?P<verdict>\w+)\)|(?P<superseded>superseded))"
)
SHOWN = 3
"""How many executions of each state are looked at by the command line."""


async def told(url: str, docket: str, *words: str) -> tuple[int, Any]:
    """Run a command of ``docket`` as people do; tells the exit code, and what it showed."""
    command = [str(Path(sys.executable).with_name("docket")), *words]
    place = ["--docket", docket, "--url", url, "--output", "json"]
    asked = await asyncio.to_thread(
        subprocess.run, [*command, *place], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        return asked.returncode, None
    shown = json.loads(asked.stdout)
    return 0, shown.get("item", shown.get("items"))


async def counts_are_true(docket: Docket, url: str, audit: Audit) -> None:
    """All counts say that nothing is left; the dead letters are those that have failed."""
    snapshot = await docket.snapshot()
    assert (snapshot.total_tasks, len(snapshot.running), len(snapshot.future)) == (0, 0, 0)
    code, queues = await told(url, docket.name, "queue", "ls")
    assert code == 0
    assert [queue for queue in queues if queue["due_or_running"]] == []
    code, letters = await told(url, docket.name, "dead", "ls")
    assert code == 0
    dead = {letter["key"] for letter in letters}
    assert {letter["state"] for letter in letters} <= {ExecutionState.FAILED.value}
    failed = {
        key
        for key, record in audit.records.items()
        if record and record.state is ExecutionState.FAILED
    }
    assert dead & set(audit.records) == failed


async def single_ones_are_shown_as_they_are(docket: Docket, url: str, audit: Audit) -> None:
    """``docket task get`` shows what the record says, and finds nothing where there is nothing."""
    shown = Counter[ExecutionState]()
    for key, record in audit.records.items():
        assert record is not None
        shown[record.state] += 1
        if shown[record.state] > SHOWN:
            continue
        code, found = await told(url, docket.name, "task", "get", key)
        assert code == 0
        said = [found[name] for name in ("state", "task", "attempt", "reason")]
        assert said == [record.state.value, record.task, record.attempt, record.reason]
    assert await told(url, docket.name, "task", "get", "nobody") == (NOT_FOUND, None)


def ends_have_taken_place(audit: Audit) -> None:
    """Who has completed has ended under the fence that is on record; who has crashed never has."""
    ended = {(event.key, event.fence) for event in audit.of_kind("end")}
    started = Counter(event.key for event in audit.of_kind("start"))
    for key, record in audit.records.items():
        assert record is not None
        if record.state is ExecutionState.COMPLETED:
            assert (key, record.fence) in ended, f"{key} is completed, and no such run has ended"
        else:
            assert record.crashes <= started[key], f"{key}: {record.crashes} crashes of fewer runs"


def refusals_are_logged(audit: Audit, logs: str, died: Collection[int]) -> None:
    """Every outcome that was refused is in the log, and none else; the killed had no time to say so."""
    refused = audit.refused()
    known = Counter((event.key, event.detail.lower()) for event in refused)
    must = Counter((e.key, e.detail.lower()) for e in refused if e.pid not in died)
    said = Counter(
        (found["key"], found["verdict"] or found["superseded"]) for found in REFUSAL.finditer(logs)
    )
    assert not must - said, f"refused, and not in the log: {must - said}"
    assert not said - known, f"in the log, and not refused: {said - known}"
