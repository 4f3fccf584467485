"""``docket worker``, as people and containers run it."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.execution import ExecutionState
from tests.fleet.process import ServerProcess, free_port

from .conftest import Shell

pytestmark = pytest.mark.fleet

Report = dict[str, Any]


async def _add_report(docket: Docket, probed: int | None, scraped: int | None) -> None:
    await docket.add("report")(probed, scraped)


def _report(shell: Shell, *words: str, **environ: str) -> Report:
    done = shell.program("worker", "--until-finished", *words, **environ)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('{"docket": ')]
    return json.loads(line)


# What each option of the table is given, by its environment variable, and what becomes of it.
OPTIONS: dict[str, tuple[str, str, str, Any]] = {
    "--name": ("DOCKET_WORKER_NAME", "jane", "name", "jane"),
    "--logging-level": ("DOCKET_LOGGING_LEVEL", "WARNING", "level", "WARNING"),
    "--logging-format": ("DOCKET_LOGGING_FORMAT", "json", "formatter", "_WorkerJsonFormatter"),
    "--concurrency": ("DOCKET_WORKER_CONCURRENCY", "3", "concurrency", 3),
    "--message-batch": ("DOCKET_WORKER_MESSAGE_BATCH", "7", "message_batch", 7),
    "--redelivery-timeout": (
        "DOCKET_WORKER_REDELIVERY_TIMEOUT",
        "2:30",
        "redelivery_timeout",
        150.0,
    ),
    "--reconnection-delay": ("DOCKET_WORKER_RECONNECTION_DELAY", "30", "reconnection_delay", 30.0),
    "--minimum-check-interval": (
        "DOCKET_WORKER_MINIMUM_CHECK_INTERVAL",
        "50ms",
        "minimum_check_interval",
        0.05,
    ),
    "--scheduling-resolution": (
        "DOCKET_WORKER_SCHEDULING_RESOLUTION",
        "2s",
        "scheduling_resolution",
        2.0,
    ),
    "--fallback-task": ("DOCKET_FALLBACK_TASK", "shop:fall_back", "fallback_task", "fall_back"),
    "--dependencies": ("DOCKET_WORKER_DEPENDENCIES", "shop:wrapping", "wrapped", ["called"]),
}
SWITCHES: dict[str, tuple[str, str, bool]] = {
    "--schedule-automatic-tasks": (
        "DOCKET_WORKER_SCHEDULE_AUTOMATIC_TASKS",
        "schedule_automatic_tasks",
        True,
    ),
    "--enable-internal-instrumentation": (
        "DOCKET_WORKER_ENABLE_INTERNAL_INSTRUMENTATION",
        "enable_internal_instrumentation",
        False,
    ),
}


def _ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def ports(shell: Shell) -> tuple[int, int]:
    """Ports to listen at, and a task that looks at them from the inside of the worker."""
    probed, scraped = _ports()
    shell.visit(lambda docket: _add_report(docket, probed, scraped))
    return probed, scraped


def _expect_everything(report: Report, shell: Shell) -> None:
    assert report["docket"] == shell.name
    assert report["url"] == shell.url
    assert report["tasks"] == [
        *("break_down", "climb", "fail", "greet", "hold", "report", "sleep", "tick", "trace")
    ]
    assert report["health"] == "OK"
    assert "docket_tasks_started" in report["metrics"]
    for _, _, field, value in OPTIONS.values():
        assert (field, report[field]) == (field, value)
    for _, field, default in SWITCHES.values():
        assert (field, report[field]) == (field, not default)


def test_the_worker_takes_every_option_of_the_table(
    shell: Shell, ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKET_URL")
    monkeypatch.delenv("DOCKET_NAME")
    given = [word for name, option in OPTIONS.items() for word in (name, option[1])]
    report = _report(
        shell,
        *("--docket", shell.name, "--url", shell.url),
        *("--tasks", "shop:tasks", "--tasks", "shop:automatic"),
        *given,
        *("--no-schedule-automatic-tasks", "--enable-internal-instrumentation"),
        *("--healthcheck-port", str(ports[0]), "--metrics-port", str(ports[1])),
    )

    _expect_everything(report, shell)


def test_the_worker_takes_every_environment_variable_of_the_table(
    shell: Shell, ports: tuple[int, int]
) -> None:
    given = {variable: text for variable, text, _, _ in OPTIONS.values()}
    switched = {variable: str(not default) for variable, _, default in SWITCHES.values()}
    report = _report(
        shell,
        DOCKET_TASKS="shop:tasks shop:automatic",
        DOCKET_WORKER_HEALTHCHECK_PORT=str(ports[0]),
        DOCKET_WORKER_METRICS_PORT=str(ports[1]),
        **given,
        **switched,
    )

    _expect_everything(report, shell)


def test_the_worker_has_the_defaults_of_the_table(shell: Shell) -> None:
    shell.visit(lambda docket: _add_report(docket, None, None))

    report = _report(shell, "--tasks", "shop:tasks")

    assert report["name"].startswith(f"{socket.gethostname()}#")
    assert {name: report[name] for name in ("level", "formatter", "concurrency")} == {
        "level": "INFO",
        "formatter": "_WorkerPlainFormatter",
        "concurrency": 10,
    }
    assert report["message_batch"] == 1000
    assert report["redelivery_timeout"] == 30
    assert report["reconnection_delay"] == 5
    assert report["minimum_check_interval"] == 0.1
    assert report["scheduling_resolution"] == 0.25
    assert report["schedule_automatic_tasks"] is True
    assert report["enable_internal_instrumentation"] is False
    assert (report["fallback_task"], report["wrapped"]) == (None, [])


def test_the_worker_runs_the_standard_tasks_if_no_others_are_named(shell: Shell) -> None:
    shell.prints("tasks", "trace", "over here")

    done = shell.program("worker", "--until-finished")

    assert done.returncode == 0
    assert "over here" in done.stdout


def test_the_worker_starts_automatic_tasks(shell: Shell) -> None:
    done = shell.program("worker", "--tasks", "shop:automatic", "--until-finished")

    assert done.returncode == 0
    assert "ticked" in done.stdout


def test_the_worker_logs_in_colour_on_a_terminal(shell: Shell) -> None:
    shell.prints("tasks", "trace", "over here")

    code, shown = shell.on_terminal("worker", "--until-finished")

    assert code == 0
    assert "\x1b[" in shown


def test_the_worker_calls_the_fallback_task_in_the_place_of_unknown_ones(shell: Shell) -> None:
    async def add(docket: Docket) -> None:
        await docket.add("greet")("Jane")

    shell.visit(add)

    done = shell.program("worker", "--fallback-task", "shop:fall_back", "--until-finished")

    assert done.returncode == 0
    assert "fell back" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_worker_finishes_what_runs_when_it_is_told_to_stop(
    shell: Shell, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "go on"

    async def add(docket: Docket) -> None:
        await docket.add("hold", key="held")(str(file))

    async def state(docket: Docket) -> ExecutionState | None:
        execution = await docket.get_execution("held")
        return execution and execution.state

    shell.visit(add)
    with shell.start("worker", "--tasks", "shop:tasks") as worker:
        assert worker.stdout is not None
        assert "started\n" in iter(worker.stdout.readline, "")
        worker.send_signal(number)
        assert shell.visit(state) is ExecutionState.RUNNING
        file.touch()
        worker.communicate(timeout=60)

    assert worker.returncode == 0
    assert shell.visit(state) is ExecutionState.COMPLETED


def test_the_worker_may_use_the_memory_of_its_own_process(shell: Shell) -> None:
    done = shell.program("worker", "--url", "memory://", "--until-finished")

    assert done.returncode == 0


def test_the_worker_takes_name_and_url_from_the_file_and_so_do_its_tasks(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKET_URL")
    monkeypatch.delenv("DOCKET_NAME")
    (tmp_path / "mine.toml").write_text(f'name = "{shell.name}"\nurl = "{shell.url}"\n')
    shell.visit(lambda docket: _add_report(docket, None, None))

    report = _report(shell, "--tasks", "shop:tasks", "--config", str(tmp_path / "mine.toml"))

    assert (report["docket"], report["url"]) == (shell.name, shell.url)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--tasks", "shop:task"),
            "--tasks shop:task: nothing is called 'task' there; did you mean 'tasks'?\n",
        ),
        (("--tasks", "shop:zzz"), "--tasks shop:zzz: nothing is called 'zzz' there\n"),
        (
            ("--tasks", "shoop:tasks"),
            "modules are looked for in the working directory and on PYTHONPATH\n",
        ),
        (("--tasks", "shop"), "--tasks: expected \"package.module:attribute\", found 'shop'\n"),
        (
            ("--tasks", "shop:numbers"),
            "--tasks shop:numbers: expected a list of functions, such as tasks = [greet], found [1, 2]\n",
        ),
        (
            ("--tasks", "shop:contradictory"),
            "--tasks shop:contradictory: Only one Perpetual dependency is allowed",
        ),
        (
            ("--fallback-task", "shop:numbers"),
            "--fallback-task shop:numbers: expected a function, found [1, 2]\n",
        ),
        (
            ("--dependencies", "shop:numbers"),
            "--dependencies shop:numbers: Worker dependency 'index 0' must be a Dependency instance",
        ),
        (("--dependencies", "shop:reserved"), "--dependencies shop:reserved: "),
        (("--concurrency", "0"), "--concurrency"),
        (("--message-batch", "0"), "--message-batch"),
        (("--redelivery-timeout", "soon"), "expected a duration such as"),
    ],
)
def test_the_worker_refuses_what_it_can_not_use(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    done = shell.program("worker", "--url", "memory://", *words)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_worker_tells_of_a_port_that_is_taken(shell: Shell, own_valkey: ServerProcess) -> None:
    taken = str(own_valkey.port)

    done = shell.program("worker", "--healthcheck-port", taken)

    assert done.returncode == 1
    assert done.stderr == (
        f"cannot listen at 127.0.0.1 for --healthcheck-port {taken}: Address already in use; "
        "choose another port or --host\n"
    )


def test_the_worker_tells_of_a_host_that_does_not_exist(shell: Shell) -> None:
    words = ("--host", "nowhere.invalid", "--metrics-port", str(free_port()))

    done = shell.program("worker", *words)

    assert done.returncode == 1
    assert done.stderr.startswith("cannot listen at nowhere.invalid for --metrics-port ")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("broken_disk", "OSError: [Errno 5] the disk is broken\n"),
        ("missing_plugin", "ImportError: the plugin is not there\n"),
    ],
)
def test_the_worker_shows_where_the_code_of_the_application_fails(
    shell: Shell, what: str, said: str
) -> None:
    done = shell.program("worker", "--dependencies", f"shop:{what}")

    assert done.returncode == 1
    assert done.stderr.endswith(said)
    assert "shop.py" in done.stderr


def test_the_worker_tells_of_metrics_that_are_not_installed(shell: Shell, tmp_path: Path) -> None:
    hidden = tmp_path / "opentelemetry_exporter_hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry.exporter.prometheus'] = None\n"
    )

    done = shell.program("worker", "--metrics-port", str(free_port()), PYTHONPATH=str(hidden))

    assert done.returncode == 1
    assert done.stderr == (
        '--metrics-port: install "docket-platform[metrics]" to show metrics, or leave it out\n'
    )


def test_the_worker_waits_for_a_server_that_does_not_answer_and_masks_its_secrets(
    shell: Shell,
) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    with shell.start("worker", "--url", url) as worker:
        assert worker.stdout is not None
        (told,) = next([line] for line in iter(worker.stdout.readline, "") if "is away" in line)
        worker.send_signal(signal.SIGTERM)
        _, errors = worker.communicate(timeout=60)

    assert worker.returncode == 0
    assert "redis://:***@127.0.0.1" in told
    assert "hunter2" not in told
    assert errors == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DOCKET_WORKER_CONCURRENCY", "-5"),
        ("DOCKET_WORKER_REDELIVERY_TIMEOUT", "0s"),
        ("DOCKET_WORKER_REDELIVERY_TIMEOUT", "-5s"),
        ("DOCKET_WORKER_HEALTHCHECK_PORT", "-5"),
        ("DOCKET_WORKER_METRICS_PORT", "70000"),
    ],
)
def test_a_number_or_a_length_that_can_not_be_is_misuse(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    refused = shell.type("worker")

    assert refused.exit_code == 2
    option = variable.removeprefix("DOCKET_WORKER_").lower().replace("_", "-")
    assert f"Invalid value for '--{option}'" in refused.stderr
