"""The JSON Schema of a docket.toml, for editors: draft-07 words, strict everywhere.

``python -m docket.config.describing.schema`` writes it to ``schemas/docket.schema.json``.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from ...foundation.durations import format_duration
from ..kinds import Ratio, format_share
from ..model import PARTS_OF_FILES, Configuration

PATH: Final = Path("schemas") / "docket.schema.json"
_PART: Final = re.compile(r"#/\$defs/(Part\w+)")
_DRAFT: Final = "http://json-schema.org/draft-07/schema#"


class _Generator(GenerateJsonSchema):
    @override
    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return format_share(dft) if isinstance(dft, Ratio) else super().encode_default(dft)

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """Return the schema, made from the models."""
    made = Configuration.model_json_schema(schema_generator=_Generator)
    made["definitions"] = made.pop("$defs")
    made["definitions"].update(sorted(_parts(made).items()))
    made["properties"]["profiles"]["additionalProperties"] = {"$ref": "#/$defs/Profile"}
    return {"$schema": _DRAFT, **cast(dict[str, Any], _in_draft_07(made))}


def text() -> str:
    """Return the schema as it is written to the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def write(path: Path = PATH) -> None:
    """Write the schema to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(), encoding="utf-8")


def _parts(made: dict[str, Any]) -> dict[str, Any]:
    """Return the definitions of what a profile may say: the same keys, none of them required."""
    whole = cast(dict[str, Any], made["definitions"])
    profile = {
        "additionalProperties": False,
        "description": "[profiles.NAME]: what is said instead where this profile is chosen.",
        "properties": {
            key: value
            for key, value in made["properties"].items()
            if key not in ("version", *PARTS_OF_FILES)
        },
        "type": "object",
    }
    parts = {"Profile": _part(profile)}
    while missing := set(_PART.findall(json.dumps(parts))) - {*parts}:
        parts.update({name: _part(whole[name.removeprefix("Part")]) for name in missing})
    return parts


def _part(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    part: dict[str, Any] = {}
    for key, value in cast(dict[str, Any], node).items():
        if key == "$ref":
            part[key] = value.replace("#/$defs/", "#/$defs/Part")
        # An array is replaced as a whole, so its entries are what they are everywhere.
        elif key == "items":
            part[key] = value
        elif key == "properties":
            part[key] = {name: _part(inner) for name, inner in value.items()}
        # What a profile leaves out is as it was, not the default.
        elif key not in ("default", "required", "minProperties", *_choices(node)):
            part[key] = _part(value)
    return part


def _choices(node: Any) -> tuple[str, ...]:
    """Return the words with which a table says which of its keys it must have."""
    return ("anyOf", "oneOf") if "properties" in node else ()


def _in_draft_07(node: Any) -> Any:
    if isinstance(node, list):
        return [_in_draft_07(item) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    found = _without_null(
        {key: _in_draft_07(value) for key, value in cast(dict[str, Any], node).items()}
    )
    if "$ref" in found:
        return _reference(found)
    if "patternProperties" in found:
        # One shape for all tables whose keys the author chooses.
        ((pattern, each),) = found.pop("patternProperties").items()
        found["additionalProperties"] = each
        found["propertyNames"] = {"pattern": pattern}
    if "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """Remove null, which TOML does not have: a key that may be none is a key that may be left out."""
    # Nothing is said about what anything may stand in.
    node = {
        key: value
        for key, value in node.items()
        if value is not None and (key, value) != ("items", {})
    }
    choices = [choice for choice in node.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del node["anyOf"]
        node.update(choices[0])
    return node


def _reference(node: dict[str, Any]) -> dict[str, Any]:
    # Draft 07 ignores everything beside $ref, so the words about the key and the reference stand apart.
    target = {"$ref": node.pop("$ref").replace("#/$defs/", "#/definitions/")}
    return {"allOf": [target], **node} if node else target


if __name__ == "__main__":
    write()
