"""``"1MiB"`` and bytes: one notation for TOML and the command line."""

from __future__ import annotations

from typing import Final

EXPECTED: Final = 'expected a size such as "512KiB", "1MiB" or a number of bytes'

_UNITS: Final = (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1))


def parse_size(written: object) -> int:
    """Return the bytes of ``1MiB``, ``64 KiB``, ``10_000`` or a number; at least one.

    Raises:
        ValueError: it is not a size.
    """
    size = 0
    if isinstance(written, str):
        size = _bytes_of(written.strip().replace("_", ""))
    elif isinstance(written, int) and not isinstance(written, bool):
        size = written
    if size < 1:
        raise ValueError(f"{EXPECTED}, found {written!r}")
    return size


def _bytes_of(text: str) -> int:
    for unit, factor in _UNITS:
        number = text.removesuffix(unit).strip() if text.endswith(unit) else ""
        if number.isdecimal():
            return int(number) * factor
    return 0
