"""F51: a file of 2,000 tasks is edited while 50 schedules fire each second: none is missed or late."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.promises import promised
from tests.supervisor.conftest import Supervised, until

pytestmark = [pytest.mark.fault, pytest.mark.alone]

TASKS, BEATS = 2_000, 50
EDITS = int(os.environ.get("F51_EDITS", "15"))
"""100 are the whole of it."""

SECOND = timedelta(seconds=1)

HEAD = """
name = "supervised"
[supervisor]
listen = "127.0.0.1:0"
[supervisor.reload]
settle = "100ms"
min_interval = "200ms"
[workers.default]
concurrency = 100
[tasks.beat]
function = "work:beat"
"""

WORK = """
from datetime import datetime, timezone
from pathlib import Path
from docket import CurrentExecution, Execution

out = Path(__file__).with_name("beats").open("a", buffering=1)


async def beat(execution: Execution = CurrentExecution()) -> None:
    out.write(f"{execution.key} {datetime.now(timezone.utc).isoformat()}\\n")


async def far() -> None: ...
"""


class Edited:
    """The file, and what a seed makes of it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._timeouts = [20] * TASKS
        self._hours = [3] * 20
        self._struck: set[int] = set()

    def edit(self) -> None:
        """Change something, but nothing of what fires each second."""
        number = self._random.randrange(TASKS)
        match self._random.randrange(3):
            case 0:
                self._timeouts[number] += 1
            case 1:
                at = self._random.randrange(len(self._hours))
                self._hours[at] = (self._hours[at] + 1) % 24
            case _:
                self._struck ^= {number}

    def text(self) -> str:
        """All of it."""
        tasks = (
            f'[tasks.t{number}]\nfunction = "work:far"\ntimeout = "{timeout}s"\n'
            for number, timeout in enumerate(self._timeouts)
        )
        far = (
            f'[schedules.far{number}]\ntask = "t{number}"\ncron = "30 {hour} 29 2 *"\n'
            for number, hour in enumerate(self._hours)
        )
        beats = (
            f'[schedules.b{number}]\ntask = "beat"\nevery = "1s"\noverlap = "allow"\n'
            for number in range(BEATS)
        )
        strikes = (f'[[strikes]]\ntask = "t{number}"\n' for number in sorted(self._struck))
        return HEAD + "".join([*tasks, *far, *beats, *strikes])


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    supervised = Supervised(tmp_path)
    (tmp_path / "work.py").write_text(WORK)
    yield supervised
    supervised.clean_up()


def beats(directory: Path) -> dict[str, dict[datetime, datetime]]:
    """When each due time of each schedule had its run."""
    found: dict[str, dict[datetime, datetime]] = defaultdict(dict)
    for line in (directory / "beats").read_text().splitlines():
        key, ran = line.split()
        name, _, due = key.partition("@")
        moment = datetime.fromisoformat(due.replace("Z", "+00:00"))
        assert moment not in found[name], f"{key} ran twice"
        found[name][moment] = datetime.fromisoformat(ran)
    return found


@pytest.mark.timeout(120 + 5 * EDITS)
def test_schedules_go_on_while_a_large_file_is_edited_again_and_again(
    supervised: Supervised, tmp_path: Path
) -> None:
    edited = Edited(51)
    supervised.file.write_text(edited.text())
    supervised.launch()
    supervised.until_logged("Docket supervised is up", 60)
    ledger = tmp_path / "beats"
    until(lambda: ledger.exists() and len(beats(tmp_path)) == BEATS, "every first run")

    begun = datetime.now(timezone.utc)
    for _ in range(EDITS):
        edited.edit()
        supervised.file.write_text(edited.text())
        supervised.until_logged("applied as revision", 60)
        time.sleep(0.2)  # until somebody saves again
    ended = datetime.now(timezone.utc)
    until(
        lambda: all(max(due) >= ended for due in beats(tmp_path).values()), "the run that follows"
    )
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0

    found = beats(tmp_path)
    assert len(found) == BEATS
    for name, ran in found.items():
        due = sorted(moment for moment in ran if begun < moment < ended)
        seconds = int((ended - begun) / SECOND)
        assert len(due) >= seconds
        assert due == [due[0] + number * SECOND for number in range(len(due))], f"{name} missed"
        latest = max(ran[moment] - moment for moment in due)
        assert latest <= promised(1) * SECOND, f"{name} was {latest} late"
