"""What a supervisor does when it is asked over its control socket, and what it answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from docket import Docket
from docket.errors import OperatorError
from docket.insights import DeedRecord
from docket.supervisor.control.client import NobodyAnswers, NotGranted, NotUnderstood, ask
from docket.supervisor.control.requests import Requests
from tests.supervisor.conftest import TASKS, Supervised, until

pytestmark = pytest.mark.fleet

GATED = """
import time
from pathlib import Path

while (Path(__file__).parent / "gate").exists():
    time.sleep(0.01)
"""

SCHEDULED = '[schedules.nightly]\ntask = "note"\nargs = [1]\ncron = "30 2 * * *"\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """One supervisor for all of these tests; it notices nothing by itself."""
    supervised = Supervised(tmp_path_factory.mktemp("requests"))
    supervised.edit(('settle = "100ms"', 'watch = "off"'))
    supervised.append(SCHEDULED)
    supervised.start()
    yield supervised
    supervised.clean_up()


@pytest.fixture
def asked(shared: Supervised) -> Iterator[Supervised]:
    """The supervisor, with the file as it was at first."""
    text = shared.file.read_text()
    yield shared
    shared.file.write_text(text)
    request(shared, "reload", wait=True, allow_removals=True)


def request(supervised: Supervised, word: str, **fields: Any) -> dict[str, Any]:
    """Ask it."""
    return ask(supervised.directory / ".docket" / "control.sock", word, 100, **fields)


def condition(supervised: Supervised, name: str) -> tuple[bool, str]:
    """How it stands with one of its conditions, and why."""
    conditions = request(supervised, "status")["conditions"]
    (found,) = [one for one in conditions if one["name"] == name]
    return found["status"], found["reason"]


def test_it_tells_how_it_stands(shared: Supervised) -> None:
    until(lambda: request(shared, "status")["pools"][0]["processes"][0]["rss"] > 0, "a worker")
    status = request(shared, "status")

    assert shared.process is not None
    assert (status["version"], status["docket"], status["pid"]) == (
        1,
        "supervised",
        shared.process.pid,
    )
    assert status["is_up"]
    assert status["file"] == str(shared.file)
    assert status["desired"]["hash"] == status["running"]["hash"]
    (pool,) = status["pools"]
    assert (pool["name"], pool["desired"], pool["running"], pool["ready"]) == ("default", 1, 1, 1)
    (process,) = pool["processes"]
    assert (process["state"], process["in_flight"]) == ("ready", 0)
    assert process["revision"] == pool["revision"]
    assert process["uptime"] > 0
    assert process["pid"] in shared.workers()
    (schedule,) = status["schedules"]
    assert schedule["name"] == "nightly"
    conditions = {one["name"]: one["status"] for one in status["conditions"]}
    assert (conditions["Valid"], conditions["Applied"], conditions["Degraded"]) == (
        True,
        True,
        False,
    )


def test_the_same_is_on_its_page(shared: Supervised) -> None:
    code, body = shared.page("/api/status")
    assert code == 200
    page, told = json.loads(body), request(shared, "status")
    assert page.keys() == told.keys()
    assert page["running"] == told["running"]


def test_how_long_runs_take_and_how_much_there_is_are_among_the_metrics(shared: Supervised) -> None:
    async def note(number: int) -> None: ...

    async def add() -> None:
        async with Docket("supervised", shared.url) as docket:
            await docket.add(note)(1)

    asyncio.run(add())
    counted = 'docket_task_duration_seconds_bucket{docket_task="note",le="+Inf"} 1.0'
    until(lambda: counted in shared.page("/metrics")[1], "the run being counted")
    assert (
        'docket_task_punctuality_seconds_count{docket_task="note"} 1.0'
        in shared.page("/metrics")[1]
    )
    until(lambda: 'docket_queue_depth{queue="default"}' in shared.page("/metrics")[1], "a look")


def test_a_reload_that_is_waited_for_tells_what_became_of_it(asked: Supervised) -> None:
    def reloaded() -> tuple[str, str, list[str]]:
        outcome = request(asked, "reload", wait=True)
        return outcome["result"], outcome["message"], outcome["changes"]

    assert reloaded() == ("unchanged", "", [])
    asked.edit(("concurrency = 5", "concurrency = 6"))
    result, _, changes = reloaded()
    assert result == "applied"
    assert changes == ["workers.default.concurrency: 5 → 6 (live)"]
    asked.edit(("concurrency = 6", "concurrency = 0"))
    result, message, _ = reloaded()
    assert result == "invalid"
    assert "workers.default.concurrency" in message
    assert request(asked, "status")["desired"]["hash"] is None
    assert condition(asked, "Valid") == (False, "invalid")
    assert condition(asked, "Applied") == (False, "invalid")
    assert condition(asked, "Drift") == (True, "File")
    asked.edit(("concurrency = 0", "concurrency = 6"))
    asked.edit(('name = "supervised"', 'name = "other"'))
    result, message, _ = reloaded()
    assert result == "refused"
    assert "need a restart" in message
    status = request(asked, "status")
    assert status["desired"]["hash"] not in (None, status["running"]["hash"])


def test_a_reload_that_is_not_waited_for_happens_soon(asked: Supervised) -> None:
    asked.edit(("concurrency = 5", "concurrency = 7"))
    assert request(asked, "reload") == {"result": "asked"}
    asked.until_logged("workers.default.concurrency: 5 → 7")


def test_what_removes_too_much_is_done_if_that_is_allowed(asked: Supervised) -> None:
    asked.file.write_text(asked.file.read_text().split("[tasks.hold]")[0] + "[workers.default]\n")
    refused = request(asked, "reload", wait=True)
    assert (refused["result"], "removes 4 of 6" in refused["message"]) == ("refused", True)
    assert request(asked, "reload", wait=True, allow_removals=True)["result"] == "applied"


def test_a_plan_is_applied_if_nothing_has_moved_since(asked: Supervised) -> None:
    before = request(asked, "status")["running"]
    base = {"revision": before["revision"], "base": before["hash"]}
    asked.edit(("concurrency = 5", "concurrency = 8"))
    outcome = request(asked, "apply", target="what was planned", **base)
    assert (outcome["result"], "what was planned" in outcome["message"]) == ("refused", True)
    target = request(asked, "status")["desired"]["hash"]
    assert request(asked, "apply", target=target, **base)["result"] == "applied"
    with pytest.raises(NotGranted, match=r"the plan is for revision \d+ .* runs now; plan again"):
        request(asked, "apply", target=target, **base)


def test_an_earlier_revision_runs_again(asked: Supervised) -> None:
    number = request(asked, "status")["running"]["revision"]
    asked.edit(("concurrency = 5", "concurrency = 9"))
    assert request(asked, "reload", wait=True)["result"] == "applied"
    outcome = request(asked, "rollback", revision=number, author="ann", reason="INC-7")
    assert (outcome["result"], outcome["revision"]) == ("applied", number + 2)
    assert _last_deed(asked) == ("rollback", "ann", "INC-7", number)
    assert outcome["changes"] == ["workers.default.concurrency: 9 → 5 (live)"]
    assert condition(asked, "Applied") == (False, "Other")
    assert condition(asked, "Drift") == (True, "File")
    assert request(asked, "reload", wait=True)["result"] == "applied"
    assert condition(asked, "Applied") == (True, "applied")
    assert condition(asked, "Drift") == (False, "InForce")
    outcome = request(asked, "rollback", revision=999)
    assert (outcome["result"], "no revision 999" in outcome["message"]) == ("refused", True)


def _last_deed(supervised: Supervised) -> tuple[str, str, str, int]:
    async def look() -> DeedRecord:
        async with Docket("supervised", supervised.url) as docket:
            return (await docket.insights.audit(limit=1)).entries[0].record

    last = asyncio.run(look())
    return last.verb, last.author, last.reason, last.about["to"]


def test_a_revision_that_can_not_be_read_is_a_failed_rollback(shared: Supervised) -> None:
    entry = {"digest": "", "text": "[[[", "declared": None, "host": "", "why": ""}

    async def change(command: str, *before: int) -> None:
        async with Docket("supervised", shared.url) as docket, docket.redis() as client:
            key = docket.key("revisions:supervised")
            await client.execute_command(command, key, *before, f"777 0\n{json.dumps(entry)}")

    asyncio.run(change("RPUSH"))
    outcome = request(shared, "rollback", revision=777)
    asyncio.run(change("LREM", 0))
    assert outcome["result"] == "failed"
    progressing = [
        one for one in request(shared, "status")["conditions"] if one["name"] == "Progressing"
    ]
    assert [one["status"] for one in progressing] == [False]


def test_pools_are_restarted_while_it_is_waited_for_or_not(shared: Supervised) -> None:
    def pids() -> set[int]:
        (pool,) = request(shared, "status")["pools"]
        return {one["pid"] for one in pool["processes"] if one["state"] == "ready"}

    before = pids()
    gate = shared.directory / "gate"
    gate.touch()
    (shared.directory / "work.py").write_text(GATED + TASKS)
    assert request(shared, "restart", pools=["default"]) == {
        "result": "accepted",
        "pools": ["default"],
    }
    with pytest.raises(NotGranted, match="a restart of default is under way"):
        request(shared, "restart")
    gate.unlink()
    until(lambda: pids().isdisjoint(before), "the roll")
    shared.until_logged("The code as it is now runs: pool default: 1 new processes")
    before = pids()
    outcome = request(shared, "restart", wait=True)
    assert (outcome["result"], outcome["message"]) == ("restarted", "")
    assert pids().isdisjoint(before)
    assert request(shared, "restart", pools=["x"]) == {
        "result": "not_found",
        "message": "no pool x runs on this host; there is default",
    }


def test_processes_come_and_go_by_hand_and_that_is_drift(shared: Supervised) -> None:
    def drifts() -> bool:
        conditions = request(shared, "status")["conditions"]
        return next(one["status"] for one in conditions if one["name"] == "Drift")

    assert request(shared, "scale", by=1) == {"processes": {"default": 2}}
    assert drifts()
    assert request(shared, "status")["pools"][0]["ready"] == 2
    assert request(shared, "scale", by=-1) == {"processes": {"default": 1}}
    assert not drifts()


@pytest.mark.parametrize(
    ("word", "fields", "message"),
    [
        ("reload", {"wait": 1}, "wait: expected true or false, found 1"),
        ("rollback", {}, "revision: expected a whole number, found None"),
        ("rollback", {"revision": True}, "revision: expected a whole number, found True"),
        ("apply", {"revision": 1, "base": 2}, "base: expected a string, found 2"),
        ("restart", {"pools": "default"}, "pools: expected a list of strings, found 'default'"),
        ("restart", {"pools": [1]}, "pools: expected a list of strings, found [1]"),
        ("scale", {"by": 10**9}, "by: expected a number from -64 to 64, found 1e+09"),
    ],
)
def test_particulars_without_a_meaning_change_nothing(
    shared: Supervised, word: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(NotUnderstood) as found:
        request(shared, word, **fields)
    assert str(found.value) == message


def test_what_is_under_way_is_given_up_when_it_stops_and_the_socket_is_gone(
    supervised: Supervised,
) -> None:
    supervised.start()
    (supervised.directory / "work.py").write_text("import time\ntime.sleep(300)\n")
    supervised.append('\n[tasks.slow]\nfunction = "work:slow"\n')
    found: list[str] = []

    def wait() -> None:
        try:
            found.append(str(request(supervised, "reload", wait=True)))
        except (NotGranted, NobodyAnswers) as error:
            found.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(
        lambda: any(
            one["name"] == "Progressing" and one["status"]
            for one in request(supervised, "status")["conditions"]
        ),
        "the reload",
    )
    supervised.signal(15)
    assert supervised.wait() == 0
    waiting.join(60)
    assert found == ["the supervisor stops, and what was asked for was given up"]
    assert not (supervised.directory / ".docket" / "control.sock").exists()


async def test_nothing_is_changed_before_everything_is_up() -> None:
    asked: list[str] = []
    reloader: Any = SimpleNamespace(reload=None)
    requests = Requests(
        reloader, reloader, dict, lambda: False, lambda _: asked.append("reload"), reloader
    )
    for fields in ({}, {"wait": True}):
        with pytest.raises(OperatorError, match="starts or stops: nothing is changed now"):
            await requests.answers["reload"]({"ask": "reload", **fields})
    assert asked == []
