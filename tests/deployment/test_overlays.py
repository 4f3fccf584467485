"""The overlays of ``config/`` over the file of this repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import tomli

from docket.config.describing.catalogue import ANY_NAME, all_keys
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


def test_the_example_is_valid_and_has_every_key() -> None:
    file = ROOT / "config" / "example.toml"
    load(file, {})
    tree = tomli.loads(file.read_text())
    del tree["profiles"]
    found = {_any_name(path) for path in _paths((), tree)}
    # What only defaults have is what tasks and schedules have.
    wanted = {
        tuple(map(str, key.path))
        for key in all_keys()
        if not key.is_table and key.path[0] != "defaults"
    }

    assert {path for path in wanted if not any(path == one[: len(path)] for one in found)} == set()


def _paths(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _paths((*path, key), inner)
    elif path == ("strikes",):
        for one in value:
            yield from _paths(("strikes", "0"), one)
    else:
        yield path


def _any_name(path: tuple[str, ...]) -> tuple[str, ...]:
    if path[0] in ("tasks", "schedules", "queues", "workers"):
        return (path[0], ANY_NAME, *path[2:])
    if path[:3] == ("strikes", "0", "when"):
        return (*path[:3], ANY_NAME, *path[4:])
    return path
