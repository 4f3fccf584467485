"""Alerts, rules and dashboard: every query can be read, and asks for what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "config"
_NAME = re.compile(r"^\| ((?:`_?[a-z_]+` ?)+)", re.MULTILINE)
OF_PROMETHEUS = {"up"}


def rules(file: str) -> list[dict[str, Any]]:
    """All rules of a file."""
    tree = yaml.safe_load((DIRECTORY / "prometheus" / file).read_text())
    return [rule for group in tree["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return json.loads((DIRECTORY / "grafana" / "docket.json").read_text())


def queries() -> list[tuple[str, str]]:
    """Every query, with what it is for."""
    found = [(rule["record"], rule["expr"]) for rule in rules("rules.yml")]
    found += [(rule["alert"], rule["expr"]) for rule in rules("alerts.yml")]
    for panel in dashboard()["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel["targets"]]
    return [(name, expr.replace("$job", ".*")) for name, expr in found]


def selectors(node: Any) -> Iterator[Any]:
    """The selectors of a query, however deep."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "vs", "param", "args"):
        inner = getattr(node, name, None)
        for one in cast("list[Any]", inner) if isinstance(inner, list) else [inner]:
            if one is not None and not isinstance(one, str):
                yield from selectors(one)


def told() -> set[str]:
    """The metrics that the page tells of, as Prometheus has them."""
    page = (ROOT / "docs" / "observability.md").read_text()
    found: set[str] = set()
    for cell in _NAME.findall(page):
        names = re.findall(r"`([a-z_]+)`", cell)
        stem = names[0].rpartition("_")[0]
        for name in names:
            full = stem + name if name.startswith("_") else name
            found |= {full, f"{full}_total", f"{full}_bucket", f"{full}_sum", f"{full}_count"}
    return found


@pytest.mark.parametrize(("name", "query"), queries())
def test_a_query_asks_for_metrics_that_there_are(name: str, query: str) -> None:
    found = [selector.name for selector in selectors(promql_parser.parse(query))]

    assert found, name
    recorded = {rule["record"] for rule in rules("rules.yml")}
    assert set(found) <= told() | recorded | OF_PROMETHEUS


@pytest.mark.parametrize("rule", rules("alerts.yml"), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_the_case_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    text = (ROOT / page).read_text()
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    assert not anchor or anchor in anchors


def test_a_schedule_that_is_paused_or_stopped_raises_the_alert_of_missed_due_times() -> None:
    (rule,) = [rule for rule in rules("alerts.yml") if rule["alert"] == "DocketScheduleMissed"]
    (matcher,) = [
        matcher
        for selector in selectors(promql_parser.parse(rule["expr"]))
        for matcher in selector.matchers.matchers
        if matcher.name == "reason"
    ]
    page = (ROOT / "docs" / "observability.md").read_text()
    (row,) = re.findall(r"^\| `docket_schedule_skipped_total` .*$", page, re.MULTILINE)

    raised = set(matcher.value.split("|"))
    assert raised < set(re.findall(r"`(\w+)`", row))
    # What was wanted, for this once or by `overlap`, is no reason to call anybody.
    assert raised == {"missed", "window", "paused", "limit", "struck"}


def asked(query: str) -> set[tuple[str, str]]:
    """The metrics that a query asks for, each with the one reason that it asks for, if it is one."""
    return {
        (selector.name, reason)
        for selector in selectors(promql_parser.parse(query.replace("$job", ".*")))
        for reason in [
            *(one.value for one in selector.matchers.matchers if one.name == "reason"),
            "",
        ]
        if "|" not in reason
    }


def test_what_an_alert_looks_at_is_on_the_dashboard() -> None:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    shown = {one for expr in panels for one in asked(expr)}
    alarming = {one for rule in rules("alerts.yml") for one in asked(rule["expr"])}

    assert {one for one in alarming if one[0] not in OF_PROMETHEUS} <= shown
    # What is rare has a panel of its own.
    for rare in ("docket_ping_late", "docket_ping_seconds", "docket_results_evicted_total"):
        assert (rare, "") in shown
    assert ("docket_worker_exits_total", "deaf") in shown


def test_panels_are_told_apart_and_do_not_lie_over_each_other() -> None:
    panels = dashboard()["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    fields = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(fields)) == len(fields)
    assert max(x for x, _ in fields) < 24


def test_the_dashboard_asks_the_source_that_its_reader_chooses() -> None:
    board = dashboard()

    assert {one["name"] for one in board["templating"]["list"]} == {"datasource", "job"}
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${datasource}"}
