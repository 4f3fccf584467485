"""The pytest plugin: a fresh docket and a worker on it for every test that asks for them.

It stands beside ``docket.testing``, so that a run of tests that does not need it loads nothing else of the
package. ``-p no:docket`` switches it off; a fixture of the same name in a test file or a ``conftest.py``
takes its place.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .docket import Docket
    from .worker import Worker

URL = "memory://pytest"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting ``docket_url`` to the configuration of pytest."""
    parser.addini(
        "docket_url",
        f"where the docket of a test is; {URL}, a server of this very run, if it is left out",
        default=URL,
    )


def _fixture() -> Callable[..., Any]:
    """Return the decorator for coroutine fixtures: pytest-asyncio in strict mode needs its own."""
    try:
        from pytest_asyncio import fixture  # noqa: PLC0415 - may be missing
    except ImportError:
        return pytest.fixture  # another plugin's to run, anyio's for example
    return fixture


@pytest.fixture(scope="session")
def docket_url(pytestconfig: pytest.Config) -> str:
    """Return the url of the docket of a test: the setting ``docket_url``.

    Override it to choose per directory or per file. Only at ``memory://`` can time be moved.
    """
    return str(pytestconfig.getini("docket_url"))


@_fixture()(name="docket")
async def _docket(docket_url: str) -> AsyncGenerator[Docket, None]:
    """A docket of this test's own, open, empty, and gone afterwards."""
    from .docket import Docket  # noqa: PLC0415 - loaded when it is needed

    async with Docket(f"test-{os.urandom(8).hex()}", docket_url) as docket:
        try:
            yield docket
        finally:
            await docket.storage.erase()


@_fixture()(name="worker")
async def _worker(docket: Docket) -> AsyncGenerator[Worker, None]:
    """Provide a worker on the docket of this test; it works when the test says so."""
    from .worker import Worker  # noqa: PLC0415 - loaded when it is needed

    async with Worker(docket) as worker:
        yield worker
