"""An application as somebody has it in the directory where they type ``docket``."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import urllib.request
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

from docket import (
    CurrentDocket,
    CurrentWorker,
    Depends,
    Docket,
    Logged,
    Perpetual,
    Progress,
    Worker,
)
from docket.dependencies import Dependency

calls: list[str] = []


async def greet(name: Annotated[str, Logged()], times: int = 1) -> str:
    """Greets."""
    return " ".join([f"hello {name}"] * times)


async def hold(file: str) -> None:
    """Runs until there is a file of this name."""
    print("started", flush=True)
    while not Path(file).exists():
        await asyncio.sleep(0.01)


async def climb(file: str, progress: Progress = Progress()) -> None:
    """Comes a step further, and waits for a file."""
    await progress.set_total(4)
    await progress.increment()
    await progress.set_message("one of four")
    await hold(file)
    await progress.increment(3)


async def break_down() -> None:
    """Fails."""
    raise RuntimeError("the till is empty")


async def report(
    probed: int | None,
    scraped: int | None,
    docket: Docket = CurrentDocket(),
    worker: Worker = CurrentWorker(),
) -> None:
    """Prints what its worker is."""
    (handler,) = logging.getLogger().handlers
    known: dict[str, Any] = {
        "docket": docket.name,
        "url": docket.url,
        "tasks": sorted(docket.tasks),
        "name": worker.name,
        "level": logging.getLevelName(logging.getLogger().level),
        "formatter": type(handler.formatter).__name__,
        "concurrency": worker.concurrency,
        "message_batch": worker.message_batch,
        "redelivery_timeout": worker.redelivery_timeout.total_seconds(),
        "reconnection_delay": worker.reconnection_delay.total_seconds(),
        "minimum_check_interval": worker.minimum_check_interval.total_seconds(),
        "scheduling_resolution": worker.scheduling_resolution.total_seconds(),
        "schedule_automatic_tasks": worker.schedule_automatic_tasks,
        "enable_internal_instrumentation": worker.enable_internal_instrumentation,
        "fallback_task": getattr(worker.fallback_task, "__name__", None),
        "wrapped": calls,
        "health": await asyncio.to_thread(_fetch, probed),
        "metrics": await asyncio.to_thread(_fetch, scraped),
    }
    print(json.dumps(known), flush=True)


def _fetch(port: int | None) -> str | None:
    if port is None:
        return None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return str(answer.read().decode())


async def fall_back(*_: Any, **__: Any) -> None:
    """Runs in the place of what is not known."""
    print("fell back", flush=True)


async def tick(perpetual: Perpetual = Perpetual(automatic=True)) -> None:
    """Runs once without being asked."""
    perpetual.cancel()
    print("ticked", flush=True)


def note_call() -> None:
    """Is wrapped around every task."""
    calls.append("called")


tasks = [greet, hold, climb, break_down, report]
automatic = [tick]
wrapping = [Depends(note_call)]
reserved = {"__mine__": Depends(note_call)}


async def torn(one: Perpetual = Perpetual(), two: Perpetual = Perpetual()) -> None:
    """Asks for what there can be only one of."""


class Disk(Dependency[None]):
    """Needs a disk that is broken."""

    async def __aenter__(self) -> None:
        """Never gets that far."""

    @classmethod
    def worker_lifecycle(cls, docket: Docket, worker: Worker) -> AbstractAsyncContextManager[None]:
        """Fails as soon as the worker begins."""
        raise OSError(errno.EIO, "the disk is broken")


class Plugin(Dependency[None]):
    """Needs a module that is not there."""

    async def __aenter__(self) -> None:
        """Never gets that far."""

    @classmethod
    def worker_lifecycle(cls, docket: Docket, worker: Worker) -> AbstractAsyncContextManager[None]:
        """Fails as soon as the worker begins."""
        raise ImportError("the plugin is not there")


broken_disk = [Disk()]
missing_plugin = [Plugin()]
contradictory = [torn]
numbers = [1, 2]
