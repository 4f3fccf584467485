from __future__ import annotations

import pytest

from docket.config.load import parse
from docket.config.model import Configuration
from docket.config.planning.plan import (
    Apply,
    ChangeLogging,
    Plan,
    ReconfigurePool,
    ReconfigureSupervisor,
    ReplaceSchedules,
    ReplaceStrikes,
    ReplaceTaskPolicies,
    RestartRequired,
    RollPool,
    StartPool,
    StopPool,
    Unchanged,
    plan,
    refuse_removals,
)

HELLO = '[tasks.hello]\nfunction = "shop.tasks:hello"\n'
BYE = '[tasks.bye]\nfunction = "shop.tasks:bye"\n'
OFTEN = '[schedules.often]\ntask = "hello"\nevery = "5m"\n'


def read(text: str) -> Configuration:
    return parse(text).configuration


def planned(old: str, new: str) -> Plan:
    return plan(read(old), read(new))


def actions(old: str, new: str) -> list[type]:
    found = planned(old, new)
    assert isinstance(found, Apply)
    return [type(action) for action in found.actions]


def only(old: str, new: str) -> object:
    found = planned(old, new)
    assert isinstance(found, Apply)
    (action,) = found.actions
    return action


def test_the_same_meaning_changes_nothing() -> None:
    found = planned(HELLO, f"# comment\n{HELLO}")
    assert found == Unchanged()
    assert found.describe() == ()


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('name = "orders"\n', "name"),
        ('url = "redis://app:hunter2@db"\n', "url"),
        ('supervisor.listen = "0.0.0.0:80"\n', "supervisor.listen"),
    ],
)
def test_what_holds_for_the_life_of_a_supervisor_needs_a_restart(line: str, path: str) -> None:
    found = planned(HELLO, f"{line}execution_ttl = '1h'\n{HELLO}")
    assert isinstance(found, RestartRequired)
    assert found.paths == (path,)
    (sentence,) = found.describe()
    assert sentence.endswith("(needs a restart)")
    assert "hunter2" not in repr(found) + sentence


def test_the_numbers_of_a_pool_change_live() -> None:
    new = f"{HELLO}[workers.default]\nconcurrency = 20\nprocesses = 2\ndrain = '1m'\n"
    found = planned(HELLO, new)
    assert isinstance(found, Apply)
    pool = read(new).workers["default"]
    assert found.actions == (ReconfigurePool("default", read(HELLO).workers["default"], pool),)
    assert found.describe() == (
        "workers.default.processes: 1 → 2 (live)",
        "workers.default.concurrency: 10 → 20 (live)",
        "workers.default.drain: 30s → 1m (live)",
    )


def test_the_queues_of_a_pool_change_live() -> None:
    found = planned(HELLO, f"{HELLO}[workers.default]\nqueues = ['default', 'mail']\n")
    assert found.describe() == ('workers.default.queues: ["default"] → ["default", "mail"] (live)',)


def test_another_environment_rolls_the_pool_alone() -> None:
    pools = "[workers.default]\n{}\n[workers.slow]\n"
    old, new = pools.format(""), pools.format('env = { KEY = "hunter2" }\nconcurrency = 5')
    found = planned(old, new)
    assert isinstance(found, Apply)
    assert found.actions == (
        RollPool("default", read(new).workers["default"], ("workers.default.env.KEY added",)),
    )
    assert found.describe() == (
        "workers.default.concurrency: 10 → 5 (live)",
        "workers.default.env.KEY: added (secret) (pool rolls)",
    )
    assert "hunter2" not in repr(found)


def test_another_value_of_a_variable_is_told_without_it() -> None:
    pool = '[workers.default]\nenv = {{ KEY = "{}" }}\n'
    found = planned(pool.format("hunter2"), pool.format("hunter3"))
    assert found.describe() == ("workers.default.env.KEY: changed (pool rolls)",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (HELLO, HELLO.replace(":hello", ":hi"), "tasks.hello.function changed"),
        (HELLO, "[security]\ncodecs = ['safe', 'pickle']\n" + HELLO, "security.codecs changed"),
        (
            HELLO,
            "[security]\nsigning_keys = { a = 'env:A' }\n" + HELLO,
            "security.signing_keys changed",
        ),
        (HELLO, "execution_ttl = '1h'\n" + HELLO, "execution_ttl changed"),
    ],
)
def test_all_pools_roll_for_what_all_workers_are_built_with(
    old: str, new: str, reason: str
) -> None:
    pools = "[workers.a]\nqueues = ['default']\n[workers.b]\n"
    found = planned(old + pools, new + pools)
    assert isinstance(found, Apply)
    workers = read(new + pools).workers
    assert found.actions == (
        RollPool("a", workers["a"], (reason,)),
        RollPool("b", workers["b"], (reason,)),
    )
    (sentence,) = found.describe()
    assert sentence.endswith("(pools roll)")


def test_a_new_task_rolls_all_pools_before_schedules_run_it() -> None:
    schedule = OFTEN.replace("hello", "bye")
    assert actions(HELLO, HELLO + BYE + schedule) == [
        ReplaceTaskPolicies,
        RollPool,
        ReplaceSchedules,
    ]
    assert planned(HELLO, HELLO + BYE + schedule).describe() == (
        "tasks.bye: added (pools roll)",
        "schedules.often: added (schedules reconciled)",
    )


def test_a_removed_task_rolls_all_pools_so_that_its_queued_work_parks() -> None:
    assert actions(HELLO + BYE, HELLO) == [ReplaceTaskPolicies, RollPool]
    assert planned(HELLO + BYE, HELLO).describe() == (
        "tasks.bye: removed (pools roll; queued work parks)",
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("timeout = '20s'", "tasks.hello.timeout: none → 20s (live)"),
        ("retry.attempts = 3", "tasks.hello.retry.attempts: 1 → 3 (live)"),
        ("queue = 'mail'", 'tasks.hello.queue: "default" → "mail" (live for new executions)'),
    ],
)
def test_the_policy_of_a_task_changes_live(line: str, sentence: str) -> None:
    new = f"{HELLO}{line}\n"
    assert only(HELLO, new) == ReplaceTaskPolicies(read(new).tasks)
    assert planned(HELLO, new).describe() == (sentence,)


def test_a_default_changes_the_tasks_that_inherit_it() -> None:
    found = planned(HELLO, f"[defaults.task]\ntimeout = '9s'\n{HELLO}")
    assert found.describe() == ("tasks.hello.timeout: none → 9s (live)",)


def test_a_default_that_no_task_inherits_changes_nothing() -> None:
    task = f"{HELLO}timeout = '20s'\n"
    assert planned(task, f"{task}[defaults.task]\ntimeout = '9s'\n") == Unchanged()


def test_strikes_are_replaced_together() -> None:
    strike = "[[strikes]]\nid = 'a'\ntask = 'hello'\n"
    assert only(HELLO, HELLO + strike) == ReplaceStrikes(read(HELLO + strike).strikes)
    assert planned(HELLO + strike, HELLO).describe() == ("strikes.a: removed (live)",)


def test_the_order_of_strikes_means_nothing() -> None:
    one, other = (
        "[[strikes]]\nid = 'a'\ntask = 'hello'\n",
        "[[strikes]]\nid = 'b'\ntask = 'hello'\n",
    )
    assert planned(HELLO + one + other, HELLO + other + one) == Unchanged()


def test_schedules_are_reconciled_with_the_zone_they_are_in() -> None:
    new = f"{HELLO}{OFTEN}kwargs = {{ eu = true, since = 2026-01-01, n = [1, {{ a = 'b c' }}] }}\n"
    assert only(HELLO + OFTEN, new) == ReplaceSchedules(read(new).schedules, "UTC")
    zoned = f"timezone = 'Europe/Paris'\n{HELLO}"
    assert only(HELLO, zoned) == ReplaceSchedules({}, "Europe/Paris")
    assert planned(HELLO + OFTEN, new).describe() == (
        "schedules.often.kwargs.eu: added true (schedules reconciled)",
        "schedules.often.kwargs.since: added 2026-01-01 (schedules reconciled)",
        'schedules.often.kwargs.n: added [1, {a = "b c"}] (schedules reconciled)',
    )


def test_the_supervisor_and_the_log_change_live() -> None:
    new = f"{HELLO}[logging]\nlevel = 'debug'\n[supervisor.reload]\nsettle = '1s'\n"
    found = planned(HELLO, new)
    assert isinstance(found, Apply)
    configuration = read(new)
    assert found.actions == (
        ChangeLogging(configuration.logging),
        ReconfigureSupervisor(configuration.supervisor),
    )
    assert found.describe() == (
        'logging.level: "info" → "debug" (live)',
        "supervisor.reload.settle: 500ms → 1s (live)",
    )


def test_a_new_pool_starts_before_an_old_one_stops() -> None:
    old, new = "[workers.a]\n[workers.b]\n", "[workers.a]\n[workers.c]\nenv = { KEY = 'hunter2' }\n"
    found = planned(old, new)
    assert isinstance(found, Apply)
    assert found.actions == (
        StartPool("c", read(new).workers["c"]),
        StopPool("b", read(old).workers["b"]),
    )
    assert found.describe() == (
        "workers.c: added (workers start)",
        "workers.b: removed (workers drain and stop)",
    )
    assert "hunter2" not in repr(found)


def test_removing_more_than_the_limit_is_refused() -> None:
    many = "".join(f'[tasks.t{n}]\nfunction = "a:b"\n' for n in range(9))
    problem = refuse_removals(read(many), read('name = "docket"'), 0.5)
    assert problem is not None
    assert problem.render() == (
        "removes 9 of 10 tasks, schedules and pools (tasks.t0, tasks.t1, tasks.t2, tasks.t3,"
        " tasks.t4, …); expected at most 50%; if it is meant, remove fewer at a time or raise"
        " supervisor.reload.max_removals first"
    )


def test_removing_as_much_as_the_limit_is_allowed() -> None:
    assert refuse_removals(read(HELLO), read('name = "docket"'), 0.5) is None


@pytest.mark.parametrize(
    ("on_removed", "fate"),
    [("park", "parks"), ("drain", "is run before it goes"), ("cancel", "is cancelled")],
)
def test_a_removed_task_says_what_becomes_of_its_queued_work(on_removed: str, fate: str) -> None:
    text = f'[tasks.bye]\nfunction = "m:bye"\non_removed = "{on_removed}"\n'
    other = '[tasks.other]\nfunction = "m:other"\n'
    found = plan(parse(text + other).configuration, parse(other).configuration)

    assert isinstance(found, Apply)
    assert f"tasks.bye: removed (pools roll; queued work {fate})" in found.describe()


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ("[tasks.t]\nargs_schema = 2", "tasks.t.args_schema: 1 → 2 (pools roll)"),
        ('[tasks.t]\nupcast = "m:up"', 'tasks.t.upcast: none → "m:up" (pools roll)'),
        (
            '[workers.default.secrets]\nTOKEN = "env:TOKEN"',
            "workers.default.secrets.TOKEN: added (secret) (pool rolls)",
        ),
        (
            '[workers.default]\nhosts = ["web-*"]',
            'workers.default.hosts: ["*"] → ["web-*"] (workers start or stop on other hosts)',
        ),
        ("[workers.default]\nmax_surge = 2", "workers.default.max_surge: 1 → 2 (live)"),
        (
            "[workers.default.recycle]\nafter_tasks = 9",
            "workers.default.recycle.after_tasks: none → 9 (live)",
        ),
        ("revision = 7", "revision: none → 7 (live)"),
    ],
)
def test_each_change_says_what_it_brings_about(change: str, effect: str) -> None:
    base = '[tasks.t]\nfunction = "m:t"\n[workers.default]\nconcurrency = 3\n'
    old = parse(base).configuration
    table, _, line = change.rpartition("\n")
    text = (
        base.replace(f"{table}\n", f"{table}\n{line}\n")
        if table and table in base
        else (f"{base}{change}\n" if table else f"{change}\n{base}")
    )
    found = plan(old, parse(text).configuration)

    assert isinstance(found, Apply)
    assert found.describe() == (effect,)


def test_a_removed_schedule_is_named() -> None:
    problem = refuse_removals(read(HELLO + OFTEN), read(HELLO), 0.1)
    assert problem is not None
    assert (
        "removes 1 of 3 tasks, schedules and pools (schedules.often); expected" in problem.message
    )
