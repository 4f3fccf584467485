"""The layers of a configuration: files, a profile, the environment, the command line; the later one wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from typing_extensions import override

from ..model import PARTS_OF_FILES
from ..reading.document import Document
from ..reading.keypath import KeyPath, entry

DEFAULTS: Final = (("task", "tasks"), ("schedule", "schedules"))
"""Below which tables the tables of [defaults] are laid."""


@dataclass(frozen=True, slots=True)
class Written:
    """The content of a file, or of one table in it.

    Arguments:
        document: the file.
        root: the table that counts; the whole file unless it is a profile.
        earlier: how many entries earlier files have put before its own, by array of tables.
    """

    document: Document
    root: KeyPath = ()
    earlier: Mapping[KeyPath, int] = field(default_factory=dict[KeyPath, int])

    @property
    def tree(self) -> dict[str, Any]:
        """The values of that table."""
        tree = value_at(self.document.tree, self.root)
        table = cast(dict[str, Any], tree) if isinstance(tree, dict) else {}
        # How files become one configuration is said by the files themselves, not by a part of them.
        return {k: v for k, v in table.items() if not self.root or k not in PARTS_OF_FILES}

    def find(self, path: KeyPath) -> KeyPath | None:
        """Return the place in the file of a path of the configuration, or None."""
        found: KeyPath = ()
        tree: Any = self.document.tree
        for key in (*self.root, *path):
            inner = key - self.earlier.get(found, 0) if isinstance(key, int) else key
            tree = _below(tree, inner)
            if tree is _NOTHING:
                return None
            found = (*found, inner)
        return found


_NOTHING: Final = object()


def value_at(tree: Any, path: KeyPath) -> Any:
    """Return the value of a raw tree at a path, or None if there is none."""
    for key in path:
        tree = _below(tree, key)
    return None if tree is _NOTHING else tree


def _below(tree: Any, key: str | int) -> Any:
    if isinstance(key, str) and isinstance(tree, dict):
        return cast(dict[str, Any], tree).get(key, _NOTHING)
    if isinstance(key, int) and isinstance(tree, list):
        entries = cast(list[Any], tree)
        return entries[key] if 0 <= key < len(entries) else _NOTHING
    return _NOTHING


class TreeSource(PydanticBaseSettingsSource):
    """One layer as a source of settings.

    Arguments:
        settings_cls: the settings that are built.
        tree: what the layer says.
    """

    def __init__(self, settings_cls: type[BaseSettings], tree: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._tree, field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        field = self.settings_cls.model_fields["tree"]
        value, name, _ = self.get_field_value(field, "tree")
        return {name: value}


class Layers(BaseSettings):
    """Raw trees, merged table by table; of what is not a table the first layer that has it wins."""

    layers: tuple[dict[str, Any], ...] = ()
    tree: dict[str, Any] = {}

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the given layers alone: no environment is looked at behind our back."""
        return tuple(TreeSource(settings_cls, tree) for tree in init_settings()["layers"])


@dataclass(frozen=True, slots=True)
class Inherited:
    """A tree after the tables of [defaults] were laid under those that they are for.

    Arguments:
        tree: what each table says, and below it the defaults.
        sources: the path in the defaults of everything that a table did not say itself.
    """

    tree: dict[str, Any]
    sources: Mapping[KeyPath, KeyPath]


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return raw trees, merged; the last layer wins.

    Example:
        >>> merged({"a": {"x": 0, "y": 2}}, {"a": {"x": 1}})
        {'a': {'x': 1, 'y': 2}}
    """
    return Layers(layers=layers[::-1]).tree


def with_defaults(tree: dict[str, Any]) -> Inherited:
    """Lay the tables of [defaults] under those that they are for, key by key."""
    sources: dict[KeyPath, KeyPath] = {}
    filled = dict(tree)
    for kind, name in DEFAULTS:
        defaults, tables = entry(tree.get("defaults"), kind), tree.get(name)
        if _are_tables(defaults, tables):
            filled[name] = {
                key: _filled(table, defaults, ((name, key), ("defaults", kind)), sources)
                if _are_tables(table)
                else table
                for key, table in cast(dict[str, Any], tables).items()
            }
    return Inherited(filled, sources)


def _filled(
    table: dict[str, Any],
    defaults: dict[str, Any],
    paths: tuple[KeyPath, KeyPath],
    sources: dict[KeyPath, KeyPath],
) -> dict[str, Any]:
    path, source = paths
    filled = dict(table)
    for key, default in defaults.items():
        below = (*path, key), (*source, key)
        if key not in filled:
            filled[key] = default
            sources[below[0]] = below[1]
        elif _are_tables(filled[key], default):
            filled[key] = _filled(filled[key], default, below, sources)
    return filled


def _are_tables(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)
