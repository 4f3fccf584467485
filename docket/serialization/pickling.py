"""The last resort: cloudpickle, loaded when it is first needed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Final, cast

from ..errors import NotSerializable, Undecodable
from ..foundation.error_text import line_of

LONGEST_PREVIEW: Final = 100
LONGEST_REASON: Final = 1000


def dump(value: Any) -> bytes:
    """Return a value as a pickle.

    Raises:
        NotSerializable: it cannot be pickled.
    """
    import cloudpickle  # noqa: PLC0415

    # cloudpickle has no type hints.
    dumps = cast(Callable[[Any], bytes], cloudpickle.dumps)  # pyright: ignore[reportUnknownMemberType]
    try:
        return dumps(value)
    except BaseException as error:
        # A value's own code runs here, and may raise what ends a process.
        raise NotSerializable(
            f"expected a value that can be pickled, found {preview(value)}: "
            f"{line_of(error, LONGEST_REASON)}; pass what it is made from instead"
        ) from error


def load(data: bytes) -> Any:
    """Load a pickle; this runs the code that it names.

    Raises:
        Undecodable: it cannot be read here.
    """
    try:
        return pickle.loads(data)  # noqa: S301
    except BaseException as error:
        # A hostile pickle may raise what ends a process: SystemExit, KeyboardInterrupt, GeneratorExit.
        raise Undecodable(
            f"expected a pickle that can be read here, found {line_of(error, LONGEST_REASON)}; "
            "check that this process can import what the sender could"
        ) from error


def preview(value: Any) -> str:
    """Return a value in short, for messages; never fails."""
    try:
        text = "".join([repr(value)])
    except BaseException:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST_PREVIEW else f"{text[:LONGEST_PREVIEW]}…"
