"""What the signals mean that a supervisor gets."""

from __future__ import annotations

import json
import signal

import pytest

from tests.supervisor.conftest import Supervised, until

pytestmark = pytest.mark.fleet


def drift(supervised: Supervised) -> bool:
    _, text = supervised.page("/api/status")
    (condition,) = [one for one in json.loads(text)["conditions"] if one["name"] == "Drift"]
    return bool(condition["status"])


def test_processes_come_and_go_by_hand_until_the_next_configuration(
    supervised: Supervised,
) -> None:
    supervised.start()
    assert not drift(supervised)

    supervised.signal(signal.SIGTTIN)
    supervised.until_logged("Processes by hand, until the next configuration: default 2")
    until(lambda: len(supervised.workers()) == 2, "the second process")
    assert drift(supervised)
    supervised.signal(signal.SIGTTOU)
    supervised.until_logged("Processes by hand, until the next configuration: default 1")
    assert not drift(supervised)
    supervised.signal(signal.SIGTTIN)
    supervised.until_logged("default 2")
    supervised.edit(("concurrency = 5", "concurrency = 6"))
    supervised.until_logged("Reload: applied")
    until(lambda: not drift(supervised), "the number of the file")


def test_the_status_goes_to_the_log(supervised: Supervised) -> None:
    supervised.start()

    supervised.signal(signal.SIGUSR1)

    supervised.until_logged("revision 1, 1 of 1 worker processes ready")
    supervised.until_logged("Valid: Loaded")
    supervised.until_logged(f"Pool default: {supervised.workers()[0]} ready")


def test_the_stacks_of_all_processes_go_to_the_standard_error(supervised: Supervised) -> None:
    supervised.start()

    supervised.signal(signal.SIGQUIT)

    supervised.until_logged("Asked for stacks")
    until(lambda: supervised.log.count("Current thread") >= 2, "the stacks of both processes")
    until(lambda: "supervisor.py" in supervised.log, "the whole stack of the supervisor")
