"""The probe finds what does not fit the code, without a line of that code in this process."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from docket.config.load import load
from docket.supervisor.processes.process import SpawnFailed
from docket.supervisor.reload.probe import probe, subject_of
from docket.supervisor.reload.probe_process import Probe
from tests.descriptors import no_descriptors
from tests.supervisor.inside import until

WORK = """
import datetime, enum, typing
from docket import CurrentDocket, Depends, Timeout, Perpetual
from typing import TYPE_CHECKING, Annotated
if TYPE_CHECKING:
    from nowhere import Unknown

print("printed while imported")

class Shape(enum.Enum):
    ROUND = "round"

class Wrong(Exception): ...

class Callable:
    async def __call__(self, n: int): ...

called = Callable()
number = 5

async def plain(n: int, name: str = "x"): ...
def threaded(values: list[int], when: datetime.date | None = None): ...
def loose(a, *rest: int, flag: "Unknown" = None, **more: str): ...
def pair(both: tuple[int, int], shape: Shape = Shape.ROUND, odd: len = None): ...
async def injected(n: int, timeout: Timeout = Timeout(datetime.timedelta(seconds=5))): ...
def generator(): yield 1
async def stream(): yield 1

def told(docket=CurrentDocket()): ...
def within():
    def inner(): ...
    return inner
hidden = within()
def first(): ...
def upcast(schema, args, kwargs): return args, kwargs
async def torn(a: Perpetual = Perpetual(), b: Perpetual = Perpetual()): ...
"""

HEAD = "[workers.default]\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "work.py").write_text(WORK)
    return tmp_path


async def told(directory: Path, text: str) -> list[str]:
    """The first line of every problem, without the directory."""
    file = directory / "docket.toml"
    file.write_text(text)
    problems = await probe(load(file, {}))
    return [problem.render().replace(f"{directory}/", "").split("\n")[0] for problem in problems]


def task(name: str, function: str) -> str:
    return f'[tasks.{name}]\nfunction = "{function}"\n'


async def test_code_that_fits_is_not_objected_to(directory: Path) -> None:
    text = f"""
modules = ["work", "json"]
{task("plain", "work:plain")}retry = {{ attempts = 2, never_on = ["work:Wrong", "builtins:KeyError"] }}
rate_limit = {{ limit = 5, per = "1m", key = "name" }}
{task("threaded", "work:threaded")}{task("loose", "work:loose")}{task("pair", "work:pair")}
{task("injected", "work:injected")}{task("called", "work:called")}{task("joined", "os.path:join")}
[schedules]
a = {{ task = "plain", every = "1m", args = [1], kwargs = {{ name = "y" }} }}
b = {{ task = "threaded", every = "1m", args = [[1, 2], 2026-01-01] }}
c = {{ task = "loose", every = "1m", args = [1, 2, 3], kwargs = {{ flag = 1, other = "z" }} }}
d = {{ task = "pair", every = "1m", kwargs = {{ both = [1, 2], odd = 5, shape = "round" }} }}
e = {{ task = "injected", every = "1m", kwargs = {{ n = 1 }} }}
[[strikes]]
task = "plain"
when = {{ n = {{ op = "==", value = 1 }} }}
[[strikes]]
when = {{ both = {{ op = "==", value = 1 }} }}
[[strikes]]
task = "loose"
when = {{ whatever = {{ op = "==", value = 1 }} }}
"""
    assert await told(directory, text) == []
    assert "work" not in sys.modules


async def test_what_can_not_be_imported_is_told_where_it_is_named(directory: Path) -> None:
    text = (
        'modules = ["gone.away"]\n'
        + task("a", "missing:f")
        + task("b", "work:gone")
        + task("c", "work:plain")
        + 'retry.never_on = ["work:nothing", "work:number"]\n'
    )
    found = await told(directory, text)
    looked = "modules are looked for beside the configuration, and where Python looks"
    assert found == [
        (
            "docket.toml:1:12: modules[0]: cannot be imported: ModuleNotFoundError:"
            f" No module named 'gone'; {looked}"
        ),
        (
            "docket.toml:3:12: tasks.a.function: cannot be imported: ModuleNotFoundError:"
            f" No module named 'missing'; {looked}"
        ),
        (
            "docket.toml:5:12: tasks.b.function: cannot be imported: AttributeError:"
            " module 'work' has no attribute 'gone'; look for the name in work"
        ),
        (
            "docket.toml:8:19: tasks.c.retry.never_on[0]: cannot be imported: AttributeError:"
            " module 'work' has no attribute 'nothing'; look for the name in work"
        ),
        (
            "docket.toml:8:35: tasks.c.retry.never_on[1]: expected a class of errors, found something of"
            " the type int"
        ),
    ]


async def test_what_can_not_run_in_a_process_of_its_own_is_told_as_a_worker_tells_it(
    directory: Path,
) -> None:
    text = "".join(
        f'{task(name, f"work:{name}")}runner = "process"\n'
        for name in ("plain", "told", "hidden", "threaded", "gone")
    )

    found = await told(directory, text)

    reasons = {
        "plain": "expected a plain function, found one that runs in the event loop",
        "told": "expected parameters that can go to another process, found 'docket' (CurrentDocket),",
        "hidden": "expected a function that another process can import, found within.<locals>.inner (",
    }
    told_of = [line.partition(": ")[2] for line in found if ".runner" in line]
    assert len(told_of) == len(reasons)
    for line, (name, reason) in zip(told_of, reasons.items(), strict=True):
        assert line.startswith(f"tasks.{name}.runner: {reason}")
        assert line.endswith('; or leave out runner = "process"')


async def test_an_upcast_is_a_function_of_three_arguments(directory: Path) -> None:
    text = "".join(
        f'[tasks.{name}]\nfunction = "work:plain"\nargs_schema = 2\nupcast = "work:{upcast}"\n'
        for name, upcast in (("a", "gone"), ("b", "number"), ("c", "plain"), ("d", "upcast"))
    )

    missing = "AttributeError: module 'work' has no attribute 'gone'"

    found = await told(directory, text)

    assert [line.partition(": ")[2] for line in found] == [
        f"tasks.a.upcast: cannot be imported: {missing}; look for the name in work",
        "tasks.b.upcast: expected a function, found something of the type int",
        "tasks.c.upcast: expected a function of the older shape, the arguments by position and those by name",
    ]


async def test_what_is_no_function_is_refused(directory: Path) -> None:
    text = "".join(
        task(name, f"work:{name}") for name in ("number", "Shape", "generator", "stream", "torn")
    )
    found = await told(directory, text)
    assert [line.partition("function: ")[2].partition(":")[0] for line in found] == [
        "expected a function, found something of the type int",
        "expected a function, found a class",
        "expected a function, found a generator",
        "expected a function, found a generator",
        "declares what cannot be",
    ]


@pytest.mark.thorough
async def test_arguments_that_do_not_bind_or_fit_are_told_at_the_schedule(directory: Path) -> None:
    text = f"""{task("plain", "work:plain")}{task("loose", "work:loose")}{task("pair", "work:pair")}
{task("gone", "work:gone")}
[schedules.none]
task = "plain"
every = "1m"

[schedules.wrong]
task = "plain"
every = "1m"
args = ["one"]
kwargs = {{ name = 5 }}

[schedules.rest]
task = "loose"
every = "1m"
args = [1, 2, "three"]
kwargs = {{ other = 4 }}

[schedules.shape]
task = "pair"
every = "1m"
kwargs = {{ both = [1, 2], shape = "square" }}

[schedules.unknown]
task = "gone"
every = "1m"
"""
    found = await told(directory, text)
    assert found[1:] == [
        (
            "docket.toml:11:1: schedules.none: the arguments do not fit plain(n, name=...): missing"
            " 'n'; correct args and kwargs"
        ),
        "docket.toml:18:9: schedules.wrong.args[0]: expected what fits int: input should be a valid integer",
        (
            "docket.toml:19:19: schedules.wrong.kwargs.name: expected what fits str: input should be a valid"
            " string"
        ),
        "docket.toml:24:15: schedules.rest.args[2]: expected what fits int: input should be a valid integer",
        (
            "docket.toml:25:20: schedules.rest.kwargs.other: expected what fits str: input should be a valid"
            " string"
        ),
        (
            "docket.toml:30:35: schedules.shape.kwargs.shape: expected what fits Shape: input should be"
            " 'round'"
        ),
    ]


async def test_arguments_that_nobody_has_are_told(directory: Path) -> None:
    text = f"""{task("plain", "work:plain")}cooldown = {{ window = "1m", key = "custommer" }}
{task("first", "work:first")}
[[strikes]]
task = "plain"
when = {{ customer = {{ op = "==", value = 1 }} }}
[[strikes]]
when = {{ customer = {{ op = "==", value = 1 }} }}
[[strikes]]
task = "first"
when = {{ customer = {{ op = "==", value = 1 }} }}
"""
    assert await told(directory, text) == [
        (
            "docket.toml:3:35: tasks.plain.cooldown.key: expected an argument that plain has, found"
            ' "custommer"; arguments: n, name'
        ),
        (
            "docket.toml:9:10: strikes[0].when.customer: expected an argument that plain has, found"
            ' "customer"; arguments: n, name'
        ),
        (
            "docket.toml:11:10: strikes[1].when.customer: expected an argument that any task has, found"
            ' "customer"; arguments: n, name'
        ),
        'docket.toml:14:10: strikes[2].when.customer: expected an argument that first has, found "customer"',
    ]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(3)", "the process ended (exit code 3)"),
        ("import os; os.kill(os.getpid(), 9)", "the process ended (SIGKILL)"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("1 +", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt:"),
    ],
)
async def test_whatever_an_import_does_the_probe_says_which_one_it_was(
    directory: Path, code: str, reason: str
) -> None:
    (directory / "bad.py").write_text(code)
    (line,) = await told(directory, task("a", "work:plain") + task("b", "bad:f"))
    assert line.startswith("docket.toml:4:12: tasks.b.function: cannot be imported: ")
    assert reason in line


async def test_an_import_that_never_ends_is_given_up(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, wait_for = directory / "begun", asyncio.wait_for

    async def once_begun(work: asyncio.Task[Any], seconds: float) -> Any:
        await until(begun.exists, "the import")
        return await wait_for(work, seconds)

    # An interpreter may take longer to start than an import may take.
    monkeypatch.setattr(asyncio, "wait_for", once_begun)
    (directory / "slow.py").write_text(f"open({str(begun)!r}, 'w'); import time; time.sleep(1000)")
    text = 'modules = ["slow"]\n[supervisor]\nprobe_timeout = "1500ms"\n'
    assert await told(directory, text) == [
        (
            "docket.toml:1:12: modules[0]: cannot be imported: it took longer than 1.5 s"
            " (supervisor.probe_timeout); importing must only define"
        )
    ]


async def test_code_is_imported_with_the_variables_of_the_pools(directory: Path) -> None:
    (directory / "needs.py").write_text("import os; os.environ['NEEDED']\ndef f(): ...")
    text = task("a", "needs:f")
    assert len(await told(directory, text)) == 1
    assert await told(directory, f'{text}[workers.a.env]\nNEEDED = "1"\n[workers.b.env]\n') == []


async def test_an_error_of_a_default_is_told_once(directory: Path) -> None:
    text = '[defaults.task.retry]\nnever_on = ["work:gone"]\n'
    text += task("a", "work:plain") + task("b", "work:first")
    (line,) = await told(directory, text)
    assert line.startswith("docket.toml:2:13: defaults.task.retry.never_on[0]: cannot be imported")


async def test_a_change_that_touches_no_code_needs_no_new_probe(directory: Path) -> None:
    file = directory / "docket.toml"
    file.write_text(task("a", "work:plain"))
    known = subject_of(load(file, {}).configuration)
    (directory / "work.py").unlink()
    file.write_text(task("a", "work:plain") + 'timeout = "5s"\n')
    assert await probe(load(file, {}), known=known) == ()
    file.write_text(task("b", "work:plain"))
    assert len(await probe(load(file, {}), known=known)) == 1


def test_the_probe_says_what_it_begins_with() -> None:
    begun: list[str] = []
    told: list[object] = []
    subject = {
        "modules": [[["modules", 0], "json"]],
        "functions": {"join": "os.path:join"},
        **dict.fromkeys(("processes", "errors", "upcasts", "calls", "parameters"), ()),
    }

    Probe(lambda *found: told.append(found), begun.append).look(subject)

    assert begun == ["json", "os.path:join"]
    assert told == []


async def test_where_nothing_is_named_nothing_is_started(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere")
    assert await told(directory, 'name = "x"\n') == []


async def test_a_probe_that_cannot_be_started_says_why(directory: Path) -> None:
    file = directory / "docket.toml"
    file.write_text(HEAD + task("plain", "work:plain"))
    loaded = load(file, {})
    with no_descriptors(), pytest.raises(SpawnFailed, match="LimitNOFILE"):
        await probe(loaded)


async def test_a_call_without_its_package_is_told_where_it_is_declared(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(name: str) -> None:
        assert name == "httpx"

    monkeypatch.setattr(importlib.util, "find_spec", nowhere)
    text = '[tasks.web]\n[tasks.web.http]\nurl = "https://example.com"\n'

    problem = (
        "docket.toml:2:12: tasks.web.http: is an HTTP call, which needs httpx;"
        " install docket-platform[http]"
    )
    assert await told(directory, text) == [problem]
    assert problem in await told(directory, text + task("plain", "work:plain"))


async def test_a_file_that_hides_nothing_is_named_where_its_task_is(directory: Path) -> None:
    (directory / "queue.py").write_text("def work(): ...\n")

    (problem,) = await told(directory, task("hidden", "queue:work"))

    assert problem.endswith(
        "queue.py beside the configuration has the name of a module that is needed: rename it"
    )


async def test_a_probe_that_ends_before_it_begins_says_how_to_find_out(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.supervisor.reload.probe.BEGIN", str(directory / "missing.py"))

    with pytest.raises(
        SpawnFailed, match=r"exit code 2\) before anything was imported; it may lack"
    ):
        await told(directory, task("plain", "work:plain"))
