"""The unit of ``config/systemd``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from docket.cli.commands.supervisor import supervise
from docket.config.load import Chosen, load
from docket.foundation.durations import parse_duration

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "config" / "systemd" / "docket-supervisor.service"
KNOWN = {
    "Unit": {"Description", "Documentation", "Wants", "After"},
    "Service": {
        *("Type", "NotifyAccess", "User", "Group", "WorkingDirectory", "RuntimeDirectory"),
        *("RuntimeDirectoryMode", "EnvironmentFile", "ExecStartPre", "ExecStart", "ExecReload"),
        *("KillMode", "KillSignal", "TimeoutStopSec", "TimeoutStartSec", "WatchdogSec", "Restart"),
        *("RestartSec", "LimitNOFILE", "NoNewPrivileges", "PrivateTmp", "PrivateDevices"),
        *("ProtectSystem", "ProtectHome", "ProtectKernelTunables", "ProtectKernelModules"),
        *("ProtectControlGroups", "RestrictSUIDSGID", "RestrictAddressFamilies", "LockPersonality"),
    },
    "Install": {"WantedBy"},
}


def unit() -> dict[str, dict[str, str]]:
    """The unit, section by section."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert name not in found[section], f"{name} is there twice"
            found[section][name] = value
    return dict(found)


def test_it_has_only_directives_that_systemd_knows() -> None:
    assert {section: set(names) for section, names in unit().items()} == KNOWN


@pytest.mark.thorough
def test_its_commands_are_those_of_the_supervisor() -> None:
    service = unit()["Service"]
    program, *words = service["ExecStart"].split()

    assert Path(program).name == "docket-supervisor"
    assert service["ExecStartPre"].split() == [program, *words, "--check"]
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    app = typer.Typer()
    app.command()(supervise)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    assert all(word in shown for word in words if word.startswith("--"))


def test_it_gives_the_drain_the_time_that_it_needs() -> None:
    overlay = ROOT / "config" / "production.toml"
    configuration = load(ROOT / "docket.toml", {}, Chosen((overlay,))).configuration
    service = unit()["Service"]

    assert parse_duration(service["TimeoutStopSec"]) > configuration.supervisor.shutdown_timeout
    assert service["KillMode"] == "mixed"


def test_the_control_socket_is_where_the_unit_makes_room_for_it() -> None:
    overlay = ROOT / "config" / "production.toml"
    control = load(ROOT / "docket.toml", {}, Chosen((overlay,))).configuration.supervisor.control

    assert Path(control).parent == Path("/run") / unit()["Service"]["RuntimeDirectory"]
