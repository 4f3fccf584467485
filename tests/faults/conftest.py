"""What the fault tests share: a server, a ledger, and worker programs that are gone at the end."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from docket import Docket
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess
from tests.supervisor.conftest import home, log, supervised

from .ledger import Ledger, States
from .workers import WorkerProgram

__all__ = ["home", "log", "supervised"]


@pytest.fixture(scope="session")
def steady_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that nobody breaks, for tests that break workers."""
    with ServerProcess(valkey_9(), tmp_path_factory.mktemp("steady")) as server:
        yield server


@pytest.fixture
def url(steady_server: ServerProcess) -> str:
    """Where the steady server is; modules that break servers have their own."""
    return steady_server.url


@pytest.fixture
def name() -> str:
    """The name of a docket that nobody else uses."""
    return f"fault-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def docket(url: str, name: str) -> AsyncIterator[Docket]:
    async with Docket(name, url) as docket:
        yield docket


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger")
    yield ledger
    ledger.close()


@pytest.fixture
def states(url: str, name: str) -> Iterator[States]:
    """The states that are announced, from now on."""
    states = States(url, name)
    yield states
    states.close()


Start = Callable[..., WorkerProgram]


@pytest.fixture
def start(url: str, name: str, ledger: Ledger) -> Iterator[Start]:
    """Starts worker programs; those that are left at the end are killed."""
    programs: list[WorkerProgram] = []

    def start(**options: float | str) -> WorkerProgram:
        program = WorkerProgram(url, name, ledger, **options)  # type: ignore[arg-type]
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.close()
    # Shown where a test has failed.
    if programs:
        print(ledger.path.with_suffix(".log").read_text()[-8000:])
