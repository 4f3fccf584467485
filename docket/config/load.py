"""From a file and the environment to a configuration, or to all that is wrong with them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from .diff import tree_of
from .document import read_document, read_file
from .environment import read_environment
from .explain import Hidden, explain
from .findings import Finding
from .keypath import KeyPath
from .layers import merged, with_defaults
from .meaning import digest
from .model import Configuration
from .problems import ConfigurationInvalid, Problem
from .rules import broken_rules, surprises
from .sources import Origin, Sources

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and what is known about where it came from.

    Arguments:
        path: the file.
        configuration: what it says, together with the environment.
        origins: where each value was written; one that is not here is a default.
        warnings: what can be used but will surprise.
        digest: SHA-256 of the bytes of the file: the same bytes need no second look.
        meaning: SHA-256 of the configuration: comments, order and spelling make no difference.
    """

    path: Path
    configuration: Configuration
    origins: Mapping[KeyPath, Origin]
    warnings: tuple[Problem, ...]
    digest: str
    meaning: str

    @property
    def url(self) -> str:
        """The server, which is the embedded one beside the file if none is named."""
        return resolved_url(self.configuration, self.path)


def load(path: Path | str, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read a docket.toml and what the environment has to add.

    Arguments:
        path: the file.
        environ: the variables that override keys of the file, such as ``DOCKET_URL``.

    Raises:
        ConfigurationUnreadable: there is no such file, or it can not be read.
        ConfigurationInvalid: something is wrong in the file or in the environment; all of it is told.

    Example:
        >>> load("docket.toml").configuration.workers["default"].concurrency
        10
    """
    return parse(read_file(path), path, environ)


def parse(
    content: bytes | str,
    path: Path | str = "docket.toml",
    environ: Mapping[str, str] = _EMPTY,
) -> Loaded:
    """Read the content of a docket.toml.

    Arguments:
        content: the content of the file.
        path: its name, for messages and as the place that the embedded server is beside.
        environ: the variables that override keys of the file; none unless given.

    Raises:
        ConfigurationInvalid: something is wrong in the content or in the environment; all of it is told.
    """
    data = content.encode() if isinstance(content, str) else content
    document = read_document(data, str(path))
    overrides = read_environment(environ, document.tree)
    tree = merged(overrides.tree, document.tree)
    sources = Sources(document, overrides, with_defaults(tree))
    configuration = _checked(sources)
    return Loaded(
        path=Path(path),
        configuration=configuration,
        origins=sources.origins(),
        warnings=sources.located(sources.at_their_sources(surprises(configuration))),
        digest=hashlib.sha256(data).hexdigest(),
        meaning=meaning_of(configuration),
    )


def meaning_of(configuration: Configuration) -> str:
    """SHA-256, in hexadecimal, of what a configuration means."""
    return digest(tree_of(configuration))


def resolved_url(configuration: Configuration, path: Path | str) -> str:
    """The server of a configuration: its url, else the embedded one beside the file it was read from."""
    if configuration.url is not None:
        return configuration.url
    return f"embedded://{Path(path).resolve().parent / '.docket'}"


def _checked(sources: Sources) -> Configuration:
    tree = sources.inherited.tree
    configuration, findings = _validated(tree, sources.is_hidden)
    problems = [
        *sources.located([*findings, *broken_rules(tree, sources.is_hidden)]),
        *sources.overrides.problems,
    ]
    if problems or configuration is None:
        raise ConfigurationInvalid(problems)
    return configuration


def _validated(
    tree: dict[str, Any], is_hidden: Hidden
) -> tuple[Configuration | None, list[Finding]]:
    try:
        return Configuration.model_validate(tree), []
    except ValidationError as error:
        return None, explain(error, is_hidden)
