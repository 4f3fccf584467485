"""Celery: a worker with a pool of threads, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from celery import Celery
from celery.contrib.testing.worker import TestWorkController, start_worker


def worker_of_the_command_line(**settings: Any) -> TestWorkController:
    """A worker with the heartbeat and the gossip that the testing module leaves out.

    Not with mingle: it waits for the answers of other workers for a second, which is no part of a drain.
    """
    return TestWorkController(**{**settings, "without_heartbeat": False, "without_gossip": False})


class CeleryPeer:
    distribution = "celery"

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        self.app = Celery(broker=url, task_ignore_result=True, worker_hijack_root_logger=False)

        @self.app.task(name="task")
        def task(tag: Any) -> None:
            seen(tag)

        self.task = task

    async def add(self, tag: Any) -> None:
        self.task.delay(tag)

    async def add_many(self, tags: Sequence[Any]) -> None:
        for tag in tags:
            self.task.delay(tag)

    async def add_later(self, tag: Any, when: datetime) -> None:
        self.task.apply_async((tag,), eta=when)

    @contextlib.asynccontextmanager
    async def working(self, concurrency: int) -> AsyncIterator[None]:
        running = start_worker(
            self.app,
            concurrency=concurrency,
            pool="threads",
            WorkController=worker_of_the_command_line,
            perform_ping_check=False,
            loglevel="CRITICAL",
        )
        await asyncio.to_thread(running.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)

    async def close(self) -> None:
        self.app.close()


PEER = CeleryPeer()
