"""The supervisor: brings the fleet up, follows the file, and takes the fleet down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..assembly import serializer_for
from ..config.files import Surroundings
from ..config.load import NOTHING, Chosen, Loaded, load, shadowed_edits
from ..config.model import Configuration
from ..config.plan import Apply, RestartRequired, Unchanged, plan, refuse_removals
from ..config.problems import ConfigurationInvalid, Problem
from ..connection.url import connect
from ..errors import ConfigurationError, DocketError, OperatorError, ServerUnavailable
from ..instrumentation.console import set_up_logging
from ..instrumentation.health import HealthServer
from ..schedules.ticker import Ticker
from ..service import Service, Services, end
from ..storage.storage import Storage
from .apply import Applier, Fleet
from .probe import probe, subject_of
from .process import Rejected
from .status import ReloadRecord, Status
from .watcher import Rhythm, Watcher

logger = logging.getLogger("docket.supervisor")

PULSE = 1.0
"""Seconds between two looks at Redis and at the event loop."""


class Supervisor:
    """Keeps workers and schedules in the shape that a file declares, and follows the file.

    Arguments:
        path: the docket.toml.
        environ: the environment, which overrides the file.
        chosen: overlays, profile and settings of the command line.

    Raises:
        ConfigurationError: the file can not be used as it is.
    """

    def __init__(
        self, path: Path, environ: Mapping[str, str] = os.environ, chosen: Chosen = NOTHING
    ) -> None:
        self._path = path
        self._environ = environ
        self._chosen = chosen
        # Before the file is read: what is saved while everything is brought up is a change, too.
        beside = Surroundings(path, chosen.overlays).beside
        self._watcher = Watcher(path, self._rhythm, self.reload, beside)
        self._loaded = load(path, environ, chosen)
        self._reloads = ReloadRecord(digest=self._loaded.meaning)
        self._probed: Mapping[str, Any] | None = None
        self._reload_wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._port: int | None = None
        url = self._loaded.url
        _refuse_memory(url)
        storage = Storage(connect(url), self._configuration.name)
        serializer = serializer_for(self._configuration, path)
        ticker = Ticker(storage.schedules, serializer, self._configuration.name)
        self._fleet = Fleet(path, storage, ticker)
        self._applier = Applier(self._fleet)
        self._status = Status(self._fleet.pools, ticker, self._reloads)
        self._fleet.on_exit = self._status.remember

    @property
    def port(self) -> int | None:
        """The port that health and metrics are served on, once they are."""
        return self._port

    def reload(self) -> None:
        """Read the file again, soon; several requests are one."""
        self._reload_wanted.set()

    def stop(self) -> None:
        """Drain and stop; a second request stops at once."""
        if self._stopping.is_set():
            logger.warning("Stopping at once: what runs is handed back")
            for pool in self._fleet.pools.values():
                pool.hurry()
        self._stopping.set()

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            ConfigurationInvalid: the code does not fit the configuration.
            ServerUnavailable: nothing answers at the url.
            Rejected: a pool can not work with the configuration.
        """
        settings = self._configuration.logging
        set_up_logging(settings.level, settings.format)
        for warning in self._loaded.warnings:
            logger.warning("%s", warning.render())
        async with self._connected(), self._answering(), self._signalled():
            try:
                if problems := await self._probe(self._loaded):
                    raise ConfigurationInvalid(problems)
                await self._applier.establish(self._configuration)
                self._say_ready()
                await self._serve()
            finally:
                await self._take_down()

    @property
    def _configuration(self) -> Configuration:
        return self._loaded.configuration

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[None, None]:
        storage = self._fleet.storage
        await storage.open()
        try:
            yield
        finally:
            await storage.close()

    @asynccontextmanager
    async def _answering(self) -> AsyncGenerator[None, None]:
        settings = self._configuration.supervisor
        status = self._status
        pages = {"/livez": status.livez, "/readyz": status.readyz, "/metrics": status.metrics}
        try:
            server = HealthServer(settings.host, settings.port, pages)
        except OSError as error:
            raise OperatorError(
                f"can not listen on {settings.listen}: {error.strerror}; another supervisor may run "
                "there: stop it, or set supervisor.listen (DOCKET_SUPERVISOR__LISTEN) to a free port"
            ) from error
        server.start()
        self._port = server.port
        try:
            yield
        finally:
            server.stop()

    @asynccontextmanager
    async def _signalled(self) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        answers = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self.reload,
        }
        for number, answer in answers.items():
            loop.add_signal_handler(number, answer)
        try:
            yield
        finally:
            for number in answers:
                loop.remove_signal_handler(number)

    def _say_ready(self) -> None:
        configuration = self._configuration
        self._status.is_up = True
        logger.info(
            "Docket %s is up at %s: %s; health and metrics on http://%s:%s",
            configuration.name,
            self._fleet.storage.connection.url,
            configuration.summary,
            configuration.supervisor.host,
            self._port,
        )

    async def _serve(self) -> None:
        """Tick, watch and reload until stopped."""
        pulse = Pulse(self._fleet.storage, self._status)
        services = Services(self._fleet.ticker, self._watcher, pulse)
        async with services.running() as failure:
            reloading = asyncio.create_task(self._follow_reloads())
            stopping = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait(
                    {reloading, stopping, failure}, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                await end(reloading)
                await end(stopping)
            if failure.done():
                failure.result()

    async def _follow_reloads(self) -> None:
        """One reload at a time, until the end; whatever goes wrong is a failed reload, no more."""
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            try:
                await self._reload()
            except Exception:
                logger.exception("The reload failed; revision %d goes on", self._reloads.revision)
                self._reloads.note("failed", succeeded=False)

    async def _reload(self) -> None:
        try:
            loaded = load(self._path, self._environ, self._chosen)
        except ConfigurationError as error:
            self._decline(error)
            return
        for edit in shadowed_edits(self._loaded, loaded):
            logger.warning("%s", edit)
        match plan(self._configuration, loaded.configuration):
            case Unchanged():
                self._loaded = loaded
                logger.info("Reload: unchanged")
                self._reloads.note("unchanged", succeeded=True)
            case RestartRequired() as needed:
                self._refuse("these changes need a restart", needed.describe())
            case Apply() as changes:
                limit = self._configuration.supervisor.reload.max_removals
                problem = refuse_removals(self._configuration, loaded.configuration, limit)
                if problem is not None:
                    self._refuse("it removes too much", [problem.render()])
                elif problems := await self._probe(loaded):
                    self._decline(ConfigurationInvalid(problems))
                else:
                    await self._apply(loaded, changes)

    async def _probe(self, loaded: Loaded) -> tuple[Problem, ...]:
        """What does not fit the code, unless nothing has changed since that was looked at."""
        problems = await probe(loaded, known=self._probed)
        if not problems:
            self._probed = subject_of(loaded.configuration)
        return problems

    def _decline(self, error: ConfigurationError) -> None:
        logger.error("Reload refused, the last good configuration goes on:\n%s", error)
        self._reloads.note("invalid", succeeded=False)

    def _refuse(self, why: str, details: Sequence[str]) -> None:
        logger.error(
            "Reload refused, the last good configuration goes on: %s\n  %s",
            why,
            "\n  ".join(details),
        )
        self._reloads.note("refused", succeeded=False)

    async def _apply(self, loaded: Loaded, changes: Apply) -> None:
        revision = self._reloads.revision + 1
        try:
            await self._applier.apply(self._configuration, loaded.configuration, changes, revision)
        except (Rejected, DocketError) as error:
            logger.error("Reload rolled back, the last good configuration goes on: %s", error)
            self._reloads.note("rolled_back", succeeded=False)
            return
        self._loaded = loaded
        self._reloads.revision = revision
        self._reloads.digest = loaded.meaning
        self._reloads.note("applied", succeeded=True)
        logger.info(
            "Reload: applied as revision %d\n  %s", revision, "\n  ".join(changes.describe())
        )
        for warning in loaded.warnings:
            logger.warning("%s", warning.render())

    async def _take_down(self) -> None:
        self._status.is_up = False
        limit = self._configuration.supervisor.shutdown_timeout.total_seconds()
        pools = list(self._fleet.pools.values())
        logger.info("Stopping: %d worker processes drain", sum(pool.ready for pool in pools))
        await asyncio.gather(*(pool.stop(limit) for pool in pools))
        logger.info("Stopped")

    def _rhythm(self) -> Rhythm:
        settings = self._configuration.supervisor.reload
        return Rhythm(
            settings.settle, settings.min_interval, settings.poll_interval, settings.watch
        )


class Pulse(Service):
    """Asks Redis once a second whether it is there, and shows that the event loop turns."""

    def __init__(self, storage: Storage, status: Status) -> None:
        self._storage = storage
        self._status = status

    async def run(self) -> None:
        """Beat until stopped."""
        while True:
            self._status.turn()
            with contextlib.suppress(ServerUnavailable):
                await self._storage.schedules.now()
                self._status.contact()
            await asyncio.sleep(PULSE)


def _refuse_memory(url: str) -> None:
    if url.startswith("memory://"):
        raise ConfigurationError(
            f"{url}: an in-memory server lives in one process, and the workers of a supervisor are others; "
            "leave the url out to have the embedded server, or name a Redis server"
        )
