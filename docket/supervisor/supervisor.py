"""The supervisor: brings the fleet up, follows the file, and takes the fleet down."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..assembly import audit_limits, client_for, history_limits, serializer_for
from ..config.load import NOTHING, Chosen, load
from ..config.model import Configuration
from ..config.reading.files import Surroundings
from ..connection.url import connect
from ..errors import ConfigurationError, DocketError, OperatorError
from ..foundation.service import Service, Services, end
from ..instrumentation.console import set_up_logging
from ..instrumentation.pages import HealthServer
from ..operations.audit import SUPERVISOR, Audit
from ..schedules.ticker import Ticker
from ..storage.configurations import Beat
from ..storage.scripting.retrying import value_of
from ..storage.storage import Storage
from .conditions import Conditions
from .control.client import place_of
from .control.listening import Listening
from .control.requests import Requests
from .fleet import Fleet
from .host.signals import answering, dump_stacks
from .host.systemd import Notifier
from .leadership import LOST, Leadership
from .processes.deaf_detector import DeafDetector
from .reload.code_state import CodeState
from .reload.code_watcher import CodeWatcher
from .reload.deeds import Asker, SupervisorDeeds
from .reload.file_watcher import Rhythm, Watcher
from .reload.reloader import Reloader, ReloadOutcome
from .reload.restarter import Restarter
from .reporting.backlog import BacklogCount
from .reporting.health import ReloadRecord, Status
from .reporting.overview import Overview
from .reporting.pauses import Pauses
from .reporting.pings import Pings

logger = logging.getLogger("docket.supervisor")

SIGNAL = Asker(reason="a signal")
"""The sender of a signal, who is unknown."""

PULSE = 1.0
"""Seconds between two looks at Redis and at the event loop."""


class Supervisor:
    """The supervisor keeps workers and schedules in the shape that a file declares, and follows the file.

    Arguments:
        path: the docket.toml.
        environ: the environment, which overrides the file.
        chosen: overlays, profile and settings of the command line.

    Raises:
        ConfigurationError: the file cannot be used as it is.
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str] = os.environ,
        chosen: Chosen = NOTHING,
    ) -> None:
        self._path = path
        self._environ = environ
        self._chosen = chosen
        # Before the file is read: what is saved while everything is brought up is a change, too.
        beside = Surroundings(path, chosen.overlays).beside
        self._watcher = Watcher(path, self._rhythm, self.reload, beside)
        loaded = load(path, environ, chosen)
        configuration = loaded.configuration
        reloads = ReloadRecord(digest=loaded.meaning, desired=loaded.meaning)
        self.conditions = Conditions()
        self._asker: Asker | None = None
        """The one who has asked for the next reload; None if it is the file that has changed."""
        self._reload_wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._port: int | None = None
        _refuse_memory(loaded.url)
        storage = Storage(
            connect(loaded.url),
            configuration.name,
            history_limits(configuration),
            audit=audit_limits(configuration),
        )
        owner = configuration.owned_by
        ticker = Ticker(storage.schedules, serializer_for(configuration, path), owner)
        # Until everything is up, and this supervisor is known to lead, nothing fires here.
        ticker.is_leading = False
        # As it is now: where a process starts must not depend on a directory that may be removed.
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would skip the links
        self._fleet = Fleet(absolute, storage, ticker, owner)
        self._backlog_count = BacklogCount(storage.executions, lambda: self._fleet.queues)
        self._status = Status(
            self._fleet.pools, ticker, reloads, self.conditions, self._backlog_count
        )
        self._fleet.on_exit = self._status.remember
        self._fleet.on_exhausted = self._give_up_on
        self.reloader = Reloader(
            path, environ, chosen, loaded, self._fleet, reloads, self.conditions
        )
        self._deeds = SupervisorDeeds(Audit(storage.audit, SUPERVISOR), absolute)
        code = CodeState(self._fleet.pools, self.conditions)
        self.restarter = Restarter(self.reloader, self._fleet, self.conditions, code)
        self._pauses = Pauses(storage.schedules, storage.queues, owner, self.conditions)
        self._overview = Overview(
            self._fleet, self.reloader, self.conditions, self._status, code, self._pauses
        )
        self._requests = Requests(
            self.reloader,
            self.restarter,
            lambda: self._overview.fields,
            lambda: self._status.is_up and not self._stopping.is_set(),
            self.ask_to_reload,
            self._deeds,
        )
        control = configuration.supervisor.control
        self._listening = Listening(lambda: place_of(control, path), self._requests.answers)
        self._notifier = Notifier.of(environ, self._summary)
        self._code_watcher = CodeWatcher(
            path,
            code,
            self._rhythm,
            lambda: self._configuration.supervisor.reload.follow_code,
            self._is_changing,
            self._run_new_code,
        )
        self._pings = Pings(
            lambda: self._configuration,
            lambda: client_for(self._configuration, path, loaded.url),
            lambda: self._fleet.ticker.is_leading,
            self._fleet.pools,
            self.conditions,
        )
        self._status.pings = self._pings.last
        self._failure = ""
        self._background: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int | None:
        """The port that health and metrics are served on, once they are."""
        return self._port

    def reload(self) -> None:
        """Read the file again, soon, because it has changed; several requests are one."""
        self._reload_wanted.set()

    def ask_to_reload(self, asker: Asker = SIGNAL) -> None:
        """Read the file again, soon, on request: what has failed before is tried again.

        Arguments:
            asker: the one who asks for it.
        """
        self._asker = asker
        self.reload()

    def stop(self) -> None:
        """Drain and stop; a second request stops at once."""
        if self._stopping.is_set():
            logger.warning("Stopping at once: what runs is handed back")
            self._fleet.hurry()
        self._stopping.set()

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            ConfigurationInvalid: the code does not fit the configuration.
            ServerUnavailable: nothing answers at the url.
            Rejected: a pool cannot work with the configuration.
        """
        settings = self._configuration.logging
        set_up_logging(settings.level, settings.format)
        for warning in self.reloader.loaded.warnings:
            logger.warning("%s", warning.render())
        pulse = Services(SupervisorPulse(self._fleet.storage, self._status))
        self._status.services = pulse
        async with self._controlled(), self._connected(), self._answering(), pulse.running():
            with answering(self._answers):
                try:
                    if await self._establish():
                        self._say_ready()
                        await self._serve(pulse)
                finally:
                    await self._take_down()
        if self._failure:
            raise OperatorError(self._failure)

    @property
    def _configuration(self) -> Configuration:
        return self.reloader.configuration

    def _give_up_on(self, pool: str) -> None:
        """React to a pool that crashes too often."""
        if self._configuration.supervisor.restart.on_exhausted == "exit":
            self._failure = (
                f"pool {pool} crashes too often, and supervisor.restart.on_exhausted is exit; "
                "the log says what its processes ended with"
            )
            self.stop()
            return
        why = f"pool {pool} crashes"
        self._in_background(
            self._deeds.noticed("rollback", lambda: self.reloader.give_up_on(pool), why)
        )

    async def _run_new_code(self, pools: Collection[str]) -> ReloadOutcome:
        """Replace the processes of pools whose code has changed."""
        restart = self.restarter.restart
        return await self._deeds.noticed("restart", lambda: restart(pools), "the code has changed")

    def _in_background(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(_logged(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _about(self) -> dict[str, Any]:
        """Return the state of this supervisor, for the others."""
        reloader = self.reloader
        return {
            "host": self._fleet.host,
            "pid": os.getpid(),
            "owner": self._fleet.owner,
            "revision": reloader.revision,
            "digest": reloader.loaded.meaning,
            "drift": self.conditions["Drift"].status,
            "leads": self._fleet.ticker.is_leading,
            "pools": {
                name: {
                    "ready": pool.ready,
                    "desired": pool.desired.processes,
                    "behind": pool.behind,
                }
                for name, pool in self._fleet.pools.items()
            },
        }

    @asynccontextmanager
    async def _controlled(self) -> AsyncGenerator[None, None]:
        await self._listening.open()
        try:
            yield
        finally:
            await self._listening.close()

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
        pages = {
            "/livez": status.livez,
            "/readyz": status.readyz,
            "/metrics": status.metrics,
            "/api/status": self._overview.page,
        }
        try:
            server = HealthServer(settings.host, settings.port, pages)
        except OSError as error:
            raise OperatorError(
                f"cannot listen on {settings.listen}: {error.strerror}; another supervisor may run "
                "there: stop it, or set supervisor.listen (DOCKET_SUPERVISOR__LISTEN) to a free port"
            ) from error
        server.start()
        self._port = server.port
        try:
            yield
        finally:
            server.stop()

    @property
    def _answers(self) -> dict[signal.Signals, Callable[[], object]]:
        """Actions for the signals."""
        return {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self.ask_to_reload,
            signal.SIGTTIN: lambda: self._in_background(self._scale(1)),
            signal.SIGTTOU: lambda: self._in_background(self._scale(-1)),
            signal.SIGUSR1: self._log_status,
            signal.SIGQUIT: lambda: dump_stacks(self._fleet),
        }

    async def _scale(self, by: int) -> None:
        if self._status.is_up and not self._stopping.is_set():
            scale = self.reloader.scale
            scaled = await self._deeds.asked("scale", SIGNAL, lambda: scale(by), by=by)
            told = ", ".join(f"{name} {count}" for name, count in scaled.items())
            logger.warning("Processes by hand, until the next configuration: %s", told)

    def _log_status(self) -> None:
        logger.info("%s", self._summary())
        for condition in self.conditions:
            if condition.status:
                logger.info("%s: %s %s", condition.name, condition.reason, condition.message)
        for name, pool in self._fleet.pools.items():
            states = ", ".join(f"{one.pid} {one.state.value}" for one in pool.processes)
            logger.info("Pool %s: %s", name, states or "no process")

    def _summary(self) -> str:
        """Return the state in one line."""
        pools = self._fleet.pools.values()
        ready, wanted = (
            sum(pool.ready for pool in pools),
            sum(pool.desired.processes for pool in pools),
        )
        return f"revision {self.reloader.revision}, {ready} of {wanted} worker processes ready"

    async def _establish(self) -> bool:
        """Bring everything up; False if that was to be stopped meanwhile."""
        starting = self._deeds.noticed("start", self.reloader.establish)
        establishing = asyncio.create_task(starting)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({establishing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(stopping)
            await end(establishing)
        if establishing.cancelled():
            return False
        establishing.result()
        return True

    def _say_ready(self) -> None:
        configuration = self._configuration
        self._status.contact.answered()  # the last step of what has brought it up was a commit
        self._status.is_up = True
        self._notifier.ready()
        logger.info(
            "Docket %s is up at %s: %s; health and metrics on http://%s:%s",
            configuration.name,
            self._fleet.storage.connection.url,
            configuration.summary,
            configuration.supervisor.host,
            self._port,
        )

    async def _serve(self, pulse: Services) -> None:
        """Tick, watch and reload until stopped."""
        fleet = self._fleet
        leadership = Leadership(
            fleet.storage.configurations,
            fleet.owner,
            f"{fleet.host}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
            self._about,
            self._follow,
            lambda: self.reloader.revisions.may_lead,
            self._status.contact,
        )
        services = Services(
            *(fleet.ticker, leadership, self._watcher, self._notifier, self._backlog_count),
            DeafDetector(fleet.storage.queues, fleet.pools, self.conditions),
            *(self._pauses, self._pings),
            *(self._code_watcher, self._listening),
            Reloads(self._reload_once),
            beside=pulse,
        )
        self._status.services = services
        async with services.running():
            try:
                # No failure of theirs is final: each begins again until this is to end.
                await self._stopping.wait()
            finally:
                await self._requests.stop()
                for task in list(self._background):
                    await end(task)

    async def _follow(self, beat: Beat) -> None:
        await self.reloader.follow(beat)
        if self.reloader.is_to_be_tried_again and beat is not LOST:
            self.reload()

    def _is_changing(self) -> bool:
        """Return True if a reload, or a restart, is under way or comes first."""
        is_reloading = self._reload_wanted.is_set() or self.reloader.under_way.locked()
        return is_reloading or self.restarter.is_busy or self._watcher.has_news

    async def _reload_once(self) -> None:
        """Wait until a reload is wanted, and carry it out."""
        await self._reload_wanted.wait()
        asker, self._asker = self._asker, None
        self._reload_wanted.clear()
        self._notifier.reloading()
        if asker is None:
            await self._deeds.noticed("reload", self.reloader.reload)
        else:
            reload = self.reloader.reload
            await self._deeds.asked("reload", asker, lambda: reload(is_asked=True))
        self._notifier.ready()

    async def _take_down(self) -> None:
        self._status.is_up = False
        self._notifier.stopping()
        limit = self._configuration.supervisor.shutdown_timeout.total_seconds()
        pools = list(self._fleet.pools.values())
        logger.info("Stopping: %d worker processes drain", sum(pool.ready for pool in pools))
        await self._fleet.stop(limit)
        logger.info("Stopped")

    def _rhythm(self) -> Rhythm:
        settings = self._configuration.supervisor.reload
        return Rhythm(
            settings.settle, settings.min_interval, settings.poll_interval, settings.watch
        )


class Reloads(Service):
    """Reloads, carried out one at a time.

    Arguments:
        reload: waits until one is wanted, and carries it out.
    """

    def __init__(self, reload: Callable[[], Awaitable[None]]) -> None:
        self._reload = reload

    async def run(self) -> None:
        """Reload until stopped."""
        while True:
            await self._reload()


class SupervisorPulse(Service):
    """A pulse that shows that the event loop turns, and asks Redis once a second whether it is there.

    It turns from the first moment to the last: a start or a drain may take longer than a loop may stand.
    Redis is asked in between, when everything is up.
    """

    def __init__(self, storage: Storage, status: Status) -> None:
        self._storage = storage
        self._status = status

    async def run(self) -> None:
        """Beat until stopped."""
        while True:
            self.turn()
            self._status.turn()
            if self._status.is_up:
                await self._ask()
            await asyncio.sleep(PULSE)

    async def _ask(self) -> None:
        """Ask once, without patience: trouble is reported at once."""
        try:
            (reply,) = await self._storage.connection.send(("PING",))
            value_of(reply)
        except DocketError as error:
            self._status.contact.failed(error)
        else:
            self._status.contact.answered()


async def _logged(work: Coroutine[Any, Any, object]) -> None:
    """Do something on the side; an error of it is logged."""
    try:
        await work
    except Exception:
        logger.exception("What was asked for has failed; the supervisor goes on")


def _refuse_memory(url: str) -> None:
    if url.startswith("memory://"):
        raise ConfigurationError(
            f"{url}: an in-memory server lives in one process, and the workers of a supervisor are others; "
            "leave the url out to have the embedded server, or name a Redis server"
        )
