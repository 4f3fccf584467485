"""The one place where deeds of operators are written down, whoever does them: ``P:audit``."""

from __future__ import annotations

import json
import logging
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, cast

from ..errors import DocketError
from ..foundation.durations import format_duration
from ..foundation.plain import plain
from ..foundation.uuid7 import new_key
from ..storage.audit import AuditStream, DeedRecord
from ..storage.dead import Deed, Done

logger = logging.getLogger("docket.audit")

PYTHON: Final = "python"
COMMAND_LINE: Final = "command line"
SUPERVISOR: Final = "supervisor"

SAMPLE: Final = 5
"""Keys of a deed that its entry names, at most; of anything else that is listed, so many, too."""

NAMES: Final = 20
"""Names of a table, at most."""

LONGEST: Final = 200
"""Characters of a name or a value."""

LARGEST: Final = 2_000
"""Characters, as JSON, of all that an entry says of what was meant."""


_NOTHING: Final[tuple[Any, ...]] = (None, "", [], (), {})


class Recording:
    """The entry of a deed that is under way.

    Arguments:
        meant: the number of things that it is about; none is written of a deed about nothing.
        about: what is meant, and what is asked for, by name.
    """

    def __init__(self, meant: int, about: Mapping[str, Any]) -> None:
        self.meant = meant
        self.about = {**about}
        self.done = 0
        self.refused = Counter[str]()
        self.error = ""

    def succeed(self, count: int = 1) -> None:
        """Record that the deed was done to so many more."""
        self.done += count

    def refuse(self, reason: str, count: int = 1) -> None:
        """Record that so many more were left alone."""
        if count:
            self.refused[reason] += count

    def completed(self, record: DeedRecord) -> DeedRecord:
        """Return the entry, of which the beginning is given: whose deed it is."""
        return replace(
            record,
            meant=self.meant,
            done=self.done,
            refused=dict(self.refused),
            error=self.error,
            about=bounded(self.about),
        )

    def tell(self, outcomes: Iterable[Done], *good: Deed) -> None:
        """Record the outcomes of a slice.

        Arguments:
            outcomes: each of them.
            good: those that were wanted.
        """
        for one in outcomes:
            if one.deed in good:
                self.succeed()
            else:
                self.refuse(one.deed.name.lower())


class Audit:
    """Writes the deeds of one program down, each when it is over.

    Arguments:
        stream: where to.
        source: the program: ``python``, ``command line`` or ``supervisor``.
    """

    def __init__(self, stream: AuditStream, source: str = PYTHON) -> None:
        self._stream = stream
        self._host = socket.gethostname()
        self.source = source

    @asynccontextmanager
    async def recording(
        self,
        verb: str,
        *,
        meant: int = 1,
        author: str = "",
        reason: str = "",
        deed: str = "",
        source: str = "",
        about: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Recording, None]:
        """Write down what is done within, when it is over or was broken off.

        An entry that cannot be written is no reason for the deed to fail: it is logged.

        Arguments:
            verb: the word of the deed.
            meant: the number of things that it is about.
            author: the person who asks for it.
            reason: the reason.
            deed: its id; a new one, if it is empty.
            source: the program that asks, if that is another one.
            about: what is meant, and what is asked for, by name.
        """
        begun = DeedRecord(
            verb,
            author=_text(author),
            reason=_text(reason),
            deed=_text(deed or new_key()),
            source=_text(source or self.source),
            host=_text(self._host),
        )
        recording = Recording(meant, about or {})
        try:
            yield recording
        except BaseException as error:
            recording.error = type(error).__name__
            raise
        finally:
            if recording.meant:
                await self._write(recording.completed(begun))

    async def _write(self, record: DeedRecord) -> None:
        try:
            await self._stream.add(record)
        except DocketError as error:
            # What has failed as a whole, and its author has heard of, needs no second line.
            if record.done or not record.error:
                logger.warning("The audit lacks a deed, %s: %s", record.verb, error)


def bounded(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry says of what was meant, cut to a size that is safe to keep.

    Arguments:
        about: strings, numbers, times, lists and tables of them, by name; what is empty is left out.
    """
    cut = _bounded(about)
    told = json.dumps(cut)
    return cut if len(told) <= LARGEST else {"cut": told[:LARGEST]}


def sample(keys: Iterable[str]) -> list[str]:
    """Return the first of some keys."""
    return [key for key, _ in zip(keys, range(SAMPLE), strict=False)]


def _bounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value).items()
        named = [(_text(name), _bounded(one)) for name, one in [*table][:NAMES]]
        return {name: one for name, one in named if one not in _NOTHING}
    if isinstance(value, list | tuple):
        return [_bounded(one) for one in cast("list[Any]", value)[:SAMPLE]]
    if value is None or isinstance(value, int | float):
        return value
    return format_duration(value) if isinstance(value, timedelta) else _text(str(value))


def _text(text: str) -> str:
    return plain(text[:LONGEST])[:LONGEST]
