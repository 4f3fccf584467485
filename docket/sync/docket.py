"""A docket for programs that do not await."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from typing_extensions import Self

from ..calls.results import ResultStorage
from ..connection.base import Credentials
from ..docket import Docket
from ..storage.audit import AuditLimits
from ..storage.history import HistoryLimits
from ..storage.stored import ResultLimits
from .bridge import Bridge
from .calls import SyncCalls
from .own_bridge import OwnBridge


class SyncDocket(SyncCalls):
    """A docket for code that does not await: each call returns when it is done.

    It opens itself when it is first used, and is closed by ``close``, at the end of a ``with`` block or at
    that of the program. All of a process share one thread with an event loop. It may be used from any number
    of threads that have no event loop of their own, and after a fork.

    Arguments:
        as for ``Docket``.

    Raises:
        as ``Docket``; what entering that raises is raised by the first use.

    Example:
        >>> with SyncDocket() as docket:
        ...     docket.add(greet)("Jane")
    """

    def __init__(
        self,
        name: str | None = None,
        url: str | None = None,
        heartbeat_interval: timedelta = timedelta(seconds=2),
        missed_heartbeats: int = 5,
        execution_ttl: timedelta | None = None,
        result_storage: ResultStorage | None = None,
        enable_internal_instrumentation: bool = False,
        credential_provider: Credentials | None = None,
        *,
        config: str | Path | Literal[False] | None = None,
        codecs: Sequence[str] | None = None,
        signing_keys: Mapping[str, bytes] | None = None,
        max_payload: int | None = None,
        lazy: bool | None = None,
        history: HistoryLimits | None = None,
        results: ResultLimits | None = None,
        audit: AuditLimits | None = None,
    ) -> None:
        docket = Docket(
            name,
            url,
            heartbeat_interval,
            missed_heartbeats,
            execution_ttl,
            result_storage,
            enable_internal_instrumentation,
            credential_provider,
            config=config,
            codecs=codecs,
            signing_keys=signing_keys,
            max_payload=max_payload,
            lazy=lazy,
            history=history,
            results=results,
            audit=audit,
        )
        super().__init__(docket, OwnBridge(docket))

    @classmethod
    def from_config(cls, path: str | Path, **options: Any) -> Self:
        """Return the docket that a configuration file describes, as ``Docket.from_config``."""
        return cls(config=path, **options)

    @classmethod
    def of(cls, docket: Docket, bridge: Bridge) -> Self:
        """Return an open docket of an event loop for the other threads: plain functions are given one.

        Arguments:
            docket: an open docket.
            bridge: into the event loop that it was opened in.
        """
        given = cls.__new__(cls)
        SyncCalls.__init__(given, docket, bridge)
        return given

    def open(self) -> None:
        """Open it now instead of at its first use, or again after ``close``; one of a worker is open.

        Raises:
            ServerUnavailable: nothing answers where a url was not given.
            WouldBlock: an event loop runs here; use ``Docket``.
        """
        self._bridge.open()

    def close(self) -> None:
        """Close it, for all threads; one of a worker is left to the worker."""
        self._bridge.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
