"""``docket tasks``."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from docket import Execution

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _only(shell: Shell) -> Execution:
    (execution,) = shell.visit(lambda docket: docket.snapshot()).future
    return execution


@pytest.mark.parametrize(
    ("words", "name", "kwargs"),
    [
        (("trace",), "trace", ("Howdy!",)),
        (("trace", "over here"), "trace", ("over here",)),
        (("fail",), "fail", ("Howdy!",)),
        (("fail", "over here"), "fail", ("over here",)),
        (("sleep",), "sleep", (1,)),
        (("sleep", "2.5"), "sleep", (2.5,)),
    ],
)
def test_tasks_trace_fail_and_sleep_take_docket_and_url(
    shell: Shell, words: tuple[str, ...], name: str, kwargs: tuple[object, ...]
) -> None:
    done = shell.program(
        *("tasks", *words, "--docket", shell.name, "--url", shell.url),
        DOCKET_NAME="another",
        DOCKET_URL="memory://",
    )

    execution = _only(shell)
    assert done.returncode == 0
    assert done.stdout == f"Added {name} task '{execution.key}' to the docket '{shell.name}'\n"
    assert execution.function_name == name
    assert (*execution.args, *execution.kwargs.values()) == kwargs


@pytest.mark.parametrize("task", ["trace", "fail", "sleep"])
@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("30", 30), ("30s", 30), ("5m", 300), ("2h", 7200), ("1:30", 90), ("1:30:00", 5400)],
)
def test_tasks_take_a_delay(shell: Shell, task: str, delay: str, seconds: int) -> None:
    before = shell.visit(lambda docket: docket.snapshot()).taken

    shell.prints("tasks", task, "--delay", delay)

    assert (
        timedelta()
        <= _only(shell).when - before - timedelta(seconds=seconds)
        < timedelta(seconds=20)
    )


def test_a_delay_that_is_none_exits_2(shell: Shell) -> None:
    done = shell.type("tasks", "trace", "--delay", "soon")

    assert done.exit_code == 2
    assert re.search(r"expected a duration such as", done.stderr)
