"""Imports go down, never up or sideways, type hints included."""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import pytest

from .contract import CONFIGURATION_READERS, GROUND, OWNERS, ROWS


def violations(package: str) -> list[str]:
    """Every import within a package that the contract forbids."""
    graph = grimp.build_graph(package, include_external_packages=True, cache_dir=None)
    return sorted(
        f"{importer} imports {imported}: {reason}"
        for importer in graph.modules
        if importer.startswith(f"{package}.")
        for imported in graph.find_modules_directly_imported_by(importer)
        if (reason := _objection(package, importer, imported))
    )


def strangers(package: str) -> set[str]:
    """The modules that have no place in the contract yet."""
    graph = grimp.build_graph(package, cache_dir=None)
    return {child.split(".")[1] for child in graph.find_children(package)} - {*ROWS, "config"}


def _objection(package: str, importer: str, imported: str) -> str | None:
    source = importer.removeprefix(f"{package}.")
    if imported == package:
        return None
    if imported.startswith(f"{package}."):
        return _objection_within(source.split(".")[0], imported.split(".")[1])
    owners = OWNERS.get(imported, {source})
    is_owner = any(f"{source}.".startswith(f"{owner}.") for owner in owners)
    return None if is_owner else f"only {', '.join(sorted(owners))} may"


def _objection_within(source: str, target: str) -> str | None:
    if source == target:
        return None
    if "config" in (source, target):
        allowed = target in GROUND if source == "config" else source in CONFIGURATION_READERS
        return None if allowed else "config stands aside"
    if source in GROUND:
        is_ground = target in GROUND[source]
        return None if is_ground else "level 0 stands on nothing"
    return None if ROWS[target] > ROWS[source] else "imports go down only"


def test_every_module_has_its_place() -> None:
    assert strangers("docket") == set()


def test_no_import_breaks_the_contract() -> None:
    assert violations("docket") == []


BAD = {
    "up": ("storage/keys.py", "from ..execution import Execution", "imports go down only"),
    "up from the ground": (
        "foundation/cron.py",
        "from ..discovery import address",
        "level 0 stands on nothing",
    ),
    "far up": ("errors.py", "from bazaar.cli import main", "level 0 stands on nothing"),
    "sideways": (
        "serialization/words.py",
        "from .. import instrumentation",
        "imports go down only",
    ),
    "for a type hint": (
        "storage/keys.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..docket import Docket",
        "imports go down only",
    ),
    "late": (
        "instrumentation.py",
        "def f():\n    from . import storage",
        "imports go down only",
    ),
    "config, from below": ("worker/worker.py", "import bazaar.config", "config stands aside"),
    "from config": ("config/model.py", "from ..docket import Docket", "config stands aside"),
    "redis": ("docket.py", "import redis.asyncio", "only connection, errors.server, storage may"),
    "watchfiles": (
        "supervisor/pool.py",
        "import watchfiles",
        "only supervisor.reload.file_watcher may",
    ),
    "croniter": (
        "schedules/desired.py",
        "from croniter import croniter",
        "only foundation.cron may",
    ),
    "pydantic": ("worker/worker.py", "import pydantic", "only config, serialization.written may"),
    "typer": ("supervisor/pool.py", "import typer", "only cli may"),
    "rich": ("assembly.py", "import rich.console", "only cli, instrumentation.console may"),
    "starlette": (
        "cli/__init__.py",
        "from starlette import applications",
        "only contrib.fastapi, web may",
    ),
}


@pytest.mark.parametrize(("file", "line", "reason"), BAD.values(), ids=BAD.keys())
def test_the_contract_bites_an_import_that_goes(
    file: str, line: str, reason: str, bazaar: Path
) -> None:
    with (bazaar / file).open("a") as opened:
        opened.write(line)

    (violation,) = violations("bazaar")

    assert violation.startswith(
        f"bazaar.{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"
    )
    assert violation.endswith(f": {reason}")


def test_the_contract_asks_for_the_place_of_a_new_module(bazaar: Path) -> None:
    (bazaar / "helpers.py").touch()

    assert strangers("bazaar") == {"helpers"}


@pytest.fixture
def bazaar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package of the same shape, without a fault."""
    for file, text in {
        "__init__.py": "",
        "errors.py": "",
        "foundation/__init__.py": "",
        "foundation/cron.py": "import croniter\n",
        "discovery/__init__.py": "from .. import foundation\n",
        "instrumentation.py": "",
        "execution.py": "",
        "docket.py": "from .storage import keys\n",
        "assembly.py": "from .config import model\n",
        "serialization/__init__.py": "",
        "serialization/words.py": "import msgpack\nfrom ..errors import DocketError\n",
        "storage/__init__.py": "",
        "storage/keys.py": "import redis\n",
        "config/__init__.py": "",
        "config/model.py": "import pydantic\nfrom .. import errors\n",
        "worker/__init__.py": "",
        "worker/worker.py": "from ..docket import Docket\n",
        "schedules/__init__.py": "",
        "schedules/desired.py": "from ..config import model\n",
        "supervisor/__init__.py": "",
        "supervisor/pool.py": "from ..worker.worker import Worker\n",
        "supervisor/reload/__init__.py": "",
        "supervisor/reload/file_watcher.py": "import watchfiles\n",
        "cli/__init__.py": "import typer\nfrom ..supervisor import pool\n",
    }.items():
        path = tmp_path / "bazaar" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert violations("bazaar") == []
    return tmp_path / "bazaar"
