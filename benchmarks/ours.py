"""What is measured of us alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from .server import Server

ROOT = Path(__file__).parent.parent

TASKS = """
import asyncio, os, time
from pathlib import Path

LEDGER = Path(__file__).parent / "ledger"

def note(word):
    with LEDGER.open("a") as ledger:
        ledger.write(f"{time.time()} {os.getpid()} {word}\\n")

async def first():
    note("first")

async def hold():
    note("hold")
    await asyncio.sleep(30)
"""

CONFIGURATION = """
name = "benchmark"
[supervisor]
listen = "127.0.0.1:0"
[tasks.first]
function = "bench_tasks:first"
[tasks.hold]
function = "bench_tasks:hold"
[schedules.now]
task = "first"
every = "50ms"
[workers.default]
processes = 2
concurrency = 10
"""


def import_docket() -> dict[str, float]:
    """``import docket`` and its two classes, in ms, the interpreter's own start taken off."""
    program = (
        "import time; start = time.perf_counter(); from docket import Docket, Worker; "
        "print((time.perf_counter() - start) * 1000)"
    )
    return {"value": float(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT))}


def help_page() -> dict[str, float]:
    """``docket --help``, in ms, from the start of the process to its end."""
    start = time.perf_counter()
    subprocess.run(
        [Path(sys.executable).parent / "docket", "--help"], check=True, stdout=subprocess.DEVNULL
    )
    return {"value": (time.perf_counter() - start) * 1000}


def check_file() -> dict[str, float]:
    """``docket-supervisor --check`` of 2,000 tasks and 200 schedules, in ms, from start to end."""
    tasks = (f'[tasks.t{n}]\nfunction = "shop:t{n}"\nretry.delay = "2s"\n' for n in range(2000))
    schedules = (
        f'[schedules.s{n}]\ntask = "t{n}"\ncron = "{n % 60} 3 * * *"\nkwargs = {{ a = {n} }}\n'
        for n in range(200)
    )
    with tempfile.TemporaryDirectory(prefix="docket-benchmark-") as name:
        file = Path(name) / "docket.toml"
        file.write_text('[defaults.task]\ntimeout = "20s"\n' + "".join([*tasks, *schedules]))
        program = Path(sys.executable).parent / "docket-supervisor"
        start = time.perf_counter()
        subprocess.run(
            [program, "--config", file, "--check"], check=True, stdout=subprocess.DEVNULL
        )
        return {"value": (time.perf_counter() - start) * 1000}


def supervised(server: Server) -> dict[str, dict[str, float]]:
    """Start to first task; save to new revision; kill -9 to re-run; memory of an idle worker."""
    with tempfile.TemporaryDirectory(prefix="docket-benchmark-") as name:
        directory = Path(name)
        (directory / "bench_tasks.py").write_text(TASKS)
        file = directory / "docket.toml"
        file.write_text(f'url = "{server.url}"\n{CONFIGURATION}')
        start = time.time()
        with _supervisor(file) as log:
            _until(lambda: bool(_ledger(directory, "first")))
            first = _ledger(directory, "first")[0][0] - start
            rss = max(_rss(pid) for pid in _workers(log))
            saved = time.time()
            file.write_text(file.read_text().replace("concurrency = 10", "concurrency = 11"))
            _until(lambda: "applied as revision 2" in log.read_text())
            reload = time.time() - saved
            recover = asyncio.run(_recover(server.url, directory))
    return {
        "first_task": {"value": first},
        "reload": {"value": reload},
        "rss": {"value": rss},
        "recover": {"value": recover},
    }


def large(server: Server) -> dict[str, dict[str, float]]:
    """2,000 tasks and 500 schedules: start; save to applied, and how long a schedule of every 50 ms waits."""
    tasks = "".join(
        f'[tasks.t{n}]\nfunction = "many:t{n}"\nretry = {{ attempts = 3, delay = "2s" }}\n'
        for n in range(2_000)
    )
    schedules = "".join(
        f'[schedules.s{n}]\ntask = "t{n}"\ncron = "{n % 60} {n // 60} * * *"\nkwargs = {{ a = {n} }}\n'
        for n in range(500)
    )
    with tempfile.TemporaryDirectory(prefix="docket-benchmark-") as name:
        directory = Path(name)
        (directory / "bench_tasks.py").write_text(TASKS)
        functions = "".join(f"async def t{n}(a: int = 0) -> None: ...\n" for n in range(2_000))
        (directory / "many.py").write_text(functions)
        file = directory / "docket.toml"
        file.write_text(f'url = "{server.url}"\n{CONFIGURATION}{tasks}{schedules}')
        start = time.time()
        with _supervisor(file) as log:
            _until(lambda: "is up at" in log.read_text())
            up = time.time() - start
            _until(lambda: len(_ledger(directory, "first")) > 20)
            saved = time.time()
            file.write_text(file.read_text().replace('"7 4 * * *"', '"7 5 * * *"'))
            _until(lambda: "applied as revision 2" in log.read_text())
            reload = time.time() - saved
            at = [moment for moment, _ in _ledger(directory, "first") if moment >= saved - 0.1]
            still = max(after - before for before, after in itertools.pairwise(at))
    return {
        "large_start": {"value": up},
        "large_reload": {"value": reload},
        "large_still": {"value": still * 1000},
    }


async def _recover(url: str, directory: Path) -> float:
    from docket import Docket

    async def hold() -> None: ...

    async with Docket("benchmark", url) as docket:
        await docket.add(hold)()
    _until(lambda: len(_ledger(directory, "hold")) == 1)
    ((_, pid),) = _ledger(directory, "hold")
    killed = time.time()
    os.kill(pid, signal.SIGKILL)
    _until(lambda: len(_ledger(directory, "hold")) == 2)
    return _ledger(directory, "hold")[1][0] - killed


@contextlib.contextmanager
def _supervisor(file: Path) -> Iterator[Path]:
    log = file.parent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "docket-supervisor", "--config", file],
            stdout=output,
            stderr=output,
            env={**os.environ, "DOCKET_LOGGING_FORMAT": "plain"},
        )
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        process.kill()


def _workers(log: Path) -> list[int]:
    return [int(pid) for pid in re.findall(r"process (\d+) works", log.read_text())]


def _rss(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _ledger(directory: Path, word: str) -> list[tuple[float, int]]:
    with contextlib.suppress(OSError):
        lines = [line.split() for line in (directory / "ledger").read_text().splitlines()]
        return [(float(at), int(pid)) for at, pid, what in lines if what == word]
    return []


def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.005)


async def noop(number: int) -> None:
    """The task of all measurements."""


async def _fill(url: str, name: str, count: int, when: datetime | None) -> None:
    from docket import Docket

    async with Docket(name, url) as docket:
        for at in range(0, count, 10_000):
            await docket.add_many(
                [docket.call(noop, when=when)(n) for n in range(at, min(at + 10_000, count))]
            )


async def _drain(
    url: str, name: str, count: int, workers: int = 1, concurrency: int = 100
) -> float:
    """Tasks per second of a number of worker processes."""
    start = time.perf_counter()
    drainers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.ours", url, name, str(concurrency), cwd=ROOT
        )
        for _ in range(workers)
    ]
    await asyncio.gather(*(drainer.wait() for drainer in drainers))
    return count / (time.perf_counter() - start)


def depth(server: Server, future: int) -> dict[str, float]:
    """Add and drain 5,000 beside so many that are not due: the cost must not depend on them."""

    async def measure() -> float:
        from docket import Docket, Worker

        name = f"depth-{future}"
        await _fill(server.url, name, future, datetime.now(timezone.utc) + timedelta(days=1))
        async with Docket(name, server.url) as docket, Worker(docket, concurrency=100) as worker:
            docket.register(noop)
            start = time.perf_counter()
            await docket.add_many([docket.call(noop)(n) for n in range(5000)])
            running = asyncio.create_task(worker.run_forever())
            while worker.tally.counts["docket_tasks_succeeded", "noop"] < 5000:
                await asyncio.sleep(0.005)
            seconds = time.perf_counter() - start
            running.cancel()
            await running
        return 5000 / seconds

    return {"value": asyncio.run(measure())}


def due_at_once(server: Server, count: int = 1_000_000) -> dict[str, float]:
    """A million fall due together: how fast they drain, and the longest script meanwhile."""

    async def measure() -> dict[str, float]:
        from docket import Docket, Worker

        when = datetime.now(timezone.utc) + timedelta(seconds=90)
        await _fill(server.url, "due", count, when)
        server.ask("CONFIG", "SET", "slowlog-log-slower-than", "1000")
        await asyncio.sleep(max(0.0, (when - datetime.now(timezone.utc)).total_seconds()))
        server.ask("SLOWLOG", "RESET")
        async with Docket("due", server.url) as docket, Worker(docket, concurrency=100) as worker:
            docket.register(noop)
            running = asyncio.create_task(worker.run_forever())
            await worker.until_started()
            start = time.perf_counter()
            await asyncio.sleep(20)
            done = worker.tally.counts["docket_tasks_succeeded", "noop"]
            speed = done / (time.perf_counter() - start)
            running.cancel()
            await running
            async with docket.redis() as client:
                slow = await client.slowlog_get(1000)
        return {
            "drain": speed,
            "script": max((entry["duration"] for entry in slow), default=1000) / 1000,
        }

    return asyncio.run(measure())


def workers_8(server: Server, count: int = 40_000) -> dict[str, float]:
    """Eight worker processes on one docket."""
    asyncio.run(_fill(server.url, "eight", count, None))
    return {"value": asyncio.run(_drain(server.url, "eight", count, workers=8))}


def declaring(server: Server, concurrency: int, count: int = 5000) -> dict[str, float]:
    """A task that declares a retry, a timeout and a dependency, beside one that declares nothing."""
    from docket import Depends, Retry, Timeout

    def nothing() -> None: ...

    async def declares(
        number: int,
        retry: Retry = Retry(attempts=3),
        timeout: Timeout = Timeout(timedelta(seconds=30)),
        value: None = Depends(nothing),
    ) -> None: ...

    speed = {
        task: max(asyncio.run(_drain_here(server.url, task, count, concurrency)) for _ in range(3))
        for task in (noop, declares)
    }
    return {"value": speed[declares], "times": speed[noop] / speed[declares]}


async def _drain_here(url: str, task: Callable[..., Any], count: int, concurrency: int) -> float:
    from docket import Docket, Worker

    async with (
        Docket("declaring", url) as docket,
        Worker(docket, concurrency=concurrency) as worker,
    ):
        docket.register(task)
        await docket.add_many([docket.call(task)(number) for number in range(count)])
        start = time.perf_counter()
        await worker.run_until_finished()
        return count / (time.perf_counter() - start)


def waiters(server: Server, count: int = 2000) -> dict[str, float]:
    """Many wait for the one slot of a limit: how fast they come through it, and at which cost."""
    from docket import ConcurrencyLimit

    async def limited(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> None: ...

    before = _scripts(server)
    speed = asyncio.run(_drain_here(server.url, limited, count, 10))
    return {"value": speed, "scripts": (_scripts(server) - before) / count}


def _scripts(server: Server) -> int:
    calls = re.search(r"cmdstat_evalsha:calls=(\d+)", server.ask("INFO", "commandstats"))
    return int(calls[1]) if calls else 0


async def _work(url: str, name: str, concurrency: int) -> None:
    from docket import Docket, Worker

    async with Docket(name, url) as docket, Worker(docket, concurrency=concurrency) as worker:
        docket.register(noop)
        await worker.run_until_finished()


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    asyncio.run(_work(sys.argv[1], sys.argv[2], int(sys.argv[3])))
