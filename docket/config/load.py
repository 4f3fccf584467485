"""The way from files, the environment and the command line to a configuration, or to all its problems."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from ..discovery.layering import embedded_url
from .checking.findings import Finding
from .checking.problems import ConfigurationInvalid, Problem
from .checking.pydantic_errors import Hidden, explain
from .checking.rules import broken_rules, surprises
from .layers.commandline import read_settings
from .layers.environment import read_environment
from .layers.merging import Written, merged, with_defaults
from .layers.overrides import Overrides
from .layers.profiles import choose_profile, misplaced_keys, profile_layers, profiles_of
from .model import Configuration
from .planning.diff import tree_of
from .planning.meaning import canonical, digest
from .reading.document import read_file
from .reading.files import Files, Joined, join, read_files
from .reading.keypath import KeyPath, dotted
from .reading.own import without_own
from .reading.sources import Origin, Sources

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Chosen:
    """The choices of the command line beside the file.

    Arguments:
        overlays: files that are laid over it, the last one on top.
        profile: the profile; left out, it is the one that DOCKET_PROFILE names, if it names one.
        settings: keys that are set, as ``path=value``.
    """

    overlays: tuple[Path, ...] = ()
    profile: str | None = None
    settings: tuple[str, ...] = ()


NOTHING: Final = Chosen()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and what is known about where it came from.

    Arguments:
        path: the file.
        configuration: what it says, together with everything that is laid over it.
        sources: the layers that it was made of.
        warnings: what can be used but will surprise.
        digest: SHA-256 of the bytes of the files: the same bytes need no second look.
        meaning: SHA-256 of what hosts share of the configuration: comments, order and spelling make no
            difference, nor do keys that are a host's own.
    """

    path: Path
    configuration: Configuration
    sources: Sources
    warnings: tuple[Problem, ...]
    digest: str
    meaning: str

    @property
    def url(self) -> str:
        """The server, which is the embedded one beside the file if none is named."""
        return resolved_url(self.configuration, self.path)

    @property
    def origins(self) -> Mapping[KeyPath, Origin]:
        """The place where each value was written; a value that is missing here is a default."""
        return self.sources.origins()


def load(
    path: Path | str, environ: Mapping[str, str] = os.environ, chosen: Chosen = NOTHING
) -> Loaded:
    """Read a docket.toml and everything that is laid over it.

    Arguments:
        path: the file.
        environ: the variables that override keys of the file, such as ``DOCKET_URL``.
        chosen: overlays, profile and settings of the command line.

    Raises:
        ConfigurationUnreadable: a file is not there, or cannot be read.
        ConfigurationInvalid: a file or the environment has errors; the message lists all of them.

    Example:
        >>> load("docket.toml").configuration.workers["default"].concurrency
        10
    """
    return parse(read_file(path), path, environ, chosen)


def parse(
    content: bytes | str,
    path: Path | str = "docket.toml",
    environ: Mapping[str, str] = _EMPTY,
    chosen: Chosen = NOTHING,
) -> Loaded:
    """Read the content of a docket.toml.

    Arguments:
        content: the content of the file.
        path: its name, for messages and as the place that other files and the embedded server are beside.
        environ: the variables that override keys of the file; none unless given.
        chosen: overlays, profile and settings of the command line.

    Raises:
        ConfigurationUnreadable: a file that it includes, or an overlay, cannot be read.
        ConfigurationInvalid: the content or the environment has errors; the message lists all of them.
    """
    data = content.encode() if isinstance(content, str) else content
    files = read_files(data, path, chosen.overlays)
    stack = _Stack(files, join(files.base), environ, chosen)
    sources, configuration = _checked(stack)
    return Loaded(
        path=Path(path),
        configuration=configuration,
        sources=sources,
        warnings=sources.located(sources.at_their_sources(surprises(configuration))),
        digest=_digest([data, *(document.text.encode() for document in files.documents[1:])]),
        meaning=meaning_of(configuration),
    )


def meaning_of(configuration: Configuration) -> str:
    """Return the SHA-256, in hexadecimal, of what a configuration means to all hosts that share it."""
    return digest(without_own(tree_of(configuration)))


def resolved_url(configuration: Configuration, path: Path | str) -> str:
    """Return the server of a configuration: its url, else the embedded one beside its file."""
    if configuration.url is not None:
        return configuration.url
    return embedded_url(path)


def shadowed_edits(old: Loaded, new: Loaded) -> tuple[str, ...]:
    """Return the edits of files that have no effect, because environment or command line override them."""
    before = {path: value for path, (value, _) in old.sources.shadowed().items()}
    return tuple(
        f"{dotted(path)}: the edit has no effect: {variable} says otherwise (shadowed)"
        for path, (value, variable) in new.sources.shadowed().items()
        if canonical(before.get(path)) != canonical(value)
    )


@dataclass(frozen=True, slots=True)
class _Stack:
    """All that a configuration is put together from.

    Arguments:
        files: what was read.
        joined: what the file and those that it includes say together.
        environ: all environment variables.
        chosen: what the command line chose.
    """

    files: Files
    joined: Joined
    environ: Mapping[str, str]
    chosen: Chosen

    @property
    def written(self) -> dict[str, Any]:
        """The values of all files, before a profile is chosen."""
        return merged(self.joined.tree, *(overlay.tree for overlay in self.files.overlays))

    def under(self, profile: str | None) -> tuple[Sources, tuple[Overrides, Overrides]]:
        """Return the layers as they are if a profile is chosen, each over the one before it."""
        overlays = [(Written(overlay),) for overlay in self.files.overlays]
        profiled = profile_layers([self.joined.layers, *overlays], profile)
        said = [layer.tree for group in profiled for layer in group]
        files = merged(self.written, *said)
        environment = read_environment(self.environ, files)
        command_line = read_settings(self.chosen.settings, merged(files, environment.tree))
        tree = merged(files, environment.tree, command_line.tree)
        groups = [self.joined.layers, *overlays, *profiled, (environment,), (command_line,)]
        return Sources(groups, with_defaults(tree)), (environment, command_line)


def _checked(stack: _Stack) -> tuple[Sources, Configuration]:
    written = stack.written
    profile, wrong_choice = choose_profile(written, stack.chosen.profile, stack.environ)
    sources, overrides = stack.under(profile)
    configuration, findings = _validated(sources)
    problems = [
        *sources.located([*findings, *misplaced_keys(written)]),
        *stack.joined.problems,
        *(
            problem
            for name in profiles_of(written)
            if name != profile
            for problem in _in_profile(stack, name)
        ),
    ]
    problems = [
        *sources.in_order(problems),
        *wrong_choice,
        *(problem for override in overrides for problem in override.problems),
    ]
    if problems or configuration is None:
        raise ConfigurationInvalid(problems)
    return sources, configuration


def _in_profile(stack: _Stack, name: str) -> list[Problem]:
    """Return the problems that a profile would have if it were chosen: they must not wait until then."""
    sources, _ = stack.under(name)
    _, findings = _validated(sources)
    return [
        problem for problem in sources.located(findings) if problem.path[:2] == ("profiles", name)
    ]


def _validated(sources: Sources) -> tuple[Configuration | None, list[Finding]]:
    """Return the configuration, or all of its problems; those between tables are always reported."""
    tree = sources.inherited.tree
    configuration, findings = _read(tree, sources.is_hidden)
    return configuration, [*findings, *broken_rules(tree, sources.is_hidden)]


def _read(tree: dict[str, Any], is_hidden: Hidden) -> tuple[Configuration | None, list[Finding]]:
    try:
        return Configuration.model_validate(tree), []
    except ValidationError as error:
        return None, explain(error, is_hidden)


def _digest(contents: list[bytes]) -> str:
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )
