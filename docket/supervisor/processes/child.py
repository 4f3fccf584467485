"""The worker process: becomes what it is ordered to be, and says how it fares."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import threading
import time
import traceback
from datetime import timedelta
from typing import Any

from ...connection.errors import trouble_of
from ...docket import Docket
from ...errors import ServerRefused, ServerUnavailable
from ...foundation.worker_spec import WorkerSpec
from ...instrumentation.console import set_up_logging
from ...runners.signals import disregard, dump_stacks_at
from ...worker import Worker
from ...worker.leftovers import end_children, flush, kill_descendants
from .construction import build_docket, build_worker, code_for, instruct
from .protocol import CHANNEL, STACKS, Channel

ORPHANED = 3.0
"""Seconds that a process whose supervisor is dead gives its tasks before it exits."""

_STATUS_EVERY = 1.0

logger = logging.getLogger("docket.worker")


def main() -> None:
    """Run a worker process on the channel that the environment names."""
    line = socket.socket(fileno=int(os.environ.pop(CHANNEL)))
    # Only the supervisor ends its workers, over the channel or with SIGKILL.
    disregard(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    faulthandler.enable()
    dump_stacks_at(STACKS)
    asyncio.run(_serve_and_exit(line))


async def _serve_and_exit(line: socket.socket) -> None:
    child = Child()
    code = await child.serve(line)
    end_children()
    if child.is_orphaned:
        # There is no longer a supervisor that would kill the rest of the process group.
        kill_descendants()
    # Here, and not after the loop: its end would wait for plain functions that were given up on.
    flush()
    os._exit(code)


class Child:
    """One worker, remote-controlled."""

    def __init__(self) -> None:
        self._orders: WorkerSpec | None = None
        self._revision = 0
        self.is_orphaned = False
        """True if its supervisor is dead."""
        self._docket: Docket | None = None
        self._worker: Worker | None = None
        self._working: asyncio.Task[None] | None = None

    async def serve(self, line: socket.socket) -> int:
        """Follow orders until asked to stop, and return the exit code."""
        channel = await Channel.over(line)
        await channel.say("hello")
        _watch_for_orphanage(line.fileno())
        reporting = asyncio.create_task(self._report(channel))
        try:
            return await self._follow_orders(channel)
        finally:
            reporting.cancel()
            channel.close()

    async def _follow_orders(self, channel: Channel) -> int:
        hearing = asyncio.create_task(channel.hear())
        while True:
            tasks = {hearing} if self._working is None else {hearing, self._working}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._working is not None and self._working.done():
                hearing.cancel()
                return self._ended_by_itself(self._working)
            message = hearing.result()
            if message is None:
                self.is_orphaned = True
                await self._stop(timedelta(seconds=ORPHANED))
                return 0
            if message["word"] == "drain":
                await self._stop(timedelta(seconds=message["seconds"]))
                return 0
            await self._configure(channel, message)
            hearing = asyncio.create_task(channel.hear())

    def _ended_by_itself(self, working: asyncio.Task[None]) -> int:
        error = working.exception()
        logger.critical("The worker cannot go on: %s", error, exc_info=error)
        return 1

    async def _configure(self, channel: Channel, message: dict[str, Any]) -> None:
        revision = int(message["revision"])
        try:
            await self._become(WorkerSpec.load(message["orders"]), revision)
        except Exception as error:
            reason = "".join(traceback.format_exception_only(error)).strip()
            await channel.say(
                "rejected", revision=revision, reason=reason, trouble=_trouble_of(error)
            )
            return
        self._revision = revision
        assert self._worker is not None
        code = self._worker.code.modules
        await channel.say("ready", revision=revision, consumer=self._worker.consumer, code=code)

    async def _become(self, orders: WorkerSpec, revision: int) -> None:
        # What suspects have logged must be there when they kill the process, each line of it.
        is_quarantine = orders.suspects_wait is None
        set_up_logging(orders.log_level, orders.log_format, gathers=not is_quarantine)
        if self._worker is None or self._docket is None:
            await self._start(orders, revision)
        else:
            instruct(self._docket, orders)
            self._worker.concurrency = orders.concurrency
            await self._worker.work_on(orders.queues)
            self._worker.revision = revision
        self._orders = orders

    async def _start(self, orders: WorkerSpec, revision: int) -> None:
        began = time.time_ns()
        docket = build_docket(orders)
        code = code_for(orders, began)
        instruct(docket, orders)
        await docket.__aenter__()
        self._docket = docket
        self._worker = build_worker(docket, orders, code)
        self._worker.revision = revision
        self._working = asyncio.create_task(self._worker.run_forever(), name="docket worker")
        starting = asyncio.create_task(self._worker.until_started())
        await asyncio.wait({starting, self._working}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            working, self._working = self._working, None
            await working

    async def _stop(self, deadline: timedelta) -> None:
        if self._worker is None or self._docket is None or self._working is None:
            return
        await self._worker.drain(deadline)
        self._working.cancel()
        await asyncio.wait({self._working})
        await self._docket.__aexit__(None, None, None)

    async def _report(self, channel: Channel) -> None:
        while True:
            await asyncio.sleep(_STATUS_EVERY)
            if self._worker is None:
                continue
            contact = self._worker.last_contact
            age = None if contact is None else asyncio.get_running_loop().time() - contact
            counts = [[*labels, count] for labels, count in self._worker.tally.counts.items()]
            spreads = [
                [*labels, spread.counts, spread.total]
                for labels, spread in self._worker.tally.spreads.items()
            ]
            await channel.say(
                "status",
                revision=self._revision,
                in_flight=self._worker.in_flight,
                free=self._worker.free,
                claims=self._worker.claims,
                outage=self._worker.outage,
                contact_age=age,
                counts=counts,
                spreads=spreads,
            )


def _trouble_of(error: Exception) -> str:
    """Return what is wrong with Redis, in a word that the supervisor knows; empty if it is something else."""
    is_one = isinstance(error, (ServerUnavailable, ServerRefused))
    return trouble_of(error).value if is_one else ""


def _watch_for_orphanage(descriptor: int) -> None:
    """Exit soon after the supervisor has died, even if a task blocks the event loop."""
    lifeline = socket.socket(fileno=os.dup(descriptor))

    def watch() -> None:
        import select  # noqa: PLC0415 - only this thread needs it

        poll = select.poll()
        poll.register(lifeline, select.POLLHUP)
        poll.poll()
        threading.Event().wait(ORPHANED + 1)
        kill_descendants()
        os._exit(75)

    threading.Thread(target=watch, name="docket-orphanage", daemon=True).start()
