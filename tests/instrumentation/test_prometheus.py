"""Counts as Prometheus reads them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docket.instrumentation.prometheus import Sample, metrics_server, page

from .conftest import Meters
from .test_health import get

SAMPLES = [
    Sample("docket_done", "What was done.", "counter", {"task": "a"}, 3),
    Sample("docket_running", "What runs.", "gauge", {}, 2),
    Sample("docket_done", "What was done.", "counter", {"task": 'b "\\\n'}, 4.5),
]


def test_samples_of_one_metric_stand_together_under_one_help() -> None:
    answer = page(iter(SAMPLES))

    families = {family.name: family for family in text_string_to_metric_families(answer.body)}
    assert answer.status is HTTPStatus.OK
    assert set(families) == {"docket_done", "docket_running"}
    assert families["docket_done"].type == "counter"
    assert families["docket_running"].type == "gauge"
    assert families["docket_done"].documentation == "What was done."
    assert [(s.name, s.labels, s.value) for s in families["docket_done"].samples] == [
        ("docket_done_total", {"task": "a"}, 3.0),
        ("docket_done_total", {"task": 'b "\\\n'}, 4.5),
    ]
    assert [(s.labels, s.value) for s in families["docket_running"].samples] == [({}, 2.0)]


def test_the_kind_of_the_page_is_the_one_that_scrapers_expect() -> None:
    assert page([]).content_type.startswith("text/plain; version=")


def test_without_the_library_the_page_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    answer = page(SAMPLES)

    assert answer.status is HTTPStatus.NOT_IMPLEMENTED
    assert answer.body == 'install "docket-platform[metrics]" to have metrics here\n'


PROGRAM = """
import asyncio, urllib.request
from docket import Docket, Worker
from docket.instrumentation import metrics_server

async def greet(name): ...

async def main():
    with metrics_server(port=0) as server:
        async with Docket("shop", "memory://metrics") as docket, Worker(docket, "w") as worker:
            docket.register(greet)
            for number in range(20):
                await docket.add(greet, key=f"key {number}")(f"name {number}")
            await worker.run_until_finished()
            url = f"http://127.0.0.1:{server.port}"
            for path in ("/metrics", "/"):
                page = await asyncio.to_thread(lambda: urllib.request.urlopen(url + path).read())
        print(page.decode())

asyncio.run(main())
"""


@pytest.mark.thorough
def test_a_lone_worker_shows_its_metrics_with_underscores_for_dots() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    samples = [
        sample
        for family in text_string_to_metric_families(done.stdout)
        for sample in family.samples
        if sample.name.startswith("docket_")
    ]
    names = {sample.name for sample in samples}
    client = {"docket_name": "shop", "docket_task": "greet"}
    worker = {**client, "docket_worker": "w"}
    found = {sample.name: (sample.labels, sample.value) for sample in samples}
    assert found["docket_tasks_added_total"] == (client, 20)
    assert found["docket_tasks_scheduled_total"] == (client, 20)
    assert found["docket_tasks_started_total"] == (worker, 20)
    assert found["docket_tasks_succeeded_total"] == (worker, 20)
    assert found["docket_tasks_completed_total"] == (worker, 20)
    assert found["docket_tasks_running"] == (worker, 0)
    assert found["docket_task_duration_seconds_count"] == (worker, 20)
    assert found["docket_task_punctuality_seconds_count"] == (worker, 20)
    assert found["docket_queue_depth"][0] == {"docket_name": "shop"}
    assert "docket_schedule_depth" in names
    # One series per metric and task: what differs between executions is no label.
    assert "key 1" not in done.stdout
    assert sum(sample.name == "docket_tasks_started_total" for sample in samples) == 1


async def test_an_application_with_a_provider_of_its_own_keeps_it(
    meters: Meters, caplog: pytest.LogCaptureFixture
) -> None:
    assert meters is not None
    with caplog.at_level(logging.INFO), metrics_server(port=0) as server:
        assert server is not None
        status, kind, _ = await asyncio.to_thread(get, f"http://127.0.0.1:{server.port}/metrics")

    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert "a meter provider of its own" in caplog.text


def test_metrics_without_what_they_need_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.prometheus", None)

    with pytest.raises(ImportError, match=r"docket-platform\[metrics\]"), metrics_server(port=0):
        pass


def test_without_a_port_no_metrics_are_served() -> None:
    with metrics_server() as server:
        assert server is None
