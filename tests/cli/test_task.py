"""``docket task``."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from key_value.aio.stores.memory import MemoryStore

from docket import Docket, Execution, Worker
from docket.cli.parameters.selections import summary
from docket.operations import Deed, Done

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _add(shell: Shell, *words: str) -> str:
    return shell.prints("task", "add", *words, "--tasks", "shop:tasks").strip()


def _found(shell: Shell, key: str) -> Execution:
    execution = shell.visit(lambda docket: docket.get_execution(key))
    assert execution is not None
    return execution


def test_a_task_is_added_by_name_with_its_arguments(shell: Shell) -> None:
    done = shell.program(
        *("task", "add", "greet", "Jane", "times=int:3", "--key", "k", "--tasks", "shop:tasks")
    )

    assert (done.returncode, done.stdout) == (0, "k\n")
    assert done.stderr == f"Added greet to docket '{shell.name}'\n"
    execution = _found(shell, "k")
    assert (execution.args, execution.kwargs) == (("Jane",), {"times": 3})


def test_a_text_with_an_equals_sign_is_an_argument_by_position_if_it_has_no_name(
    shell: Shell,
) -> None:
    key = _add(shell, "greet", "1=2")

    assert _found(shell, key).args == ("1=2",)


def test_a_collection_is_looked_for_in_the_working_directory(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "garden.py").write_text("async def water(): ...\n\ntasks = [water]\n")
    monkeypatch.chdir(tmp_path)

    key = shell.prints("task", "add", "water", "--tasks", "garden:tasks").strip()

    assert _found(shell, key).function_name == "water"


def test_a_task_is_added_for_later(shell: Shell) -> None:
    at = _add(shell, "greet", "Jane", "--when", "2126-07-01T12:00:00Z")
    after = _add(shell, "greet", "Jane", "--delay", "1h")

    assert _found(shell, at).when == datetime(2126, 7, 1, 12, tzinfo=timezone.utc)
    assert _found(shell, after).state.value == "scheduled"


def test_a_task_is_added_with_options(shell: Shell) -> None:
    options = (
        "--queue",
        "bulk",
        "--priority",
        "low",
        "--timeout",
        "90s",
        "--tag",
        "a",
        "--tag",
        "b",
    )
    later = _found(shell, _add(shell, "greet", "Jane", *options, "--expires", "10m"))
    by = _found(shell, _add(shell, "greet", "Jane", "--expires", "2126-07-01T12:00:00Z"))

    assert later.queue == "bulk/low"
    assert later.tags == ("a", "b")
    assert later.options.timeout == timedelta(seconds=90)
    assert later.options.expires == timedelta(minutes=10)
    assert by.options.expires == datetime(2126, 7, 1, 12, tzinfo=timezone.utc)
    refused = shell.type("task", "add", "greet", "x", "--once", "1h", "--tasks", "shop:tasks")
    assert refused.exit_code == 2
    assert "expected a key with once" in refused.stderr


@pytest.mark.parametrize("once", ["always", "1h"])
def test_a_key_that_runs_once_is_done_already(shell: Shell, once: str) -> None:
    words = ("greet", "Jane", "--key", "k", "--once", once)
    _add(shell, *words)
    shell.prints("task", "cancel", "k")

    done = shell.type("task", "add", *words, "--tasks", "shop:tasks")

    assert (done.exit_code, done.stdout) == (0, "k\n")
    assert done.stderr == "k is cancelled already, and runs once only\n"


def test_executions_are_cancelled_by_what_they_are(shell: Shell) -> None:
    for number, name in enumerate(("acme", "acme", "other")):
        _add(
            shell, "greet", f"name={name}", "--key", f"k{number}", "--queue", "bulk", "--tag", name
        )
    words = ("task", "cancel", "--where", "name==acme", "--queue", "bulk")

    would = shell.type(*words, "--dry-run")
    unsure = shell.type(*words)
    done = shell.type(*words, "--yes", "--author", "ann", "--reason", "INC-7")
    none = shell.type(*words, "--yes")

    assert would.stdout == f"Would cancel 2 executions of docket '{shell.name}'\n"
    assert {"k0 (greet, queued)", "k1 (greet, queued)"} == set(would.stderr.splitlines())
    assert unsure.exit_code == 2
    assert "expected --yes, as no terminal can be asked" in unsure.stderr
    assert re.fullmatch(
        rf"Cancelled 2 executions of docket '{shell.name}' \(deed .+\)\n", done.stdout
    )
    assert none.stdout == f"Cancelled 0 executions of docket '{shell.name}'\n"
    assert "by ann (INC-7)" in shell.prints("task", "explain", "k0")
    assert shell.prints("task", "ls", "--tag", "other").splitlines()[1].startswith("k2")
    assert shell.type("task", "ls", "--tag", "acme").stderr == "no executions\n"


def test_a_summary_says_what_runs_on_and_what_was_not_to_be_had() -> None:
    deeds = (Deed.CANCELLED, Deed.REQUESTED, Deed.FINISHED, Deed.MOVED)

    assert summary([Done("k", deed) for deed in deeds], "orders") == (
        "Cancelled 2 executions of docket 'orders', of which 1 run and end at their next checkpoint; "
        "2 had ended, or stood for another call, by then"
    )


def test_whose_arguments_cannot_be_read_are_left_alone(shell: Shell) -> None:
    keys = [f"k{number}" for number in range(7)]
    for key in keys:
        _add(shell, "greet", "acme", "--key", key)

    done = shell.type("task", "cancel", "--where", "name==acme", "--yes")

    assert done.exit_code == 6
    assert "left 7 alone whose arguments cannot be read here: " in done.stderr
    assert done.stderr.endswith(" and 2 more\n")


def test_which_executions_are_cancelled_is_said_in_one_way(shell: Shell) -> None:
    neither, both = shell.type("task", "cancel"), shell.type("task", "cancel", "k", "--tag", "a")
    odd = shell.type("task", "cancel", "--where", "name", "--yes")
    dry = shell.type("task", "cancel", "k", "--dry-run")

    assert (neither.exit_code, both.exit_code, odd.exit_code) == (2, 2, 2)
    assert (neither.stderr[-11:], both.stderr[-11:]) == ("found none\n", "found both\n")
    assert "expected a comparison such as customer==acme" in odd.stderr
    assert dry.stdout == "Would cancel k\n"


def test_what_is_scheduled_or_dead_runs_at_once(shell: Shell) -> None:
    shell.visit(lambda docket: docket.add("break_down", key="dead")())
    shell.visit(lambda docket: docket.add("break_down", key="struck")())
    shell.work()
    for key in ("later", "retried", "other"):
        _add(shell, "greet", "Jane", "--key", key, "--delay", "1h")
    shell.visit(
        lambda docket: docket.storage.connection.send(
            ("HSET", docket.runs_key("retried"), "attempt", 2)
        )
    )

    now = shell.type("task", "run-now", "later")
    again = shell.type("task", "retry", "dead", "retried")
    some = shell.type("task", "run-now", "later", "none")
    mixed = shell.type("task", "run-now", "other", "none")
    shell.prints("strike", "break_down")
    struck = shell.type("task", "retry", "struck")
    none = shell.type("task", "retry", "none")

    assert (now.exit_code, now.stdout) == (0, "Due now: later\n")
    assert (again.exit_code, again.stdout) == (0, "Tried again: retried, dead\n")
    assert some.exit_code == 4
    assert some.stderr == (
        "later is left alone: it is queued\nnone is left alone: there is no such execution\n"
    )
    assert mixed.exit_code == 6
    assert mixed.stderr.startswith("Due now: other\nnone is left alone: ")
    assert struck.exit_code == 4
    assert "a strike on its task keeps it" in struck.stderr
    assert none.exit_code == 3


def test_a_moment_needs_a_zone(shell: Shell) -> None:
    done = shell.type("task", "add", "trace", "hi", "--when", "2126-07-01T12:00")

    assert done.exit_code == 2
    assert done.stderr == (
        "expected a moment with a zone, such as 2126-07-01T12:00+02:00 or 2126-07-01T12:00Z\n"
    )


def test_a_task_that_a_worker_knows_needs_no_collection(shell: Shell) -> None:
    async def beside_a_worker(docket: Docket) -> tuple[str, str]:
        async with Worker(docket) as worker:
            working = asyncio.create_task(worker.run_forever())
            await worker.until_started()
            added = await asyncio.to_thread(shell.program, "task", "add", "greet", "name=Jane")
            mistyped = await asyncio.to_thread(shell.program, "task", "add", "gret")
            refused = await asyncio.to_thread(shell.program, "task", "add", "greet", "nam=Jane")
            execution = await docket.get_execution(added.stdout.strip())
            assert execution is not None
            greeting = await execution.get_result()
            working.cancel()
            await working
        assert mistyped.returncode == 3
        assert refused.returncode == 2
        assert "expected arguments that fit greet(" in refused.stderr
        assert "got an unexpected keyword argument 'nam'" in refused.stderr
        return greeting, mistyped.stderr

    greeting, said = shell.visit(beside_a_worker)

    assert greeting == "hello Jane"
    assert said == (
        f"no worker of docket '{shell.name}' knows a task 'gret': start one with "
        "its code, or name a collection that has it with --tasks; did you mean greet?\n"
    )


def test_a_key_that_is_there_already_is_refused(shell: Shell) -> None:
    _add(shell, "greet", "Jane", "--key", "k")

    done = shell.type("task", "add", "trace", "hi", "--key", "k")

    assert done.exit_code == 4
    assert done.stderr == "'k' is there already; `docket task get k` shows it\n"


def test_a_task_that_is_struck_is_refused(shell: Shell) -> None:
    shell.prints("strike", "trace")

    done = shell.type("task", "add", "trace", "hi")

    assert done.exit_code == 4
    assert done.stderr.startswith("trace is struck; `docket strikes ls` says why")


def test_a_key_that_is_none_exits_2(shell: Shell) -> None:
    done = shell.type("task", "add", "trace", "hi", "--key", "x" * 1025)

    assert done.exit_code == 2
    assert done.stderr.startswith("expected a key of at most 1024 bytes")


def test_an_execution_is_shown_without_its_arguments(shell: Shell) -> None:
    _add(shell, "greet", "Jane", "--key", "k", "--delay", "1h")

    shown = shell.prints("task", "get", "k")

    fields = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert (fields["key"], fields["task"], fields["state"]) == ("k", "greet", "scheduled")
    assert re.search(r" \(in (1h|59m.*)\)$", fields["when"])
    assert "Jane" not in shown


def test_arguments_and_result_are_revealed_if_asked_for(shell: Shell) -> None:
    _add(shell, "greet", "Jane", "times=int:2", "--key", "k")

    before = json.loads(shell.prints("task", "get", "k", "--reveal", "-o", "json"))
    shell.work()
    after = json.loads(shell.prints("task", "get", "k", "--reveal", "-o", "jsonl"))

    assert (before["version"], before["kind"]) == (1, "execution")
    assert before["item"]["args"] == ["'Jane'"]
    assert before["item"]["kwargs"] == {"times": "2"}
    assert "result" not in before["item"]
    assert after["result"] == "'hello Jane hello Jane'"


def test_what_only_code_could_build_is_described_when_it_is_revealed(shell: Shell) -> None:
    async def echo(path: Path) -> Path:
        return path

    async def run(docket: Docket) -> None:
        await docket.add(echo, key="k")(Path("a"))
        async with Worker(docket) as worker:
            await worker.run_until_finished()

    shell.visit(run)

    shown = json.loads(shell.prints("task", "get", "k", "--reveal", "-o", "json"))["item"]

    assert re.fullmatch(r"<\d+ pickled bytes>", shown["arguments"])
    assert re.fullmatch(r"<\d+ pickled bytes>", shown["result"])
    assert "args" not in shown


def test_a_result_that_is_kept_elsewhere_is_revealed_as_that(shell: Shell) -> None:
    async def run() -> None:
        async with Docket(shell.name, shell.url, result_storage=MemoryStore()) as docket:
            docket.register_collection("shop:tasks")
            await docket.add("greet", key="k")("Jane")
            async with Worker(docket) as worker:
                await worker.run_until_finished()

    asyncio.run(run())

    shown = json.loads(shell.prints("task", "get", "k", "--reveal", "-o", "json"))["item"]

    assert shown["result"].startswith("the result 'k:1' is kept in a storage of its own")


def test_an_execution_that_is_not_there_exits_3(shell: Shell) -> None:
    done = shell.type("task", "get", "k")

    assert done.exit_code == 3
    assert done.stderr.startswith(f"docket '{shell.name}' holds no execution 'k'; ")


def test_executions_are_listed_by_state_and_task(shell: Shell) -> None:
    _add(shell, "greet", "Jane", "--key", "now")
    _add(shell, "greet", "Jane", "--key", "later", "--delay", "1h")
    _add(shell, "hold", "file", "--key", "other", "--delay", "1h")

    def keys(*words: str) -> list[str]:
        lines = shell.prints("task", "ls", *words, "-o", "jsonl").splitlines()
        return sorted(json.loads(line)["key"] for line in lines)

    assert keys() == ["later", "now", "other"]
    assert keys("--state", "scheduled") == ["later", "other"]
    assert keys("--task", "greet") == ["later", "now"]
    assert keys("--state", "running") == []


def test_a_long_list_is_cut_off_and_says_so(shell: Shell) -> None:
    for _ in range(3):
        _add(shell, "greet", "Jane")

    done = shell.type("task", "ls", "--limit", "2")

    assert len(done.stdout.splitlines()) == 1 + 2
    assert done.stderr == "1 more; --limit 3 lists them, too\n"
    filtered = shell.type("task", "ls", "--task", "greet", "--limit", "2")
    assert filtered.stderr == "there are more; a higher --limit lists them, too\n"


def test_executions_are_cancelled_by_their_keys(shell: Shell) -> None:
    _add(shell, "greet", "Jane", "--key", "one")
    _add(shell, "greet", "Jane", "--key", "two")

    assert shell.prints("task", "cancel", "one", "two") == "Cancelled one\nCancelled two\n"
    assert _found(shell, "one").state.value == "cancelled"


def test_cancelling_what_is_not_there_exits_3_and_what_has_ended_4(shell: Shell) -> None:
    _add(shell, "greet", "Jane", "--key", "one")
    shell.work()

    assert shell.type("task", "cancel", "nobody").exit_code == 3
    done = shell.type("task", "cancel", "one")
    assert done.exit_code == 4
    assert done.stderr == "'one' cannot be cancelled: it is completed already\n"


def test_cancelling_in_part_exits_6_and_tells_what_was_not_cancelled(shell: Shell) -> None:
    _add(shell, "greet", "Jane", "--key", "one")

    done = shell.type("task", "cancel", "nobody", "one")

    assert (done.exit_code, done.stdout) == (6, "Cancelled one\n")
    assert "holds no execution 'nobody'" in done.stderr


def test_cancelling_what_runs_tells_its_worker(shell: Shell) -> None:
    async def look(docket: Docket) -> str:
        started = asyncio.Event()

        async def linger() -> None:
            started.set()
            await asyncio.Event().wait()

        await docket.add(linger, key="long")()
        async with Worker(docket, name="jane") as worker:
            working = asyncio.create_task(worker.run_until_finished())
            await started.wait()
            shown = await asyncio.to_thread(shell.prints, "task", "cancel", "long")
            await working
        return shown

    assert shell.visit(look) == "Cancelled long, which runs on jane\n"


def test_where_a_run_stands_is_asked_of_its_worker(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(docket: Docket) -> tuple[str, str]:
        started, gone_on = asyncio.Event(), asyncio.Event()

        async def linger() -> None:
            started.set()
            await gone_on.wait()

        await docket.add(linger, key="long")()
        async with Worker(docket, name="jane") as worker:
            working = asyncio.create_task(worker.run_until_finished())
            await started.wait()
            shown = await asyncio.to_thread(shell.prints, "task", "stack", "long")
            document = await asyncio.to_thread(shell.prints, "task", "stack", "long", "-o", "json")
            gone_on.set()
            await working
        return shown, document

    shown, document = shell.visit(look)
    item = json.loads(document)["item"]

    assert shown.startswith("long (linger) stands in the event loop of worker jane:\n")
    assert "in linger: await gone_on.wait()" in shown
    assert (item["worker"], item["frames"][0]["function"]) == ("jane", "linger")
    assert shell.type("task", "stack", "nobody").exit_code == 3
    ended = shell.type("task", "stack", "long")
    assert (ended.exit_code, "found that long is completed" in ended.stderr) == (4, True)

    async def claim(docket: Docket) -> None:
        await (await docket.add("greet", key="held")("Jane")).claim("a worker that is gone")

    monkeypatch.setattr("docket.insights.insights.PATIENCE", timedelta(milliseconds=100))
    shell.visit(claim)
    silent = shell.type("task", "stack", "held")
    assert (silent.exit_code, "has not answered within" in silent.stderr) == (8, True)


def test_what_does_not_fit_the_code_at_hand_is_refused(shell: Shell) -> None:
    done = shell.type("task", "add", "greet", "Jane", "times=three", "--tasks", "shop:tasks")

    assert done.exit_code == 2
    assert done.stderr == (
        "greet cannot be called so: times: expected what fits int: input should be a valid integer\n"
    )
