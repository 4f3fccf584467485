"""``docket watch``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from docket import Docket, Worker

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _climb(shell: Shell, file: Path) -> None:
    async def add(docket: Docket) -> None:
        await docket.add("climb", key="up")(str(file))

    shell.visit(add)


def _work_while_watched(shell: Shell, file: Path, *words: str, **environ: str) -> list[str]:
    """What is shown to somebody who watches before the work begins."""
    _climb(shell, file)

    async def follow(docket: Docket) -> list[str]:
        with shell.start("watch", "up", *words, **environ) as watcher:
            assert watcher.stdout is not None
            read = watcher.stdout.readline
            lines = [await asyncio.to_thread(read)]
            while lines[-1] and "queued" not in lines[-1]:
                lines.append(await asyncio.to_thread(read))
            async with Worker(docket, name="jane") as worker:
                working = asyncio.create_task(worker.run_until_finished())
                while lines[-1] and "one of four" not in lines[-1]:
                    lines.append(await asyncio.to_thread(read))
                file.touch()
                await working
            rest, errors = await asyncio.to_thread(watcher.communicate)
        assert (watcher.returncode, errors) == (0, "")
        return lines + rest.splitlines(keepends=True)

    return shell.visit(follow)


def test_watch_follows_an_execution_to_its_end(shell: Shell, tmp_path: Path) -> None:
    lines = _work_while_watched(shell, tmp_path / "go on")

    assert lines[0].startswith("climb(...){up} in docket cli-")
    assert lines[1] == "queued\n"
    assert "running on jane\n" in lines
    assert "  1/4 (25%) one of four\n" in lines
    assert lines[-1] == "completed on jane\n"


def test_watch_prints_json_for_programs(shell: Shell, tmp_path: Path) -> None:
    lines = _work_while_watched(shell, tmp_path / "go on", "--json")
    events = [json.loads(line) for line in lines]

    assert events[0] | {"when": None} == {
        "type": "state",
        "key": "up",
        "state": "queued",
        "when": None,
        "worker": None,
        "started_at": None,
        "completed_at": None,
        "error": None,
    }
    assert events[-1]["state"] == "completed"


def test_watch_takes_its_url_from_docket_redis_url(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = shell.prints("tasks", "trace").split("'")[1]
    shell.work()
    monkeypatch.setenv("DOCKET_URL", "memory://")

    done = shell.program("watch", key, DOCKET_REDIS_URL=shell.url)

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("completed on ")


def test_watch_takes_u_for_the_url_and_d_for_the_docket(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = shell.prints("tasks", "trace").split("'")[1]
    shell.work()
    monkeypatch.setenv("DOCKET_REDIS_URL", "memory://")
    monkeypatch.setenv("DOCKET_NAME", "another")

    assert "completed" in shell.prints("watch", key, "-u", shell.url, "-d", shell.name)


def test_watch_reads_docket_url_like_every_other_command(shell: Shell) -> None:
    key = shell.prints("tasks", "trace").split("'")[1]
    shell.work()

    assert "completed" in shell.prints("watch", key)


def test_watch_of_an_unknown_key_prints_an_error_and_exits_0(shell: Shell) -> None:
    done = shell.program("watch", "nobody")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"Error: docket '{shell.name}' holds no execution 'nobody'; ")


def test_watch_tells_why_an_execution_has_failed(shell: Shell) -> None:
    async def add(docket: Docket) -> None:
        await docket.add("break_down", key="down")()

    shell.visit(add)
    shell.work()

    last = shell.prints("watch", "down").splitlines()[-1]

    assert last.startswith("failed on ")
    assert last.endswith(": RuntimeError: the till is empty")


def test_watch_keeps_progress_on_one_line_of_a_terminal(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "go on"
    file.touch()
    _climb(shell, file)
    shell.work()

    code, shown = shell.on_terminal("watch", "up")

    assert code == 0
    assert shown.splitlines()[0] == f"climb(...){{up}} in docket {shell.name}"
    assert "completed" in shown


def test_watch_on_a_terminal_begins_a_new_line_after_progress(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "go on"
    _climb(shell, file)

    async def follow(docket: Docket) -> tuple[int, str]:
        async with Worker(docket, name="jane") as worker:
            working = asyncio.create_task(worker.run_until_finished())
            execution = await docket.get_execution("up")
            assert execution is not None
            events = execution.subscribe()
            async for event in events:
                if event["type"] == "progress" and event["message"]:
                    break
            await events.aclose()
            shown = await asyncio.to_thread(
                lambda: shell.on_terminal_until("1/4", file.touch, "watch", "up")
            )
            await working
            return shown

    code, shown = shell.visit(follow)

    assert code == 0
    assert "\r\x1b[K  1/4 (25%) one of four" in shown
    assert shown.endswith("\r\ncompleted on jane\r\n")
