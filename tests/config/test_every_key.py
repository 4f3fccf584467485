"""Every key of the model has an effect: on what workers are told, on schedules, rules, or by a test.

What is derived from a configuration and reaches the running system is compared before and after a change of
the key alone. Where nothing is derived, because the key is read where it is needed, a test of that is named.
"""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any, cast

import pytest

from docket.assembly import lane_of, paused_queues, rule_for
from docket.config.describing.catalogue import ANY_NAME, all_keys
from docket.config.load import Chosen, load
from docket.config.model import Configuration
from docket.config.planning.plan import Unchanged, plan
from docket.schedules.desired import desired_schedules
from docket.supervisor.fleet import Fleet
from docket.supervisor.processes.pool import Desired
from docket.supervisor.reload.applier import Applier, brake_of
from tests.config.layers import test_merging
from tests.discovery import test_address
from tests.supervisor import test_many_hosts, test_supervisor
from tests.supervisor.control import test_server
from tests.supervisor.processes import test_processes, test_recycling
from tests.supervisor.reload import (
    test_code_watcher,
    test_file_watcher,
    test_probe,
    test_reloader,
    test_removed_tasks,
)
from tests.supervisor.reporting import test_pings

BASE = """
name = "every"

[tasks.call]
function = "m:call"

[tasks.shell]
command = ["true"]

[tasks.web]
http = { url = "https://partner.example/hook", headers = { Accept = "text/plain" } }

[tasks.limited]
function = "m:limited"
concurrency = { limit = 3, key = "customer" }
rate_limit = { limit = 3, per = "1m", key = "customer" }

[tasks.cool]
function = "m:cool"
cooldown = { window = "1m", key = "customer" }

[tasks.quiet]
function = "m:quiet"
debounce = { settle = "5s", max_wait = "1m", key = "customer" }

[tasks.again]
function = "m:again"
perpetual = { every = "5m", from = "start" }

[schedules.clock]
task = "call"
cron = "30 2 * * *"

[schedules.period]
task = "call"
every = "10m"
notes = "first"

[schedules.once]
task = "call"
at = 2030-01-01T00:00:00Z

[queues.bulk]
paused = false

[workers.default]
env = { MODE = "a" }
secrets = { TOKEN = "env:FIRST" }

[[strikes]]
id = "first"
task = "call"
reason = "INC-1"
action = "delay"
delay = "15m"
expires = 2030-01-01T00:00:00Z
when = { customer = { op = "==", value = "acme" } }
"""

OTHERS: dict[str, str] = {
    "execution_ttl": '"7m"',
    "history.enabled": "false",
    "history.keep": '"5h"',
    "history.max_memory": '"5MiB"',
    "results.max_memory": '"5MiB"',
    "audit.keep": '"5h"',
    "audit.max_memory": '"5MiB"',
    "timezone": '"Asia/Tokyo"',
    "modules": '["json"]',
    "url": '"redis://elsewhere:6379/0"',
    "security.codecs": '["safe", "pickle"]',
    "security.signing_keys": '{ new = "env:FIRST" }',
    "security.max_payload": '"5KiB"',
    "logging.level": '"debug"',
    "logging.format": '"json"',
    "supervisor.restart.backoff.initial": '"3s"',
    "supervisor.restart.backoff.max": '"3m"',
    "supervisor.restart.backoff.factor": "3.0",
    "supervisor.restart.backoff.jitter": "0.5",
    "supervisor.restart.stable_after": '"3s"',
    "supervisor.restart.max_crashes": "9",
    "supervisor.restart.window": '"9m"',
    "defaults.task.timeout": '"7s"',
    "defaults.task.retry.attempts": "7",
    "defaults.task.retry.delay": '"7s"',
    "defaults.task.retry.max_delay": '"7m"',
    "defaults.task.retry.backoff": '"fixed"',
    "defaults.task.retry.jitter": "0.7",
    "defaults.task.retry.never_on": '["builtins:KeyError"]',
    "defaults.schedule.overlap": '"allow"',
    "defaults.schedule.pause_on_failure": "7",
    "defaults.schedule.jitter": '"7s"',
    "defaults.schedule.catchup": '"all"',
    "defaults.schedule.catchup_window": '"7m"',
    "tasks.call.timeout": '"7s"',
    "tasks.call.retry.attempts": "7",
    "tasks.call.retry.delay": '"7s"',
    "tasks.call.retry.max_delay": '"7m"',
    "tasks.call.retry.backoff": '"fixed"',
    "tasks.call.retry.jitter": "0.7",
    "tasks.call.retry.never_on": '["builtins:KeyError"]',
    "tasks.call.function": '"m:other"',
    "tasks.call.runner": '"process"',
    "tasks.call.queue": '"slow"',
    "tasks.call.priority": '"high"',
    "tasks.call.result_ttl": '"7m"',
    "tasks.call.log_level": '"debug"',
    "tasks.call.args_schema": "7",
    "tasks.call.upcast": '"m:upcast"',
    "tasks.shell.command": '["false"]',
    "tasks.shell.env": '["PG*"]',
    "tasks.web.http.url": '"https://partner.example/other"',
    "tasks.web.http.method": '"PUT"',
    "tasks.web.http.headers": '{ Accept = "text/html" }',
    "tasks.web.http.body": '"{n}"',
    "tasks.web.http.expect": '"204"',
    "tasks.web.http.allow_private": "true",
    "tasks.limited.concurrency.limit": "7",
    "tasks.limited.concurrency.key": '"other"',
    "tasks.limited.concurrency.on_conflict": '"drop"',
    "tasks.limited.rate_limit.limit": "7",
    "tasks.limited.rate_limit.per": '"7m"',
    "tasks.limited.rate_limit.key": '"other"',
    "tasks.limited.rate_limit.drop": "true",
    "tasks.cool.cooldown.window": '"7m"',
    "tasks.cool.cooldown.key": '"other"',
    "tasks.quiet.debounce.settle": '"7s"',
    "tasks.quiet.debounce.max_wait": '"7m"',
    "tasks.quiet.debounce.key": '"other"',
    "tasks.again.perpetual.every": '"7m"',
    "tasks.again.perpetual.from": '"finish"',
    "tasks.again.perpetual.automatic": "true",
    "schedules.clock.task": '"shell"',
    "schedules.clock.args": "[7]",
    "schedules.clock.queue": '"slow"',
    "schedules.clock.priority": '"high"',
    "schedules.clock.expires": '"7m"',
    "schedules.clock.timeout": '"7s"',
    "schedules.clock.tags": '["nightly"]',
    "schedules.clock.kwargs": "{ n = 7 }",
    "schedules.clock.cron": '"30 3 * * *"',
    "schedules.clock.timezone": '"Asia/Tokyo"',
    "schedules.clock.dst.gap": '"skip"',
    "schedules.clock.dst.overlap": '"both"',
    "schedules.clock.start": "2029-01-01T00:00:00Z",
    "schedules.clock.end": "2029-01-01T00:00:00Z",
    "schedules.clock.limit": "7",
    "schedules.clock.paused": "true",
    "schedules.clock.renamed_from": '"old"',
    "schedules.clock.notes": '"second"',
    "schedules.clock.overlap": '"allow"',
    "schedules.clock.pause_on_failure": "7",
    "schedules.clock.jitter": '"7s"',
    "schedules.clock.catchup": '"all"',
    "schedules.clock.catchup_window": '"7m"',
    "schedules.period.every": '"20m"',
    "schedules.period.phase": '"7s"',
    "schedules.period.anchor": '"finish"',
    "schedules.once.at": "2031-01-01T00:00:00Z",
    "queues.bulk.paused": "true",
    "workers.default.processes": "7",
    "workers.default.concurrency": "7",
    "workers.default.queues": '["default", "slow"]',
    "workers.default.drain": '"7s"',
    "workers.default.max_surge": "7",
    "workers.default.recycle.after_tasks": "7",
    "workers.default.recycle.after": '"7h"',
    "workers.default.recycle.max_rss": '"7MiB"',
    "workers.default.recycle.jitter": "0.7",
    "workers.default.url": '"redis://worker:secret@elsewhere:6379/0"',
    "workers.default.env": '{ MODE = "b" }',
    "workers.default.secrets": '{ TOKEN = "env:SECOND" }',
}
"""Of each key another value than it has; ``call``, ``clock`` and so on stand for any name."""

IN_STRIKES: dict[str, tuple[str, str]] = {
    "task": ('task = "call"', 'task = "shell"'),
    "when.NAME.op": ('op = "=="', 'op = "!="'),
    "when.NAME.value": ('value = "acme"', 'value = "other"'),
    "action": ('action = "delay"\ndelay = "15m"', 'action = "park"'),
    "delay": ('delay = "15m"', 'delay = "7m"'),
    "reason": ('reason = "INC-1"', 'reason = "INC-2"'),
    "expires": ("expires = 2030-01-01T00:00:00Z\n", ""),
    "id": ('id = "first"', 'id = "second"'),
}
"""Of each key of a strike, what stands there and what else might."""

TESTED: dict[str, Any] = {
    "version": test_merging.test_what_a_file_leaves_out_is_a_default_and_then_a_default_of_the_model,
    "include": test_merging.test_included_files_add_and_are_read_in_lexical_order,
    "name": test_address.test_arguments_come_before_the_environment_and_that_before_the_file,
    "owner": test_many_hosts.test_the_same_file_is_one_revision_on_all_hosts,
    "revision": test_many_hosts.test_a_higher_revision_wins_and_the_older_file_leaves_schedules_alone,
    "security.profile": test_address.test_a_strict_profile_asks_for_long_keys_and_refuses_pickle,
    "supervisor.listen": test_supervisor.test_the_port_is_known_once_it_listens,
    "supervisor.control": test_server.test_it_is_beside_the_file_unless_the_path_says_otherwise,
    "supervisor.shutdown_timeout": test_processes.test_a_stop_hands_back_what_does_not_finish,
    "supervisor.probe_timeout": test_probe.test_an_import_that_never_ends_is_given_up,
    "supervisor.reload.watch": test_file_watcher.test_the_watching_can_be_left_to_the_bytes_and_be_turned_off,
    "supervisor.reload.settle": test_file_watcher.test_what_is_taken_back_before_it_is_reported_is_no_change,
    "supervisor.reload.min_interval": (
        test_file_watcher.test_changes_that_follow_each_other_are_reported_no_faster_than_the_interval
    ),
    "supervisor.reload.poll_interval": (
        test_file_watcher.test_a_file_that_can_not_be_watched_is_read_now_and_then
    ),
    "supervisor.reload.follow_code": (
        test_code_watcher.test_nothing_is_done_where_it_is_not_followed_or_a_reload_comes_first
    ),
    "supervisor.reload.max_removals": test_supervisor.test_a_change_that_removes_too_much_is_refused,
    "supervisor.reload.on_failure": (
        test_reloader.test_where_it_shall_hold_a_roll_that_fails_stays_half_done
    ),
    "supervisor.reload.history": test_reloader.test_so_many_revisions_are_kept_as_the_file_says,
    "supervisor.restart.on_exhausted": test_recycling.test_a_pool_that_is_given_up_says_so_once,
    "supervisor.ping.every": test_pings.test_the_leader_pings_each_pool_and_says_which_are_late,
    "supervisor.ping.timeout": test_pings.test_the_leader_pings_each_pool_and_says_which_are_late,
    "tasks.NAME.on_removed": (
        test_removed_tasks.test_where_it_drains_what_waits_is_run_before_it_goes
    ),
    "workers.NAME.hosts": test_many_hosts.test_a_pool_of_other_hosts_comes_when_it_is_meant_for_this_one,
}
"""Keys that are read where they are needed, and a test that shows the effect of each."""


def consequences(configuration: Configuration, path: Path) -> dict[str, Any]:
    """All that is derived from a configuration, and reaches the running system."""
    applier = Applier(Fleet(path, cast(Any, None), cast(Any, None)))

    async def pools() -> dict[str, Desired]:
        return {
            name: await applier._desired(name, configuration, 1) for name in configuration.workers
        }

    return {
        "pools": asyncio.run(pools()),
        "schedules": [
            (one.definition, one.timing, one.renamed_from)
            for one in desired_schedules(configuration)
        ],
        "rules": [rule_for(strike, configuration.owned_by) for strike in configuration.strikes],
        "brake": brake_of(configuration),
        "routes": {name: lane_of(task) for name, task in configuration.tasks.items()},
        "schemas": {name: task.args_schema for name, task in configuration.tasks.items()},
        "modules": configuration.modules,
        "paused": paused_queues(configuration),
    }


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIRST", "one" * 16)
    monkeypatch.setenv("SECOND", "two" * 16)
    file = tmp_path / "docket.toml"
    file.write_text(BASE)
    return file


def anywhere(path: str) -> str:
    """A path with the names that authors choose left open."""
    parts = path.split(".")
    is_named = parts[0] in ("tasks", "schedules", "queues", "workers")
    return ".".join([parts[0], ANY_NAME, *parts[2:]] if is_named else parts)


@pytest.mark.parametrize("path", OTHERS)
def test_a_key_reaches_what_runs(file: Path, path: str) -> None:
    old = load(file, {}).configuration
    new = load(file, {}, Chosen(settings=(f"{path}={OTHERS[path]}",))).configuration

    assert consequences(old, file) != consequences(new, file)


@pytest.mark.parametrize("path", [path for path in OTHERS if not path.startswith("defaults.")])
def test_a_change_of_a_key_is_told_by_the_plan(file: Path, path: str) -> None:
    old = load(file, {}).configuration
    new = load(file, {}, Chosen(settings=(f"{path}={OTHERS[path]}",))).configuration
    found = plan(old, new)

    assert not isinstance(found, Unchanged)
    told = [line.partition(":")[0] for line in found.describe()]
    assert any(one.startswith(path) or path.startswith(one) for one in told)


@pytest.mark.parametrize("key", IN_STRIKES)
def test_a_key_of_a_strike_reaches_the_rule(file: Path, key: str) -> None:
    old = load(file, {}).configuration
    before, after = IN_STRIKES[key]
    assert before in BASE
    file.write_text(BASE.replace(before, after))
    new = load(file, {}).configuration

    assert consequences(old, file)["rules"] != consequences(new, file)["rules"]


@pytest.mark.parametrize("path", TESTED)
def test_a_key_that_is_read_where_it_is_needed_has_a_test(path: str) -> None:
    assert inspect.isfunction(TESTED[path])
    assert TESTED[path].__name__.startswith("test_")


def test_there_is_no_key_without_an_effect() -> None:
    shown = {anywhere(path) for path in OTHERS}
    shown |= {f"strikes.0.{key}" for key in IN_STRIKES} | set(TESTED)
    keys = {".".join(str(part) for part in key.path) for key in all_keys() if not key.is_table}

    assert keys - shown == set()
    assert shown - keys == set()
