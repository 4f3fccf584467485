"""``docket config history | diff | rollback | apply``: earlier, active and future revisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...config.describing.sentences import sentence
from ...config.load import load
from ...config.planning.diff import diff as differences
from ...config.planning.plan import effect_of
from ...config.planning.revision_text import kept
from ...config.reading.keypath import dotted
from ..configuration.revisions import history as kept_revisions
from ..configuration.saved_plans import SavedPlan
from ..configuration.supervisors import Socket, answer, end_of, place, said, tell
from ..parameters.author import Author, Reason
from ..parameters.options import Config, Profile, Settings, chosen
from ..parameters.times import duration_option
from ..terminal.descriptions import text, when, wide
from ..terminal.exit_codes import NotFound
from ..terminal.output import Column, Form, Output, note, say, show, show_one

if TYPE_CHECKING:
    from ...config.load import Loaded
    from ...storage.configurations import Revision

REVISIONS: Final = (
    Column("REVISION", lambda item: str(item["revision"])),
    when("at", "SINCE"),
    Column("HASH", lambda item: item["hash"][:12]),
    text("host"),
    text("why"),
    wide("declared"),
)

Patience = Annotated[
    timedelta, duration_option("--timeout", help="How long to wait for the outcome.")
]
LONG: Final = timedelta(minutes=2)


def history(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    output: Output = Form.TABLE,
) -> None:
    """List the revisions that are kept, the active one first."""
    found = kept_revisions(_loaded(config, profile, settings))
    show("revisions", [_item(revision) for revision in found], REVISIONS, output)


def diff(
    first: Annotated[int, typer.Argument(metavar="A", help="A revision.")],
    second: Annotated[
        int | None,
        typer.Argument(metavar="B", help="Another one.", show_default="the active one"),
    ] = None,
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    output: Output = Form.TABLE,
) -> None:
    """Show the differences between two revisions; secrets are not kept, and only reported to differ."""
    loaded = _loaded(config, profile, settings)
    revisions = kept_revisions(loaded)
    old = _chosen(revisions, first)
    new = revisions[0] if second is None else _chosen(revisions, second)
    before, after = (kept(one.entry.text, loaded.path) for one in (old, new))
    changes = differences(before.configuration, after.configuration)
    if output in (Form.JSON, Form.JSONL):
        told = [{"path": dotted(one.path), "sentence": _sentence(one)} for one in changes]
        item = {"from": _item(old), "to": _item(new), "changes": told}
        show_one("diff", item, output)
        return
    for change in changes:
        say(_sentence(change))
    if not changes:
        same = old.entry.digest == new.entry.digest
        note("both mean the same" if same else "both mean the same, but for secrets")


def rollback(
    revision: Annotated[int, typer.Argument(help="The revision to run again.")],
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    control: Socket = None,
    timeout: Patience = LONG,
    reason: Reason = "",
    author: Author = None,
    output: Output = Form.TABLE,
) -> None:
    """Run an earlier revision again, as a new one; the file waits for its next edit."""
    where = place(control, config, profile, settings)
    outcome = answer(where, "rollback", timeout, revision=revision, **said(author, reason))
    tell(outcome, output)
    if outcome["result"] == "applied":
        note("the file is as it was, and is applied at its next edit, or by docket reload")
    raise typer.Exit(end_of(outcome))


def apply(
    plan: Annotated[
        Path | None,
        typer.Argument(help="A plan that docket config plan --out has saved; left out, the file."),
    ] = None,
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    control: Socket = None,
    allow_removals: Annotated[
        bool,
        typer.Option("--allow-removals", help="Even if more is removed than max_removals allows."),
    ] = False,
    timeout: Patience = LONG,
    reason: Reason = "",
    author: Author = None,
    output: Output = Form.TABLE,
) -> None:
    """Let the supervisor run the file; a saved plan only if nothing has changed since."""
    asked = {"allow_removals": allow_removals, **said(author, reason)}
    if plan is None:
        where = place(control, config, profile, settings)
        outcome = answer(where, "reload", timeout, wait=True, **asked)
    else:
        saved = SavedPlan.read(plan)
        outcome = answer(
            control or Path(saved.control),
            "apply",
            timeout,
            revision=saved.revision,
            base=saved.base,
            target=saved.target,
            **asked,
        )
    tell(outcome, output)
    raise typer.Exit(end_of(outcome))


def _loaded(config: list[Path] | None, profile: str | None, settings: list[str] | None) -> Loaded:
    file, over = chosen(config, profile, settings)
    return load(file, chosen=over)


def _chosen(revisions: Sequence[Revision], number: int) -> Revision:
    for revision in revisions:
        if revision.number == number:
            return revision
    known = ", ".join(str(one.number) for one in revisions) or "none"
    raise NotFound(f"there is no revision {number}; those that are kept are {known}")


def _item(revision: Revision) -> dict[str, Any]:
    entry = revision.entry
    return {
        "revision": revision.number,
        "at": datetime.fromtimestamp(revision.at / 1000, timezone.utc),
        "hash": entry.digest,
        "declared": entry.declared,
        "host": entry.host,
        "why": entry.why,
    }


def _sentence(change: Any) -> str:
    return sentence(change, effect_of(change))
