"""``docket fsck``: compares records with indexes, and repairs what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.descriptions import text, wide
from ..terminal.exit_codes import FAILED
from ..terminal.output import Column, Form, Output, note, show

if TYPE_CHECKING:
    from ...docket import Docket
    from ...operations import Check

Repair = Annotated[
    bool, typer.Option("--repair", help="Repair what differs; no work is lost by that.")
]

MISMATCHES: Final = (
    text("kind"),
    Column("SUBJECT", lambda item: item["subject"]),
    Column("IS", lambda item: "repaired" if item["repaired"] else "found"),
    text("sentence"),
    wide("key"),
    wide("repair"),
)


def fsck(
    *,
    repair: Repair = False,
    reason: Reason = "",
    author: Author = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Compare records with indexes, streams and limits, while workers work; exit 1 if something is left."""

    async def look(docket: Docket) -> Check:
        return await docket.operations.check(repair=repair, author=me(author), reason=reason)

    found = visit(Place(docket, url, config), look)
    show("mismatches", [*_items(found)], MISMATCHES, output)
    total = sum(found.counts.values())
    if total > len(found.mismatches):
        note(f"{total - len(found.mismatches)} more are not listed")
    said = _told(found.counts, total, found.repaired if repair else None)
    note(f"{found.records} records compared; {said}")
    if not found.is_well:
        raise typer.Exit(FAILED)


def _told(counts: Mapping[str, int], total: int, repaired: int | None) -> str:
    """Return a sentence about the mismatches; None were repaired if that was not asked for."""
    if not total:
        return "all agree"
    kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items()))
    if repaired is None:
        return f"{total} mismatches: {kinds}; --repair repairs what can be"
    return f"{repaired} of {total} mismatches repaired: {kinds}"


def _items(found: Check) -> Iterator[dict[str, Any]]:
    from ...operations.mismatches import KINDS  # noqa: PLC0415 - --help needs none of it

    for one in found.mismatches:
        kind = KINDS[one.kind]
        yield {
            "kind": one.kind,
            "key": one.key,
            # An owner is the identity of its acceptance, and the key that people know.
            "subject": one.subject.rpartition("\n")[2],
            "repaired": one.is_repaired,
            "sentence": kind.sentence,
            "repair": kind.repair,
        }
