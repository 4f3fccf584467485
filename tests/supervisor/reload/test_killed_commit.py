"""A supervisor is killed in the middle of what follows its commit: the next one brings that to its end."""

from __future__ import annotations

import signal
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from docket import Docket, ExecutionState
from docket.connection.embedded import EmbeddedServer

from ..conftest import Supervised, until

pytestmark = [pytest.mark.fleet]

MANY = 4_000
SECOND = timedelta(seconds=1)
NAME = "supervised"
TICKING = """
[schedules.beat]
task = "note"
args = [1]
every = "1s"
overlap = "allow"
catchup = "all"
"""
GOING = """
[schedules.going]
task = "hold"
args = [2]
every = "1s"
overlap = "queue_all"
"""
FAR = "".join(
    f'[schedules.far{number}]\ntask = "note"\nargs = [{number}]\nevery = "1d"\n'
    for number in range(MANY)
)


def server_of(directory: Path) -> Redis:
    """A client of the server beside the file."""
    return Redis(unix_socket_path=str(EmbeddedServer(directory / ".docket").socket))


def is_caught_half_way(supervised: Supervised, server: Redis) -> bool:
    """Edit the file, and have writes wait as soon as some schedules have followed the commit."""
    last = f"of:{NAME}/far{MANY - 1}"
    supervised.edit((GOING, FAR))
    deadline = time.monotonic() + 200
    while server.hget(f"{NAME}:staging:{NAME}", "cursor") in (None, b"0"):
        assert time.monotonic() < deadline, "the edit is not followed"
        if server.hexists(f"{NAME}:schedules", last) and not server.exists(
            f"{NAME}:staging:{NAME}"
        ):
            return False
    server.execute_command("CLIENT", "PAUSE", 20_000, "WRITE")
    return True


def kill_half_way(supervised: Supervised, server: Redis) -> None:
    """Kill it in the middle; where it was quicker than we look, the edit is taken back and made again."""
    process = supervised.process
    assert process is not None
    while not is_caught_half_way(supervised, server):
        supervised.edit((FAR, GOING))
        until(
            lambda: (
                server.hlen(f"{NAME}:schedules") < MANY
                and not server.exists(f"{NAME}:staging:{NAME}", f"{NAME}:removing")
            ),
            "the way back",
        )
    process.kill()
    process.wait()
    server.execute_command("CLIENT", "UNPAUSE")


@pytest.mark.timeout(300)
async def test_another_supervisor_brings_a_commit_to_its_end(supervised: Supervised) -> None:
    supervised.append(TICKING + GOING)
    supervised.start()
    until(lambda: supervised.log.count("going@") > 3, "runs that wait for each other")
    with server_of(supervised.directory) as server:
        kill_half_way(supervised, server)
        followed = sum(1 for _ in server.hscan_iter(f"{NAME}:schedules", "of:*/far*", 1_000))
        assert 0 < followed < MANY, "it was in the middle"

        supervised.start()
        until(lambda: not server.exists(f"{NAME}:staging:{NAME}", f"{NAME}:removing"), "its end")
        assert list(server.scan_iter(f"{NAME}:staged:*")) == []

    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0

    async with Docket(NAME, supervised.url) as docket:
        known = {one.name for one in await docket.storage.schedules.known()}
        assert known == {"beat", *(f"far{number}" for number in range(MANY))}
        going = await states(docket, "going")
        beats = await states(docket, "beat")
    # Those that waited are cancelled; the one that ran goes on, and is handed back at the end.
    assert list(going.values()).count(ExecutionState.CANCELLED) == len(going) - 1
    due = sorted(datetime.fromisoformat(key[5:].replace("Z", "+00:00")) for key in beats)
    assert due == [due[0] + number * SECOND for number in range(len(due))], "one is lost"
    done = list(beats.values()).count(ExecutionState.COMPLETED)
    assert supervised.ledger("note").count(1) == done > 5, "one ran twice"


async def states(docket: Docket, schedule: str) -> dict[str, ExecutionState]:
    """How all runs of a schedule stand, by key."""
    async with docket.redis() as client:
        names = [name async for name in client.scan_iter(docket.key(f"runs:{schedule}@*"))]
    keys = [name.decode().partition(":runs:")[2] for name in names]
    records = await docket.storage.executions.read(*keys)
    return {record.key: record.state for record in records if record is not None}
