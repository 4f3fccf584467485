"""``docket clear``."""

from __future__ import annotations

import pytest

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _left(shell: Shell) -> int:
    return shell.visit(lambda docket: docket.snapshot()).total_tasks


def _fill(shell: Shell, count: int = 2) -> None:
    for _ in range(count):
        shell.prints("tasks", "trace", "--delay", "1h")


def test_clear_takes_docket_and_url_and_cancels_everything(shell: Shell) -> None:
    _fill(shell)
    shell.prints("tasks", "trace")

    done = shell.program(
        *("clear", "--docket", shell.name, "--url", shell.url),
        DOCKET_NAME="another",
        DOCKET_URL="memory://",
    )

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"Cleared 3 tasks from docket '{shell.name}'\n",
        "",
    )
    assert _left(shell) == 0


def test_a_dry_run_shows_count_and_sample_and_clears_nothing(shell: Shell) -> None:
    _fill(shell, 7)

    done = shell.type("clear", "--dry-run")

    assert done.stdout == f"Would clear 7 executions of docket '{shell.name}' at {shell.url}\n"
    *sample, more = done.stderr.splitlines()
    assert len(sample) == 5
    assert sample[0].startswith("trace(...){")
    assert more == "and 2 more"
    assert _left(shell) == 7


@pytest.mark.parametrize(
    ("answer", "code", "left", "said"),
    [("y\n", 0, 0, "Cleared 1 tasks from"), ("n\n", 4, 1, "Nothing was done")],
)
def test_a_terminal_is_asked_and_shown_count_and_sample(
    shell: Shell, answer: str, code: int, left: int, said: str
) -> None:
    _fill(shell, 1)

    ended, shown = shell.on_terminal("clear", typed=answer)

    assert ended == code
    assert "trace(...){" in shown
    assert f"This cancels 1 execution of docket '{shell.name}' at {shell.url}." in shown
    assert said in shown
    assert _left(shell) == left


def test_yes_on_a_terminal_asks_nothing(shell: Shell) -> None:
    _fill(shell, 1)

    ended, shown = shell.on_terminal("clear", "--yes")

    assert (ended, shown.replace("\r", "")) == (
        0,
        f"Cleared 1 tasks from docket '{shell.name}'\n",
    )
