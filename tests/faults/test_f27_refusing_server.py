"""F27: a server that has worked refuses for a while: it is waited out loudly, and nothing is lost.

A password that is asked for, one that is wrong, permissions that are gone, and no place for more clients,
each in the middle of work, on the oldest server and on the newest one. About 15 s each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from docket import Docket
from docket.errors import LoginRefused, ServerRefused
from tests.fleet.binaries import redis_6, valkey_9
from tests.fleet.process import ServerProcess

from .conftest import Start
from .ledger import Audit, Ledger
from .producing import until_ended
from .workers import WorkerProgram, tasks, until

pytestmark = pytest.mark.fault

LASTS = 5.0
"""Seconds for which a server refuses: more than two leases of these workers."""

Refusal = Callable[[Any], Callable[[], object]]


def asks_for_a_password(admin: Any) -> Callable[[], object]:
    admin.config_set("requirepass", "secret")
    return lambda: admin.config_set("requirepass", "")


def knows_another_password(admin: Any) -> Callable[[], object]:
    admin.execute_command("ACL", "SETUSER", "app", "resetpass", ">other")
    return lambda: admin.execute_command("ACL", "SETUSER", "app", "resetpass", ">pw")


def allows_nothing(admin: Any) -> Callable[[], object]:
    admin.execute_command("ACL", "SETUSER", "app", "-@all", "+auth", "+hello")
    return lambda: admin.execute_command("ACL", "SETUSER", "app", "+@all")


def has_no_place(admin: Any) -> Callable[[], object]:
    before = admin.config_get("maxclients")["maxclients"]
    admin.config_set("maxclients", 1)
    return lambda: admin.config_set("maxclients", before)


REFUSALS: dict[str, tuple[Refusal, str]] = {
    "NOAUTH": (asks_for_a_password, ""),
    "WRONGPASS": (knows_another_password, "app:pw@"),
    "NOPERM": (allows_nothing, "app:pw@"),
    "maxclients": (has_no_place, "app:pw@"),
}


@pytest.fixture(scope="module", params=[redis_6, valkey_9])
def refusing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server of its own, because it is told to refuse everybody."""
    binary: Callable[[], Path] = request.param
    with ServerProcess(binary(), tmp_path_factory.mktemp("refusing")) as server:
        server.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
        yield server


@pytest.fixture
def admin(refusing: ServerProcess) -> Iterator[Any]:
    """A line that was there before, so that nothing keeps it out."""
    client: Any = redis.Redis(port=refusing.port, single_connection_client=True)
    client.ping()
    yield client
    client.close()


@pytest.fixture(params=REFUSALS)
def refusal(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def url(refusing: ServerProcess, refusal: str) -> str:
    """The server as those see it that are refused."""
    return refusing.url.replace("redis://", f"redis://{REFUSALS[refusal][1]}")


async def test_work_goes_on_by_itself_when_it_is_over(
    docket: Docket, ledger: Ledger, start: Start, admin: Any, refusal: str
) -> None:
    worker: WorkerProgram = await start(concurrency=5, lease=2.0).until_up()
    (work, *_) = tasks(ledger)
    keys = [f"run-{number}" for number in range(10)]
    for key in keys:
        execution = await docket.add(work, key=key)(1.0)
        ledger.note("acked", execution.key)
    await until(lambda: len(worker.events("start")) >= 5, "work being under way")

    refuse, _ = REFUSALS[refusal]
    allow = refuse(admin)
    try:
        for kind in ("normal", "pubsub"):
            admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        await until(lambda: bool(worker.events("trouble")), "the trouble being told")
        await asyncio.sleep(LASTS)
        assert worker.is_alive
    finally:
        allow()

    await until_ended(docket, keys)
    assert worker.is_alive
    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    said = Path(ledger.path.with_suffix(".log")).read_text()
    assert said.count("it is tried again until it works") <= 12, "told, not repeated"


async def test_a_wrong_password_fails_at_once_at_the_start(refusing: ServerProcess) -> None:
    docket = Docket("start", refusing.url.replace("redis://", "redis://app:wrong@"))

    with pytest.raises(LoginRefused, match="check user, password and permissions"):
        await asyncio.wait_for(docket.__aenter__(), 60)
    assert issubclass(LoginRefused, ServerRefused)
