"""Providers of credentials that answer only in an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
from redis.credentials import CredentialProvider, StreamingCredentialProvider
from redis.credentials import UsernamePasswordCredentialProvider as Both

from docket import Docket, Worker
from docket.connection import credentials
from docket.connection.credentials import Askable, askable
from docket.connection.url import connect
from docket.storage.claims import renew
from docket.worker.services import leases
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess


class OnlyAsync(CredentialProvider):
    """Belongs to the event loop that it is first asked in, as one does that holds a session."""

    def __init__(self, password: str = "secret") -> None:
        self.password = password
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def get_credentials_async(self) -> tuple[str]:
        self.loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return (self.password,)


async def test_the_leases_are_renewed_with_what_the_loop_of_the_docket_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[int] = []
    renewed = threading.Semaphore(0)

    def counted(*words: Any, **options: Any) -> Any:
        answers = renew(*words, **options)
        renewed.release()
        return answers

    async def outlast_renewals(number: int) -> None:
        began.append(number)
        for _ in range(3):
            await asyncio.to_thread(renewed.acquire)

    monkeypatch.setattr(leases, "renew", counted)
    provider = OnlyAsync()
    with ServerProcess(valkey_9(), tmp_path, password="secret") as server:
        url = f"redis://127.0.0.1:{server.port}"
        async with Docket("async", url, credential_provider=provider, config=False) as docket:
            docket.register(outlast_renewals)
            execution = await docket.add(outlast_renewals)(1)
            async with Worker(docket) as worker, Worker(docket) as heir:
                worker._leases._interval = heir._leases._interval = 0.2
                waiting = asyncio.create_task(heir.run_until_finished())
                await worker.run_until_finished()
                await waiting
            await execution.sync()

    assert (began, execution.error, execution.redelivered) == ([1], None, False)
    assert provider.loops == {asyncio.get_running_loop()}


async def test_what_was_said_last_counts_while_the_loop_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(credentials, "PATIENCE", 0.05)
    provider = OnlyAsync("old")
    asked = Askable(provider)
    asked.bind()
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(asked.get_credentials())
        except redis.exceptions.ConnectionError as error:
            answers.append(str(error))

    def block_the_loop_until_it_is_answered() -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    block_the_loop_until_it_is_answered()
    assert answers == ["the credential provider did not answer within 0.05 s"]

    await asked.get_credentials_async()
    block_the_loop_until_it_is_answered()
    assert answers[1:] == [("old",)]

    await asyncio.to_thread(ask)
    assert answers[2:] == [("old",)]


async def test_whoever_holds_up_the_loop_is_answered_without_it() -> None:
    asked = Askable(OnlyAsync())
    asked.bind()
    assert asked.get_credentials() == ("secret",)
    assert asked.get_credentials() == ("secret",)


def test_without_a_loop_it_is_asked_in_one_of_its_own() -> None:
    asked = Askable(OnlyAsync())
    assert asked.get_credentials() == ("secret",)

    class Broken(CredentialProvider):
        async def get_credentials_async(self) -> tuple[str]:
            raise ArithmeticError("no token")

    with pytest.raises(ArithmeticError, match="no token"):
        Askable(Broken()).get_credentials()


def test_one_that_knows_both_ways_is_asked_at_once() -> None:
    assert Askable(Both("app", "secret")).get_credentials() == ("app", "secret")


async def test_a_thread_connection_is_made_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ServerProcess(valkey_9(), tmp_path, password="secret") as server:
        url = f"redis://127.0.0.1:{server.port}"
        async with connect(url, credential_provider=OnlyAsync()) as connection:
            monkeypatch.setattr(credentials, "PATIENCE", 60.0)
            line = connection.threaded()
            started = time.monotonic()
            assert await asyncio.to_thread(line.send, ("PING",)) == [b"PONG"]
            assert time.monotonic() - started < credentials.PATIENCE
            line.close()


def test_one_that_streams_is_left_to_redis_py() -> None:
    class Streams(StreamingCredentialProvider):
        def on_next(self, callback: object) -> None: ...

        def on_error(self, callback: object) -> None: ...

        def is_streaming(self) -> bool:
            return True

    provider = Streams()
    assert askable(provider) is provider
