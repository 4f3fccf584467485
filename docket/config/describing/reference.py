"""The reference of all keys, made from the model.

``python -m docket.config.describing.reference`` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from ..reading.keypath import KeyPath, dotted
from .catalogue import Key, all_keys

PATH: Final = Path("docs") / "reference" / "configuration.md"
_HEAD: Final = """\
# All keys of docket.toml

This page is made from the model: every key, what may stand there, its default,
and what an edit of it does while everything runs. [The guide](../configuration.md) says how files are put
together and what happens when they change.
"""


def text() -> str:
    """Return the reference as it is written to the file."""
    return "\n".join([_HEAD, *_tables()])


def write(path: Path = PATH) -> None:
    """Write the reference to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(), encoding="utf-8")


def _tables() -> Iterator[str]:
    keys = list(all_keys())
    meanings = {key.path: key.meaning for key in keys}
    plain = [key for key in keys if not key.is_table or key.path == ("profiles",)]
    plain.sort(key=lambda key: _order(key, keys))
    for table, rows in groupby(plain, key=lambda key: key.path[:-1]):
        yield f"## {_header(table)}\n"
        if meaning := meanings.get(table) or meanings.get(table[:-1]):
            yield f"{meaning}\n"
        yield "| Key | Kind | Default | Meaning | An edit |"
        yield "|---|---|---|---|---|"
        yield from (_row(key) for key in rows)
        yield ""


def _order(key: Key, keys: list[Key]) -> int:
    """Return the sort key of a key: where its table begins; the keys of the file itself come first."""
    table = key.path[:-1]
    return next(i for i, one in enumerate(keys) if one.path[:-1] == table) if table else -1


def _header(table: KeyPath) -> str:
    if not table:
        return "The file"
    if table[-1] == 0:
        return f"`[[{dotted(table[:-1])}]]`"
    return f"`[{dotted(table)}]`"


def _row(key: Key) -> str:
    default = "required" if key.is_required else f"`{key.default}`" if key.default else "–"
    cells = [f"`{dotted(key.path[-1:])}`", key.kind, default, key.meaning, key.effect]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    write()
