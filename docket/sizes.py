"""``"1MiB"`` and bytes: one notation for TOML and the command line."""

from __future__ import annotations


def parse_size(text: str | int) -> int:
    """Bytes of ``1MiB``, ``64 KiB``, ``10_000`` or a number.

    Raises:
        ValueError: the text is no size.
    """
    if isinstance(text, int):
        return text
    stripped = text.strip().replace("_", "")
    for unit, factor in (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1)):
        number = stripped.removesuffix(unit).strip() if stripped.endswith(unit) else ""
        if number.isdecimal():
            return int(number) * factor
    raise ValueError(f'expected a size such as "512KiB" or "1MiB", found {text!r}')
