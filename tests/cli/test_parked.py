"""``docket parked``."""

from __future__ import annotations

import asyncio
import json

import pytest

from docket import Docket, Worker

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _park(shell: Shell, *names: str) -> None:
    """Have a worker find tasks that it does not know."""

    async def park(docket: Docket) -> None:
        for name in names:

            async def unknown() -> None:
                """Nobody knows it later."""

            docket.register(unknown, [name])
            await docket.add(name, key=f"of {name}")()
            del docket.tasks[name]
        async with Worker(docket) as worker:
            await worker.run_until_finished()

    shell.visit(park)


def _state(shell: Shell, key: str) -> str:
    async def state(docket: Docket) -> str:
        execution = await docket.get_execution(key)
        assert execution is not None
        return execution.state.value

    return shell.visit(state)


def test_what_is_parked_is_listed_with_the_reason(shell: Shell) -> None:
    _park(shell, "paint", "plant")

    done = shell.program("parked", "ls", "-o", "json")
    some = shell.prints("parked", "ls", "--task", "paint")

    listed = json.loads(done.stdout)
    assert done.returncode == 0
    assert (listed["version"], listed["kind"]) == (1, "parked executions")
    assert sorted((item["key"], item["reason"]) for item in listed["items"]) == [
        ("of paint", "unknown_task"),
        ("of plant", "unknown_task"),
    ]
    assert some.splitlines()[0].split() == ["KEY", "TASK", "REASON", "DUE"]
    assert len(some.splitlines()) == 2


def test_what_is_parked_is_released_by_task(shell: Shell) -> None:
    _park(shell, "paint", "plant")

    done = shell.type("parked", "release", "--task", "paint")

    assert (done.exit_code, done.stdout) == (0, f"Released 1 of docket '{shell.name}'\n")
    assert done.stderr.startswith("no worker knows paint: the next one that finds them parks them")
    assert (_state(shell, "of paint"), _state(shell, "of plant")) == ("queued", "parked")


def test_release_says_nothing_of_tasks_that_a_worker_knows(shell: Shell) -> None:
    _park(shell, "paint")

    async def beside_a_worker(docket: Docket) -> str:
        done = asyncio.Event()

        async def paint() -> None:
            done.set()

        async with Worker(docket) as worker:
            working = asyncio.create_task(worker.run_forever())
            await worker.until_started()
            # From now on it is known, and its worker has looked before it was.
            docket.register(paint)
            await docket.storage.workers.register(worker.name, [*docket.tasks], docket.silence)
            released = await asyncio.to_thread(shell.program, "parked", "release", "--yes")
            await done.wait()
            working.cancel()
            await working
        return released.stderr

    assert shell.visit(beside_a_worker) == ""


def test_a_dry_run_counts_what_would_be_released(shell: Shell) -> None:
    nothing = shell.prints("parked", "release", "--dry-run")
    _park(shell, "paint", "plant")
    both = shell.prints("parked", "release", "--dry-run", "--task", "plant")

    assert nothing == f"Would release nothing of docket '{shell.name}'\n"
    assert both == f"Would release 1 × plant (unknown_task) of docket '{shell.name}'\n"
    assert _state(shell, "of plant") == "parked"


def test_a_terminal_is_asked_before_a_release(shell: Shell) -> None:
    _park(shell, "paint")

    code, shown = shell.on_terminal("parked", "release", typed="n\n")

    assert code == 4
    assert "This releases 1 × paint (unknown_task) of docket" in shown
    assert _state(shell, "of paint") == "parked"


def test_what_a_strike_keeps_back_is_not_released(shell: Shell) -> None:
    shell.prints("strike", "trace", "--park")
    key = shell.prints("tasks", "trace").split("'")[1]

    refused = shell.type("parked", "release")
    _park(shell, "paint")
    partial = shell.type("parked", "release")

    said = "1 stay parked, because they are struck: `docket strikes ls`"
    assert refused.exit_code == 4
    assert refused.stderr.startswith(f"Released 0; {said}")
    assert partial.exit_code == 6
    assert f"Released 1; {said}" in partial.stderr
    assert (_state(shell, key), _state(shell, "of paint")) == ("parked", "queued")


def test_of_one_task_only_what_is_struck_of_it_is_told(shell: Shell) -> None:
    shell.prints("strike", "trace", "--park")
    shell.prints("strike", "", "message", "==", "x", "--park")
    shell.prints("tasks", "trace", "x")
    shell.prints("tasks", "fail", "x")
    shell.prints("tasks", "fail", "x")

    one = shell.type("parked", "release", "--task", "trace")
    two = shell.type("parked", "release", "--task", "fail")
    none = shell.type("parked", "release", "--task", "sleep")

    assert one.stderr.startswith("Released 0; 1 stay parked, because they are struck")
    assert two.stderr.startswith("Released 0; 2 stay parked, because they are struck")
    assert (none.exit_code, none.stdout) == (0, f"Released 0 of docket '{shell.name}'\n")


def test_what_is_parked_is_released_by_key_and_by_reason(shell: Shell) -> None:
    shell.prints("strike", "trace", "--park")
    struck = shell.prints("tasks", "trace").split("'")[1]
    _park(shell, "paint", "plant", "prune")

    dry = shell.prints("parked", "release", "of paint", "--dry-run")
    both = shell.type(
        "parked", "release", "of paint", struck, "--author", "ann", "--reason", "INC-7"
    )
    again = shell.type("parked", "release", "of paint")
    none = shell.type("parked", "release", "nobody")
    two = shell.type("parked", "release", "of paint", "--parked-for", "unknown_task")
    by_reason = shell.type("parked", "release", "--parked-for", "unknown_task", "--task", "plant")

    assert dry == f"Would release 1 of docket '{shell.name}'\n"
    assert both.exit_code == 6
    assert f"Released 1 of docket '{shell.name}', and left 1 alone" in both.stderr
    assert f"{struck}: the strike task:trace keeps it" in both.stderr
    assert (again.exit_code, none.exit_code, two.exit_code) == (4, 3, 2)
    assert "of paint: it is not parked, it is queued" in again.stderr
    assert "nobody: there is no such execution" in none.stderr
    assert (by_reason.exit_code, by_reason.stdout) == (0, f"Released 1 of docket '{shell.name}'\n")
    states = [_state(shell, f"of {name}") for name in ("paint", "plant", "prune")]
    assert states == ["queued", "queued", "parked"]
    assert "by ann (INC-7)" in shell.prints("task", "explain", "of paint")


def test_what_is_parked_is_cancelled(shell: Shell) -> None:
    _park(shell, "paint", "plant")

    done = shell.prints("parked", "discard", "--task", "paint", "--yes")

    assert done.startswith("Cancelled 1 execution of docket")
    assert (_state(shell, "of paint"), _state(shell, "of plant")) == ("cancelled", "parked")
