"""What a saved edit does while work goes on: nothing is lost, nothing is repeated."""

from __future__ import annotations

import asyncio
import signal

import pytest

from docket import Docket
from tests.supervisor.conftest import Supervised, until

pytestmark = pytest.mark.fleet


async def note(number: int, customer: str | None = None) -> None: ...


async def produce(url: str, stop: asyncio.Event) -> int:
    """Add one after the other until told to stop; tells how much."""
    number = 0
    async with Docket("supervised", url) as docket:
        while not stop.is_set():
            await docket.add(note)(number)
            number += 1
            await asyncio.sleep(0.01)
    return number


async def test_every_kind_of_edit_is_applied_or_refused_and_no_execution_is_lost_or_repeated(
    supervised: Supervised,
) -> None:
    supervised.edit(('drain = "2s"', 'drain = "1m"'), ('"5s"', '"1m"'))
    supervised.start()
    stop = asyncio.Event()
    producing = asyncio.create_task(produce(supervised.url, stop))

    await asyncio.to_thread(edit_everything, supervised)

    stop.set()
    count = await producing
    wanted = list(range(count))
    await asyncio.to_thread(
        until,
        lambda: len([n for n in supervised.ledger("note") if n >= 0]) >= count,
        "all the work",
    )
    supervised.signal(signal.SIGTERM)
    assert await asyncio.to_thread(supervised.wait) == 0
    assert sorted(n for n in supervised.ledger("note") if n >= 0) == wanted
    assert count > 100


def edit_everything(supervised: Supervised) -> None:
    supervised.edit(("concurrency = 5", "concurrency = 7"))
    supervised.until_logged("applied as revision 2")
    supervised.until_logged("workers.default.concurrency: 5 → 7 (live)")

    supervised.append(
        '[schedules.often]\ntask = "note"\nkwargs = { number = -1 }\nevery = "100ms"\n'
    )
    supervised.until_logged("schedules.often: added")
    supervised.until_logged("Schedule often: queued")

    supervised.append(
        '[[strikes]]\nid = "s"\ntask = "note"\nwhen = { number = { op = "==", value = -1 } }\n'
    )
    supervised.until_logged("strikes.s: added")
    supervised.until_logged("a strike forbids it")

    good = supervised.file.read_text()
    supervised.file.write_text(good.replace("concurrency = 7", "concurency = 7"))
    supervised.until_logged('unknown key; did you mean "concurrency"?')
    supervised.file.write_text(good.replace("[tasks.note]", "[tasks.note"))
    supervised.until_logged("Reload refused, the last good configuration goes on")
    supervised.file.write_text("")
    supervised.until_logged("Reload refused, the last good configuration goes on")
    supervised.file.unlink()
    supervised.until_logged("Reload refused, the last good configuration goes on")

    supervised.file.write_text(good)
    supervised.until_logged("Reload: unchanged")

    supervised.edit(('"work:hold"', '"work:nothing"'))
    supervised.until_logged("tasks.hold.function: cannot be imported: AttributeError")
    supervised.append('[schedules.odd]\ntask = "note"\nkwargs = { numbr = 1 }\nevery = "1h"\n')
    supervised.until_logged("schedules.odd: the arguments do not fit note(number, customer=...)")
    supervised.edit(('[schedules.odd]\ntask = "note"\nkwargs = { numbr = 1 }\nevery = "1h"\n', ""))
    supervised.edit(('"work:nothing"', '"work:hold"'))
    supervised.until_logged("Reload: unchanged")

    supervised.edit(('name = "supervised"', 'name = "another"'))
    supervised.until_logged("these changes need a restart")
    supervised.edit(('name = "another"', 'name = "supervised"'))
    supervised.until_logged("Reload: unchanged")

    supervised.edit(("processes = 1", "processes = 2"))
    supervised.until_logged("workers.default.processes: 1 → 2 (live)")
    supervised.append('[tasks.block]\nfunction = "work:block"\n')
    supervised.until_logged("tasks.block: added (pools roll)")
    supervised.append(
        '[workers.second]\nqueues = ["second"]\n[tasks.routed]\nfunction="work:note"\nqueue="second"\n'
    )
    supervised.until_logged("workers.second: added (workers start)")
    supervised.edit(
        ('[workers.second]\nqueues = ["second"]\n', ""), ('queue="second"', "retry.attempts = 3")
    )
    supervised.until_logged("workers.second: removed (workers drain and stop)")
    supervised.edit(
        ("processes = 2", "processes = 1"),
        ("[supervisor.reload]", '[logging]\nlevel = "warning"\n[supervisor.reload]'),
    )
    one = 'docket_pool_workers{pool="default",state="ready"} 1.0'
    until(lambda: one in supervised.page("/metrics")[1], "one process less")


def test_health_and_metrics_tell_the_truth(supervised: Supervised) -> None:
    supervised.start()

    assert supervised.page("/livez") == (200, "alive\n")
    assert supervised.page("/readyz") == (200, "ready\n")
    assert supervised.page("/nowhere")[0] == 404
    supervised.edit(("concurrency = 5", "concurrency = 0"))
    supervised.until_logged("Reload refused")
    often = '[schedules.often]\ntask = "note"\nkwargs = { number = 1 }\nevery = "100ms"\n'
    supervised.edit(("concurrency = 0", "concurrency = 5"), ("[workers.", f"{often}\n[workers."))
    supervised.until_logged("applied as revision 2")
    until(lambda: bool(supervised.ledger("note")), "a run")

    def metrics() -> str:
        return supervised.page("/metrics")[1]

    until(lambda: 'docket_tasks_completed_total{docket_task="note"}' in metrics(), "the counts")
    page = metrics()
    assert "docket_config_last_reload_successful 1.0" in page
    assert 'docket_config_reloads_total{result="invalid"} 1.0' in page
    assert 'docket_config_reloads_total{result="applied"} 1.0' in page
    assert 'docket_pool_workers{pool="default",state="ready"} 1.0' in page
    assert 'docket_schedule_next_run_timestamp_seconds{schedule="often"}' in page
    assert 'revision="2"' in page


def test_a_hangup_reads_the_file_again(supervised: Supervised) -> None:
    supervised.edit(('settle = "100ms"', 'settle = "100ms"\npoll_interval = "1h"'))
    supervised.start()

    supervised.signal(signal.SIGHUP)

    supervised.until_logged("Reload: unchanged")


def test_the_environment_overrides_the_file(supervised: Supervised) -> None:
    supervised.start(DOCKET_WORKERS__DEFAULT__PROCESSES="2")

    assert len(supervised.workers()) == 2


@pytest.mark.parametrize(
    ("change", "words", "code"),
    [
        (("concurrency = 5", "concurrency = true"), "docket.toml", 7),
        (('name = "supervised"', 'url = "memory://x"'), "lives in one process", 7),
        (
            ('name = "supervised"', 'url = "redis://127.0.0.1:1/0"'),
            "nothing answers at redis://127.0.0.1:1/0",
            5,
        ),
        (('"work:note"', '"work:nothing"'), "has no attribute 'nothing'", 7),
        (('"127.0.0.1:0"', '"192.0.2.1:1"'), "cannot listen on 192.0.2.1:1", 1),
    ],
)
def test_a_supervisor_that_can_not_begin_says_why(
    supervised: Supervised, change: tuple[str, str], words: str, code: int
) -> None:
    supervised.edit(change)
    supervised.launch()

    assert supervised.wait() == code
    assert words in supervised.log


def test_included_files_overlays_and_profiles_are_followed_and_shadowed_edits_are_told(
    supervised: Supervised,
) -> None:
    parts, over = supervised.directory / "parts", supervised.directory / "over.toml"
    over.write_text("[workers.default]\nconcurrency = 6\n[profiles.dev.logging]\nlevel = 'debug'\n")
    text = supervised.file.read_text()
    supervised.file.write_text(f'include = ["parts/*.toml"]\n{text}')
    supervised.start(
        DOCKET_CONFIG=f"{supervised.file}:{over}",
        DOCKET_PROFILE="dev",
        DOCKET_WORKERS__DEFAULT__PROCESSES="1",
    )

    parts.mkdir()
    (parts / "slow.toml").write_text("[workers.slow]\nqueues = ['slow']\n")
    supervised.until_logged("workers.slow: added (workers start)")

    over.write_text(over.read_text().replace("6", "7"))
    supervised.until_logged("workers.default.concurrency: 6 → 7 (live)")

    supervised.edit(("processes = 1", "processes = 2"))
    supervised.until_logged("workers.default.processes: the edit has no effect")
    supervised.until_logged("Reload: unchanged")

    (parts / "slow.toml").write_text("name = 'twice'\n")
    supervised.until_logged("slow.toml:1:1: name: is set a second time")
