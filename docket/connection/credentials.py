"""A provider of credentials that can be asked from everywhere, whichever way it answers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from typing import TypeAlias

import redis.exceptions
from redis.credentials import CredentialProvider, StreamingCredentialProvider
from typing_extensions import override

Credentials: TypeAlias = "tuple[str] | tuple[str, str]"

PATIENCE = 2.0
"""Seconds that an event loop gets to answer a thread."""


def askable(provider: CredentialProvider) -> CredentialProvider:
    """Return a provider that threads can ask, too, though the given one may answer only in an event loop."""
    # One that streams is known to redis-py by its class, and answers both ways.
    return provider if isinstance(provider, StreamingCredentialProvider) else Askable(provider)


class Askable(CredentialProvider):
    """Credentials for threads that must not wait for the event loop, as the one that renews leases.

    Where the provider knows only the async way, it is asked in the event loop that it is used in, because
    it may hold a session of that loop. While that loop is blocked, what it last said counts.

    Arguments:
        provider: the user's own.
    """

    def __init__(self, provider: CredentialProvider) -> None:
        self._provider = provider
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last: Credentials | None = None

    def bind(self) -> None:
        """Ask it in the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    @override
    async def get_credentials_async(self) -> Credentials:
        self.bind()
        self._last = await self._provider.get_credentials_async()
        return self._last

    @override
    def get_credentials(self) -> Credentials:
        # redis-py's own base class answers with NotImplementedError, too.
        with contextlib.suppress(NotImplementedError):
            return self._provider.get_credentials()
        loop = self._loop
        if loop is None or not loop.is_running():
            self._last = _in_a_loop_of_its_own(self._provider)
        elif not _is_running_here():
            self._last = self._asked_in(loop)
        elif self._last is None:
            # A caller here cannot wait for the loop that it holds up.
            self._last = _in_a_loop_of_its_own(self._provider)
        return self._last

    def _asked_in(self, loop: asyncio.AbstractEventLoop) -> Credentials:
        asked = asyncio.run_coroutine_threadsafe(self._provider.get_credentials_async(), loop)
        try:
            return asked.result(PATIENCE)
        except concurrent.futures.TimeoutError:
            asked.cancel()
            if self._last is not None:
                return self._last
            raise redis.exceptions.ConnectionError(
                f"the credential provider did not answer within {PATIENCE:g} s"
            ) from None


def _is_running_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_a_loop_of_its_own(provider: CredentialProvider) -> Credentials:
    answer: concurrent.futures.Future[Credentials] = concurrent.futures.Future()

    def ask() -> None:
        try:
            answer.set_result(asyncio.run(_ask(provider)))
        except Exception as error:
            answer.set_exception(error)

    # An event loop that runs in this thread must not be in its way.
    thread = threading.Thread(target=ask, name="docket-credentials", daemon=True)
    thread.start()
    thread.join()
    return answer.result()


async def _ask(provider: CredentialProvider) -> Credentials:
    return await provider.get_credentials_async()
