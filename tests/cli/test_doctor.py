"""``docket doctor``."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from docket.cli.commands.doctor import Patient, examine
from docket.connection.base import Facts
from docket.connection.url import connect
from docket.storage.stored import ResultUse
from docket.storage.vitals import MemoryUse, Vitals, look
from tests.fleet.process import ServerProcess

from .conftest import Shell

MOMENT = datetime(2026, 11, 1, 3, tzinfo=timezone.utc)
MOMENT_TOLD = "2026-11-01 03:00:00 UTC"
WELL = Patient(
    url="redis://db:6379/0",
    facts=Facts("valkey", (9, 1, 2), eviction="noeviction"),
    vitals=Vitals(timedelta(milliseconds=1), timedelta(), is_durable=True),
    due=3,
    future=2,
    workers=1,
    parked=0,
    dead=0,
    strikes=0,
)


def _findings(patient: Patient) -> dict[str, tuple[str, str, str]]:
    return {one.subject: (one.verdict, one.found, one.advice) for one in examine(patient)}


def test_where_all_is_well_there_is_no_advice() -> None:
    findings = _findings(WELL)

    assert {(verdict, advice) for verdict, _, advice in findings.values()} == {("ok", "")}
    assert findings["server"][1] == "valkey 9.1.2 at redis://db:6379/0"
    assert findings["workers"][1] == "1 live; 3 due or running, 2 in the future"


def test_what_this_user_may_not_ask_is_no_fault() -> None:
    facts = replace(WELL.facts, eviction=None)
    findings = _findings(replace(WELL, facts=facts, vitals=replace(WELL.vitals, is_durable=None)))

    assert findings["eviction"] == ("ok", "this user may not ask", "")
    assert findings["persistence"] == ("ok", "this user may not ask", "")


@pytest.mark.parametrize(
    ("patient", "subject", "verdict", "found"),
    [
        (
            replace(WELL, facts=replace(WELL.facts, eviction="allkeys-lru")),
            "eviction",
            "problem",
            "allkeys-lru drops work when the memory is full",
        ),
        (
            replace(WELL, results=ResultUse(95 << 19, 50 << 20)),
            "results",
            "warning",
            "47.5 of 50.0 MiB used",
        ),
        (
            replace(WELL, results=ResultUse(1 << 20, 50 << 20, 1234, MOMENT)),
            "results",
            "warning",
            f"1.0 of 50.0 MiB used; 1,234 were evicted before their time, the last one at {MOMENT_TOLD}",
        ),
        (
            replace(WELL, vitals=replace(WELL.vitals, is_durable=False)),
            "persistence",
            "warning",
            "work is lost when the server dies",
        ),
        (
            replace(WELL, vitals=replace(WELL.vitals, latency=timedelta(milliseconds=80))),
            "latency",
            "warning",
            "a round trip takes 80.0 ms",
        ),
        (
            replace(WELL, vitals=replace(WELL.vitals, skew=timedelta(minutes=5))),
            "clock",
            "warning",
            "the server's is 5m ahead of this one",
        ),
        (
            replace(WELL, vitals=replace(WELL.vitals, skew=timedelta(minutes=-5))),
            "clock",
            "warning",
            "the server's is 5m behind this one",
        ),
        (
            replace(WELL, workers=0),
            "workers",
            "problem",
            "0 live; 3 due or running, 2 in the future",
        ),
        (
            replace(WELL, vitals=replace(WELL.vitals, memory=MemoryUse(95 << 20, 100 << 20))),
            "memory",
            "warning",
            "95 of 100 MiB used",
        ),
        (
            replace(WELL, vitals=replace(WELL.vitals, memory=MemoryUse(101 << 20, 100 << 20))),
            "memory",
            "problem",
            "full: 101 of 100 MiB used; writes are refused",
        ),
        (replace(WELL, parked=2), "parked", "warning", "2"),
        (replace(WELL, dead=2), "dead letters", "warning", "2"),
        (
            replace(WELL, unserved=("bulk", "mail")),
            "queues",
            "problem",
            "no worker serves bulk, mail, where work is due",
        ),
        (replace(WELL, overdue=("a/nightly",)), "schedules", "problem", "overdue: a/nightly"),
        (replace(WELL, halted=("a/nightly",)), "schedules", "warning", "paused: a/nightly"),
    ],
)
def test_what_is_wrong_is_told_with_advice(
    patient: Patient, subject: str, verdict: str, found: str
) -> None:
    told = _findings(patient)[subject]

    assert told[:2] == (verdict, found)
    assert told[2]


def test_results_within_their_limit_or_without_one_are_no_trouble() -> None:
    within, free = (
        _findings(replace(WELL, results=use)) for use in (ResultUse(5, 50 << 20), ResultUse(5))
    )

    assert within["results"] == ("ok", "0.0 of 50.0 MiB used", "")
    assert free["results"] == ("ok", "no limit", "")


def test_memory_that_is_left_is_no_trouble() -> None:
    memory = MemoryUse(10 << 20, 100 << 20)
    findings = _findings(replace(WELL, vitals=replace(WELL.vitals, memory=memory)))

    assert findings["memory"] == ("ok", "10 of 100 MiB used", "")


@pytest.mark.fleet
async def test_a_server_tells_how_much_of_its_memory_is_used(own_server: ServerProcess) -> None:
    own_server.call("CONFIG", "SET", "maxmemory", "100mb")
    async with connect(own_server.url) as connection:
        memory = (await look(connection)).memory

    assert memory is not None
    assert memory.limit == 100 << 20
    assert 0 < memory.share < 1


@pytest.mark.fleet
def test_the_doctor_exits_1_if_something_must_be_done(shell: Shell) -> None:
    well = shell.type("doctor")
    shell.prints("tasks", "trace")
    ill = shell.program("doctor", "-o", "json")

    assert well.exit_code == 0
    assert well.stdout.splitlines()[0].split() == ["SUBJECT", "VERDICT", "FOUND", "ADVICE"]
    assert ill.returncode == 1
    findings = {item["subject"]: item for item in json.loads(ill.stdout)["items"]}
    assert findings["workers"]["verdict"] == "problem"
    assert findings["persistence"]["found"] == "every change is written down"


@pytest.mark.fleet
async def test_the_vitals_of_a_server_without_durability_and_without_permission(
    own_valkey: ServerProcess,
) -> None:
    own_valkey.call("ACL", "SETUSER", "nosy", "on", ">s3cret", "~*", "&*", "+@all", "-info")
    async with connect(own_valkey.url) as connection:
        vitals = await look(connection)
        own_valkey.call("CONFIG", "SET", "appendonly", "no")
        try:
            careless = await look(connection)
        finally:
            own_valkey.call("CONFIG", "SET", "appendonly", "yes")
    async with connect(f"redis://nosy:s3cret@127.0.0.1:{own_valkey.port}/0") as connection:
        secretive = await look(connection)

    assert (vitals.is_durable, careless.is_durable, secretive.is_durable) == (True, False, None)
    assert timedelta() < vitals.latency < timedelta(seconds=5)
    assert abs(vitals.skew) < timedelta(seconds=5)
