"""``"1MiB"`` and bytes: one notation for TOML and the command line."""

from __future__ import annotations

from typing import Final

EXPECTED: Final = 'expected a size such as "512KiB", "1MiB" or a number of bytes'

EXPECTED_LIMIT: Final = 'expected a size such as "512KiB" or "1MiB", or 0 for no limit'

_UNITS: Final = (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1))


def parse_size(written: object) -> int:
    """Return the bytes of ``1MiB``, ``64 KiB``, ``10_000`` or a number; at least one.

    Raises:
        ValueError: it is not a size.
    """
    size = _read(written)
    if size < 1:
        raise ValueError(f"{EXPECTED}, found {written!r}")
    return size


def parse_limit(written: object) -> int:
    """Return the bytes of a size, or 0, which is no limit.

    Raises:
        ValueError: it is neither.
    """
    size = _read(written)
    if size < 0:
        raise ValueError(f"{EXPECTED_LIMIT}, found {written!r}")
    return size


def _read(written: object) -> int:
    """Return the bytes of what may be a size; -1 if it is none."""
    if isinstance(written, str):
        return _bytes_of(written.strip().replace("_", ""))
    return written if isinstance(written, int) and not isinstance(written, bool) else -1


def _bytes_of(text: str) -> int:
    for unit, factor in _UNITS:
        number = text.removesuffix(unit).strip() if text.endswith(unit) else ""
        if number.isdecimal():
            return int(number) * factor
    return -1
