"""The overlays of ``config/`` over the file of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from docket.config.load import Chosen, load

ROOT = Path(__file__).parents[2]
OVERLAYS = ("production", "cluster", "development")


def overlay(name: str) -> Path:
    return ROOT / "config" / f"{name}.toml"


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_valid_over_the_file_of_this_repository(name: str) -> None:
    loaded = load(ROOT / "docket.toml", {}, Chosen((overlay(name),)))

    assert loaded.configuration.tasks
    assert [warning for warning in loaded.warnings if warning.file == str(overlay(name))] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_editors_know_what_may_stand_in_an_overlay(name: str) -> None:
    first, *_ = overlay(name).read_text().splitlines()

    assert first == "#:schema ../schemas/docket.schema.json"


def test_production_drains_before_it_is_stopped() -> None:
    configuration = load(ROOT / "docket.toml", {}, Chosen((overlay("production"),))).configuration

    drains = [pool.drain for pool in configuration.workers.values()]
    assert max(drains) < configuration.supervisor.shutdown_timeout
    assert configuration.security.codecs == ("safe",)


def test_overlays_can_be_laid_over_each_other() -> None:
    chosen = Chosen((overlay("production"), overlay("cluster")))
    configuration = load(ROOT / "docket.toml", {}, chosen).configuration

    assert configuration.workers["batch"].hosts == ("batch-*",)
    assert configuration.supervisor.reload.watch == "poll"
    assert configuration.supervisor.reload.max_removals == 0.2
