"""Every sentence, and that both observers hear of everything."""

from __future__ import annotations

import logging

import pytest

from docket.errors import Misconfigured, ServerFull, ServerRefused
from docket.instrumentation import logs
from docket.instrumentation.events import Observer, Observers
from docket.instrumentation.metrics import Tally


def tell_everything(observer: Observer) -> None:
    def describe() -> str:
        return "work(){key}"

    observer.started("work", describe, 0.0015, 0)
    observer.started("work", describe, 2.5, 1)
    observer.started("work", describe, 0, 0, 2)
    for ending in ("completed", "failed", "retried", "cancelled", "interrupted", "parked"):
        observer.ended("work", describe, 0.5, ending)
    observer.perpetuated("work", describe, 0.25)
    observer.depths(1, 2)
    observer.held_back("work", describe, "a rate", 0.5)
    observer.held_back("work", describe, "a cooldown", None)
    observer.failed("work", describe, ValueError("no good"), 1.5)
    observer.failed("work", describe, ValueError("no good"), None)
    observer.parked("work", "key", "unknown_task")
    observer.released("work", "key")
    observer.struck("work", "key")
    observer.expired("work", "key")
    observer.crashed("work", "key")
    observer.undecodable("work", "key", ValueError("torn"))
    observer.lost("work", "key")
    observer.refused("work", "key", "SUPERSEDED")
    observer.refused("work", "key", "STALE")
    observer.stale(3)
    observer.evicted(3)
    observer.evicted(1)
    observer.disrupted(ConnectionError("gone"), 0.5)
    observer.recovered()
    observer.blocked(1.5, "in work")


def test_everything_is_said_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally()
    with caplog.at_level(logging.DEBUG, "docket.worker"):
        tell_everything(Observers([logs.WorkerLog(), tally, Observer()]))

    text = caplog.text
    for words in (
        "↪ [   2ms] work(){key}", "↪ [  2.5s] work(){key} (after 1 lost)", "↬ [   0ms] work(){key}",
        "↩ [ 500ms] work(){key}",
        "↫ [ 250ms] work(){key}", "⏳ work(){key} waits 0.500 s: a rate", "⏭ work(){key} dropped: a cooldown",
        "failed, again in 1.5s: ValueError: no good", "failed for good", "Parked work{key}: unknown_task",
        "Released work{key}", "🗙 work{key}", "Dead letter work{key}: workers died",
        "Expired work{key}: it has not begun in time",
        "Dead letter work{key}: torn",
        "Lost the lease of work{key}", "↬ work{key}: superseded", "the outcome was refused (stale)",
        "Results take more memory than results.max_memory allows",
        "Redis is away (gone); it is tried again until it works", "Redis is back",
        "blocks the event loop for 1.5 s",
    ):  # fmt: skip
        assert words in text
    assert tally.counts["docket_tasks_started", "work"] == 3
    assert tally.counts["docket_tasks_redelivered", "work"] == 1
    assert tally.counts["docket_tasks_completed", "work"] == 6
    assert tally.counts["docket_tasks_succeeded", "work"] == 1
    assert tally.counts["docket_tasks_failed", "work"] == 2
    assert tally.counts["docket_tasks_retried", "work"] == 1
    assert tally.counts["docket_tasks_perpetuated", "work"] == 1
    assert tally.counts["docket_tasks_dead", "work"] == 2
    assert tally.counts["docket_redis_disruptions", ""] == 1


def test_names_and_errors_from_elsewhere_are_written_as_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    foreign = "x\x1b[2J\nFORGED"
    log = logs.WorkerLog()

    with caplog.at_level(logging.DEBUG, "docket.worker"):
        log.parked(foreign, foreign, foreign)
        log.released(foreign, foreign)
        log.struck(foreign, foreign)
        log.crashed(foreign, foreign)
        log.undecodable(foreign, foreign, ValueError(foreign))
        log.lost(foreign, foreign)
        log.refused(foreign, foreign, "SUPERSEDED")
        log.refused(foreign, foreign, "STALE")

    assert len(caplog.messages) == 8
    assert all(message.isprintable() for message in caplog.messages)


def test_what_is_not_to_be_logged_is_not_even_described(caplog: pytest.LogCaptureFixture) -> None:
    def describe() -> str:
        raise AssertionError("nobody asked")

    log = logs.WorkerLog()
    with caplog.at_level(logging.CRITICAL):
        log.started("work", describe, 0, 0)
        log.ended("work", describe, 0, "completed")
        log.perpetuated("work", describe, 0)
        log.held_back("work", describe, "a rate", 0.5)
        log.held_back("work", describe, "a cooldown", None)
        logs.struck_at_add(describe)

    assert caplog.text == ""


def test_a_trouble_that_lasts_is_written_once_and_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "docket.worker")
    log = logs.WorkerLog()
    for error in (
        ServerFull("OOM"),
        ServerFull("OOM"),
        ServerRefused("NOPERM"),
        Misconfigured("x"),
    ):
        log.disrupted(error, 0.1)
    monkeypatch.setattr(logs, "REMIND", 0.0)
    log.disrupted(Misconfigured("x"), 0.1)
    log.recovered()

    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "Redis is full (OOM)",
        "Redis refuses (NOPERM)",
        "Redis cannot be used as configured (x)",
        "Redis cannot be used as configured (x)",
        "Redis is back",
    ]
