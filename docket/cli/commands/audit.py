"""``docket audit``: what operators have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.audited import AUDIT, of_audited, told_since
from ..terminal.endings import parse_since
from ..terminal.output import Form, Output, note, show

if TYPE_CHECKING:
    from ...docket import Docket
    from ...insights import AuditPage


def audit(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Deeds after that: 2h ago, today, yesterday, or a moment."
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Deeds before that.")] = None,
    author: Annotated[str | None, typer.Option(help="Only deeds of this person.")] = None,
    deed: Annotated[
        str | None, typer.Option(metavar="ID", help="Only the deed of this id.")
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(help="Go on where the page before has ended.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The number of deeds to list.")] = 50,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """List what operators have done, the latest first: who, what, to how many, and why.

    Example: docket audit --since yesterday --author ann -o wide
    """
    begins, ends = parse_since(since), parse_since(until)

    async def look(docket: Docket) -> AuditPage:
        return await docket.insights.audit(
            since=begins, until=ends, author=author, deed=deed, limit=limit, cursor=cursor or ""
        )

    page = visit(Place(docket, url, config), look)
    show("deeds", [of_audited(entry) for entry in page.entries], AUDIT, output)
    note(told_since(page.since, page.why))
    if page.cursor:
        note(f"there are more: --cursor {page.cursor} goes on")
