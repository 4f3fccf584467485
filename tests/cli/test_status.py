"""``docket status``: how a supervisor stands, for people and for programs."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.cli.commands.status import CLEAR, REFRESH
from docket.supervisor.control.client import ask
from tests.cli.supervised import Desk, desk, nowhere, on_terminal, speaking, supervised, typed
from tests.supervisor.conftest import until

from .conftest import Shell

__all__ = ["desk", "nowhere", "supervised"]

pytestmark = pytest.mark.fleet


def test_people_see_revision_pools_processes_schedules_and_conditions(desk: Desk) -> None:
    until(lambda: "it ticks the schedules" in desk.prints("status"), "its leading")
    shown = desk.prints("status")
    lines = shown.splitlines()
    assert lines[0].startswith("docket supervised at embedded://")
    assert lines[1].endswith("it ticks the schedules")
    assert "runs; as the file says: " in lines[2]
    for title in ("POOL ", "PROCESS", "SCHEDULE", "CONDITION"):
        assert any(title in line for line in lines)
    (pool,) = [line for line in lines if line.startswith("default  1/1")]
    assert "ok" in pool
    assert "WORKER" in desk.prints("status", "-o", "wide")


def test_it_says_when_the_file_says_something_else(desk: Desk) -> None:
    desk.write('name = "supervised"', 'name = "x"')
    desk.type("reload", "--wait")
    assert "; the file says something else (" in desk.prints("status")
    desk.write("concurrency = 5", "concurrency = 0")
    desk.type("reload", "--wait")
    assert "; the file cannot be used: " in desk.prints("status")


def test_programs_read_it_as_json(desk: Desk) -> None:
    told = json.loads(desk.prints("status", "-o", "json"))
    assert (told["version"], told["kind"]) == (1, "status")
    assert told["item"]["pools"][0]["name"] == "default"
    assert json.loads(desk.prints("status", "-o", "jsonl"))["docket"] == "supervised"


def test_all_supervisors_of_a_docket_are_those_that_redis_has_heard_of(desk: Desk) -> None:
    def supervisors() -> list[dict[str, Any]]:
        return json.loads(desk.prints("status", "--all", "-o", "json"))["items"]

    def stands() -> list[tuple[bool, bool]]:
        return [(one["leads"], one["drift"]) for one in supervisors()]

    # What Redis has heard is as old as the last beat: it may still be what the test before has left.
    until(lambda: stands() == [(True, False)], "the beat of one that leads and does not drift")
    shown = desk.prints("status", "--all")
    assert "HOST" in shown
    assert "default 1/1" in shown
    told = json.loads(desk.prints("status", "--all", "-o", "json", "--config", str(desk.file)))
    (one,) = told["items"]
    assert desk.supervised.process is not None
    assert one["pid"] == desk.supervised.process.pid


def test_one_that_drifts_is_pointed_at(desk: Desk) -> None:
    control = str(desk.file.with_name(".docket") / "control.sock")
    ask(Path(control), "scale", 60, by=1)

    def drifts() -> bool:
        return bool(json.loads(desk.prints("status", "--all", "-o", "json"))["items"][0]["drift"])

    until(drifts, "the beat")
    assert ": not the active revision, or not" in desk.type("status", "--all").stderr
    ask(Path(control), "scale", 60, by=-1)
    until(lambda: not drifts(), "the beat")


def test_it_looks_again_until_somebody_has_seen_enough(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", nap)
    assert desk.prints("status", "--watch").count("docket supervised at") == 2
    assert naps == [REFRESH] * 2


@pytest.mark.usefixtures("desk")
def test_on_a_terminal_the_last_look_makes_room_for_the_next() -> None:
    shown = on_terminal("status", "--watch", enough=b"RestartRequired")
    first, _, second = shown.partition(CLEAR)
    assert "docket supervised at" in first
    assert "docket supervised at" in second


def standing(**other: Any) -> dict[str, Any]:
    """How a supervisor stands that is in trouble."""
    pool = {
        "name": "default",
        "revision": 1,
        "desired": 1,
        "running": 0,
        "ready": 0,
        "queues": ["q"],
    }
    return {
        "docket": "d",
        "owner": "d",
        "url": "redis://h",
        "host": "h",
        "pid": 1,
        "file": "f",
        "started": 0,
        "is_up": False,
        "leads": False,
        "desired": {"hash": "a" * 64},
        "running": {"hash": "a" * 64, "revision": 1},
        "conditions": [],
        "schedules": [],
        "pools": [{**pool, "is_degraded": True, "exits": {"crash": 6}, "processes": []}],
        **other,
    }


def test_a_degraded_pool_is_exit_1(nowhere: Path) -> None:
    told = standing()
    told["pools"][0]["behind"] = 1
    with speaking(nowhere / "c", answer=told):
        result = typed("status", "--control", "c")
    assert result.exit_code == 1
    assert "default  0/1    0        1    degraded  q       crash 6" in result.stdout
    assert "starting or stopping" in result.stdout
    assert "1 process still runs an older revision: what drains, or has" in result.stdout
    assert "it leaves the schedules to another supervisor" in result.stdout


def test_paused_queues_are_listed_by_who_has_paused_them(nowhere: Path) -> None:
    by_hand = {"name": "*", "by": "ann", "file": "", "revision": None, "reason": "INC-7"}
    of_file = {"name": "bulk", "by": "", "file": "shop", "revision": 3, "reason": ""}
    now = time.time()
    paused = [
        {**by_hand, "since": now - 3600, "until": now + 3600},
        {**of_file, "since": now - 60, "until": None},
    ]
    with speaking(nowhere / "c", answer=standing(paused_queues=paused)):
        lines = typed("status", "--control", "c").stdout.splitlines()

    (first, second) = lines[(at := lines.index(_title(lines, "PAUSED QUEUE"))) + 1 : at + 3]
    assert re.fullmatch(r"all +ann +\w+ ago +in \w+ +INC-7", first)
    assert re.fullmatch(r"bulk +the file of shop \(revision 3\) +\w+ ago", second.rstrip())


def _title(lines: list[str], words: str) -> str:
    return next(line for line in lines if line.startswith(words))


@pytest.mark.parametrize(("kind", "code"), [("refused", 4), ("failed", 4), ("misunderstood", 2)])
def test_what_a_supervisor_will_not_or_does_not_know_is_told(
    nowhere: Path, kind: str, code: int
) -> None:
    with speaking(nowhere / "c", error={"kind": kind, "message": "no"}):
        result = typed("status", "--control", "c")
    assert (result.exit_code, result.stderr) == (code, "no\n")


@pytest.mark.usefixtures("nowhere")
def test_without_a_supervisor_it_is_exit_5() -> None:
    result = typed("status")
    assert result.exit_code == 5
    assert "start one with docket-supervisor" in result.stderr


STANDS: dict[str, Any] = {
    "host": "h",
    "pid": 1,
    "owner": "o",
    "revision": 1,
    "digest": "d",
    "drift": False,
    "leads": True,
    "pools": {"default": {"ready": 1, "desired": 1}},
}


def test_supervisors_that_tell_something_else_are_left_out_and_older_processes_counted(
    shell: Shell,
) -> None:
    pool = {"ready": 1, "desired": 1}
    older = {
        "a": {**pool, "behind": 1},
        "b": {**pool, "behind": 2},
        "c": {**pool, "behind": "x"},
    }
    damaged = [
        {},
        {**STANDS, "pid": "x"},
        {**STANDS, "pools": {"default": 1}},
        {**STANDS, "pools": {"default": {}}},
    ]

    async def write(docket: Docket) -> None:
        configurations = docket.storage.configurations
        await configurations.beat("o", "good", 0, STANDS)
        await configurations.beat("o", "older", 0, {**STANDS, "pools": older})
        for at, about in enumerate(damaged):
            await configurations.beat("o", f"bad{at}", 0, about)
        async with docket.redis() as client:
            redis: Any = client
            await redis.hset(docket.key("supervisors"), "nonsense", "nonsense")

    shell.visit(write)
    shown = shell.type("status", "--all", "-o", "json")

    assert shown.exit_code == 0
    items = json.loads(shown.stdout)["items"]
    assert [(one["who"], one["behind"]) for one in items] == [("good", 0), ("older", 3)]
    people = shell.type("status", "--all").stderr
    assert "3 processes still run an older revision, on h; docket status there names them" in people
    for name in ("bad0", "bad1", "bad2", "bad3"):
        assert f"{name} is left out" in shown.stderr
