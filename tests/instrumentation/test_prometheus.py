"""Counts as Prometheus reads them."""

from __future__ import annotations

import sys
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docket.instrumentation.prometheus import Sample, page

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
