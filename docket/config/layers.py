"""The layers of a configuration: the file, over it the environment, under its tasks [defaults.task]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from typing_extensions import override

from .keypath import KeyPath, entry


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
    """Raw trees, merged table by table; of what is no table the first layer that has it wins."""

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
        """Nothing but the given layers: no environment is looked at behind our back."""
        return tuple(TreeSource(settings_cls, tree) for tree in init_settings()["layers"])


@dataclass(frozen=True, slots=True)
class Inherited:
    """A tree after [defaults.task] was laid under its tasks.

    Arguments:
        tree: what each task says, and below it the defaults.
        sources: the path in the defaults of everything that a task did not say itself.
    """

    tree: dict[str, Any]
    sources: Mapping[KeyPath, KeyPath]


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Raw trees, merged; the first layer wins.

    Example:
        >>> merged({"a": {"x": 1}}, {"a": {"x": 0, "y": 2}})
        {'a': {'x': 1, 'y': 2}}
    """
    return Layers(layers=layers).tree


def with_defaults(tree: dict[str, Any]) -> Inherited:
    """Lay [defaults.task] under every task, key by key."""
    defaults, tasks = entry(tree.get("defaults"), "task"), tree.get("tasks")
    if not _are_tables(defaults, tasks):
        return Inherited(tree, {})
    sources: dict[KeyPath, KeyPath] = {}
    filled: dict[str, Any] = {}
    for name, task in cast(dict[str, Any], tasks).items():
        paths = ("tasks", name), ("defaults", "task")
        filled[name] = _filled(task, defaults, paths, sources) if _are_tables(task) else task
    return Inherited({**tree, "tasks": filled}, sources)


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
