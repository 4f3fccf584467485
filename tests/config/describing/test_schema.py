from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from docket.config.checking.shape import Entries, KnownKeys, KnownNames, Leaf, shape_at
from docket.config.describing.schema import PATH, schema, text, write

ROOT = Path(__file__).parents[3]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        yield table
        for inner in table.values():
            yield from nodes(inner)
    if isinstance(value, list):
        for inner in cast(list[Any], value):
            yield from nodes(inner)


def test_the_schema_in_the_tree_is_the_schema_of_the_models() -> None:
    assert (ROOT / PATH).read_text("utf-8") == text(), (
        "run python -m docket.config.describing.schema"
    )


def test_the_schema_is_written_to_a_file(tmp_path: Path) -> None:
    write(tmp_path / "schemas" / "docket.schema.json")
    assert (tmp_path / "schemas" / "docket.schema.json").read_text("utf-8") == text()


def test_the_schema_is_written_by_a_command(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "docket.config.describing.schema"], cwd=tmp_path, check=True
    )
    assert (tmp_path / PATH).read_text("utf-8") == text()


def test_no_table_takes_unknown_keys() -> None:
    for node in nodes(schema()):
        if "properties" in node or "patternProperties" in node:
            assert node["additionalProperties"] is False


def test_only_words_of_draft_07_are_used() -> None:
    for node in nodes(schema()):
        assert not {"$defs", "prefixItems", "unevaluatedProperties"} & set(node)
        assert "$ref" not in node or set(node) == {"$ref"}


def test_toml_has_no_null() -> None:
    assert "null" not in text()


def test_every_key_has_a_meaning() -> None:
    for node in nodes(schema()):
        properties = cast(dict[str, dict[str, Any]], node.get("properties", {}))
        for key, value in properties.items():
            # Of a table whose own description says the same, only the reference is left.
            assert value.get("description") or {"allOf", "$ref"} & set(value), key


def test_the_shape_follows_the_schema() -> None:
    assert isinstance(shape_at(()), KnownKeys)
    assert isinstance(shape_at(("tasks",)), KnownNames)
    assert isinstance(shape_at(("strikes",)), Entries)
    assert shape_at(("strikes", 0, "when", "x", "op")) == Leaf(is_text=True)
    assert shape_at(("tasks", "x", "timeout")) == Leaf(is_text=True)
    assert shape_at(("workers", "x", "processes")) == Leaf(is_text=False)
    assert shape_at(("schedules", "x", "kwargs", "y")) == Leaf(is_text=False)
    assert shape_at(("tasks", "x", "nothing")) is None
    assert shape_at(("name", "x")) is None
