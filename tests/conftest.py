"""The fleet: a test that takes ``server_url`` runs once on every kind of server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from .fleet.binaries import valkey_9
from .fleet.kinds import KINDS, MEMORY, Fleet
from .fleet.process import ServerProcess


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fleet",
        default="all",
        help=f"kinds of servers to run on, separated by commas, or all: {', '.join(KINDS)}",
    )


def pytest_configure() -> None:
    # How long an example takes says more of the machine than of what it looks at.
    settings.register_profile("patient", parent=settings.default, deadline=None)
    settings.load_profile("patient")
    # A shell that runs tests in the background may have told them to ignore Ctrl-C, and all that they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_url" in metafunc.fixturenames:
        kinds = [
            pytest.param(kind, marks=() if kind == MEMORY else pytest.mark.fleet)
            for kind in _wanted(metafunc.config)
        ]
        metafunc.parametrize("server_url", kinds, indirect=True, ids=str, scope="session")


def _wanted(config: pytest.Config) -> list[str]:
    named = str(config.getoption("--fleet"))
    if named == "all":
        return list(KINDS)
    wanted = named.split(",")
    if unknown := set(wanted) - set(KINDS):
        raise pytest.UsageError(
            f"--fleet: expected {', '.join(KINDS)} or all, found {', '.join(sorted(unknown))}"
        )
    return wanted


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """All kinds of servers, each started when it is first asked for."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest, fleet: Fleet) -> str:
    """Where a server is; a test that takes it runs on every kind."""
    return fleet.url(request.param)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A durable server that nobody else uses: to be killed, paused and started again."""
    with ServerProcess(valkey_9(), tmp_path / "own", "--appendonly", "yes") as server:
        yield server
