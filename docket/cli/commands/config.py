"""``docket config``: checks, shows and explains a configuration, and says what a change would do."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ... import errors
from ...config.checking.problems import ConfigurationInvalid, ConfigurationUnreadable
from ...config.checking.report import Format
from ...config.describing.schema import text as schema_text
from ...config.describing.show import DEFAULT, closest_path, explain_path, values_of
from ...config.describing.starter import STARTER
from ...config.load import Chosen, Loaded, load
from ...config.reading.keypath import read_path
from ...discovery.address import FILE
from ...supervisor.control.client import place_of
from ..configuration.declarations import told_of
from ..configuration.findings import checked
from ..configuration.plans import PlanVerdict, Preview, against, previewed
from ..configuration.revisions import active_revision, queued, touched
from ..configuration.saved_plans import SavedPlan
from ..parameters.options import Config, Profile, Settings, chosen
from ..terminal.exit_codes import FAILED, INVALID, USAGE, WARNINGS, CommandRefused, NotFound
from ..terminal.output import Form, Output, note, say
from ..terminal.output import show as show_items
from ..terminal.output import show_one as show_item
from .revisions import apply, diff, history, rollback

if TYPE_CHECKING:
    from ...storage.configurations import Revision

Probed = Annotated[
    bool,
    typer.Option("--probe", help="Import the code in a process of its own, and see if it fits."),
]

app = typer.Typer(
    help="Check, show and explain a configuration; say what a change would do.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for command in (history, diff, rollback, apply):
    app.command()(command)


@app.command()
def check(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 9 if there are warnings.")] = False,
    probe: Probed = False,
    form: Annotated[Format, typer.Option("--format", help="The format of problems.")] = "text",
) -> None:
    """Check a configuration, and report all its problems: exit 0 valid, 7 invalid, 2 unreadable."""
    file, over = chosen(config, profile, settings)
    outcome = checked(file, over, form, is_probed=probe)
    if isinstance(outcome, ConfigurationUnreadable):
        raise typer.Exit(USAGE)
    if isinstance(outcome, ConfigurationInvalid):
        raise typer.Exit(INVALID)
    if strict and outcome.warnings:
        raise typer.Exit(WARNINGS)


@app.command()
def show(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    origins: Annotated[
        bool, typer.Option("--origins", help="Show the origin of every value.")
    ] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Leave out what equals the default.")
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Show every value that counts; secrets are masked."""
    values = [
        value
        for value in values_of(_loaded(config, profile, settings))
        if not (changed and value.origin == DEFAULT)
    ]
    if output in (Form.JSON, Form.JSONL):
        show_items("values", [value.fields for value in values], (), output)
        return
    width = min(60, max(len(value.line) for value in values))
    for value in values:
        say(f"{value.line:<{width}}  # {value.origin}" if origins else value.line)


@app.command()
def explain(
    path: Annotated[str, typer.Argument(help="A key, such as tasks.send_email.timeout.")],
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
) -> None:
    """Explain a key: its meaning, its value here, where that is set, and the effect of an edit."""
    loaded = _loaded(config, profile, settings)
    keys = read_path(path)
    found = None if keys is None else explain_path(loaded, keys)
    if found is None:
        meant = "" if keys is None else closest_path(loaded, keys)
        advice = f"did you mean {meant}?" if meant else "docket config show lists what there is"
        raise NotFound(f"{path}: there is no such key; {advice}")
    for line in [*found.lines(), *told_of(loaded, found.path)]:
        say(line)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a docket.toml, for editors."""
    typer.echo(schema_text(), nl=False)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path(FILE),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a file to begin with."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(STARTER)
    except FileExistsError:
        raise CommandRefused(f"{file} is there already; --force replaces it") from None
    except OSError as error:
        raise CommandRefused(f"{file} cannot be written: {error.strerror}") from error
    typer.echo(f"{file}: written; docket config check says whether it is valid")


@app.command()
def plan(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="The configuration that runs.", show_default="the active one, from Redis"
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask Redis: without --base, nothing runs.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Save the plan, for docket config apply.", show_default=False),
    ] = None,
    detailed: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode", help="Exit 0 nothing to do, 1 cannot be applied, 2 changes."
        ),
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Show the effects of a change: on each key, on queued work, on the times of schedules."""
    try:
        new = _loaded(config, profile, settings)
        old = None if base is None else load(base, os.environ, Chosen(profile=profile))
    except ConfigurationInvalid:
        if detailed:
            note("the configuration cannot be used; docket config check says why")
            raise typer.Exit(FAILED) from None
        raise
    running = None if offline or base is not None else _running(new)
    now = datetime.now(timezone.utc)
    preview = previewed(old, new, now) if running is None else against(running.entry, new, now)
    if running is not None:
        preview = replace(preview, queued=queued(new, touched(preview.changes)))
    if output in (Form.JSON, Form.JSONL):
        show_item("plan", preview.fields, output)
    else:
        for line in preview.lines():
            say(line)
    if out is not None:
        _save(out, new, running, preview)
    if detailed:
        raise typer.Exit(
            {PlanVerdict.UNCHANGED: 0, PlanVerdict.REFUSED: 1, PlanVerdict.CHANGES: 2}[
                preview.verdict
            ]
        )


def _running(new: Loaded) -> Revision | None:
    try:
        return active_revision(new)
    except errors.ServerUnavailable:
        note("--offline plans without Redis, and --base compares with a file")
        raise


def _save(out: Path, new: Loaded, running: Revision | None, preview: Preview) -> None:
    if running is None:
        raise CommandRefused(
            f"there is no active revision that {out} could change; start docket-supervisor instead"
        )
    where = place_of(new.configuration.supervisor.control, new.path)
    changes = [change["sentence"] for change in preview.fields["changes"]]
    plan = SavedPlan(os.fspath(where), running.number, running.entry.digest, new.meaning, changes)
    plan.save(out)
    note(
        f"saved; docket config apply {out} carries it out, unless something else has changed by then"
    )


def _loaded(config: list[Path] | None, profile: str | None, settings: list[str] | None) -> Loaded:
    file, over = chosen(config, profile, settings)
    return load(file, os.environ, over)
