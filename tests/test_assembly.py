"""A configuration becomes orders, and orders become a docket and a worker that do as it says."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from docket.annotations import get_signature
from docket.assembly import (
    LEASE,
    lane_of,
    orders_for,
    rule_for,
    serializer_for,
    signing_keys,
)
from docket.config.load import load
from docket.config.model import Configuration
from docket.errors import ConfigurationError, DocketError, InvalidSetting
from docket.foundation.policy import (
    DEFAULT_POLICY,
    ConcurrencyPolicy,
    CooldownPolicy,
    DebouncePolicy,
    PerpetualPolicy,
    RatePolicy,
    RetryPolicy,
    TaskPolicy,
)
from docket.foundation.worker_spec import RetrySpec, TaskSpec, WorkerSpec
from docket.runners.http import HttpCall, http_task
from docket.runners.template import fill_in
from docket.strikelist import Condition, Operator, Rule
from docket.supervisor.processes.construction import build_docket, build_worker, instruct

Written = Callable[[str], tuple[Configuration, Path]]

TEXT = """
name = "shop"
url = "memory://assembly"
execution_ttl = "5m"

[security]
codecs = ["safe"]
max_payload = 2048
signing_keys = { "2026" = "file:key" }

[logging]
level = "warning"
format = "json"

[tasks.send]
function = "math:sqrt"
timeout = "90s"

[tasks.send.retry]
attempts = 4
delay = "250ms"
max_delay = "10s"
backoff = "exponential"
jitter = 0.5
never_on = ["builtins:ValueError"]

[tasks.sqrt]
function = "math:isqrt"
queue = "slow"

[workers.default]
concurrency = 3
drain = "7s"

[workers.slow]
queues = ["slow", "default"]
"""


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write a docket.toml, with a secret beside it."""
    (tmp_path / "key").write_text("a secret of at least 32 characters\n")

    def write(text: str) -> tuple[Configuration, Path]:
        path = tmp_path / "docket.toml"
        path.write_text(text)
        return load(path, {}).configuration, path

    return write


@pytest.fixture
def orders(written: Written) -> WorkerSpec:
    configuration, path = written(TEXT)
    return orders_for(configuration, "default", path)


def test_orders_say_all_that_the_configuration_says_of_a_pool(orders: WorkerSpec) -> None:
    assert orders == WorkerSpec(
        pool="default",
        name="shop",
        url="memory://assembly",
        concurrency=3,
        queues=("default",),
        drain=7.0,
        execution_ttl=300.0,
        lease=LEASE.total_seconds(),
        codecs=("safe",),
        max_payload=2048,
        signing_keys={"2026": "a secret of at least 32 characters"},
        tasks={
            "send": TaskSpec(
                "math:sqrt",
                90.0,
                RetrySpec(4, 0.25, 10.0, "exponential", 0.5, ("builtins:ValueError",)),
            ),
            "sqrt": TaskSpec("math:isqrt"),
        },
        log_level="warning",
        log_format="json",
        history_keep=259_200.0,
        history_memory=128 << 20,
        result_memory=256 << 20,
    )


def test_each_pool_has_queues_of_its_own(written: Written) -> None:
    configuration, path = written(TEXT)

    assert orders_for(configuration, "slow", path).queues == ("slow", "default")


def test_without_a_url_the_server_is_the_embedded_one_beside_the_file(written: Written) -> None:
    configuration, path = written(TEXT.replace('url = "memory://assembly"', ""))

    url = orders_for(configuration, "default", path).url
    assert url == f"embedded://{path.parent / '.docket'}"


def test_a_secret_that_is_not_there_is_told_of_by_its_name(written: Written) -> None:
    configuration, path = written(TEXT.replace("file:key", "file:nothing"))

    with pytest.raises(ConfigurationError, match="nothing"):
        signing_keys(configuration, path)


def test_payloads_are_signed_as_the_configuration_says(written: Written) -> None:
    signing = serializer_for(*written(TEXT))
    plain = serializer_for(*written(TEXT.replace('signing_keys = { "2026" = "file:key" }', "")))

    call = signing.dump_call((1,), {"a": 2}, context=("send", "k"))
    assert signing.load_call(call, context=("send", "k")) == ((1,), {"a": 2})
    with pytest.raises(DocketError):
        signing.load_call(plain.dump_call((1,), {}), context=("send", "k"))
    with pytest.raises(DocketError):
        signing.dump_call(("x" * 3000,), {})


def test_a_strike_of_the_file_is_a_rule_that_names_the_file(written: Written) -> None:
    configuration, _ = written(
        TEXT + '[[strikes]]\nid = "block"\ntask = "send"\nreason = "INC-1"\n'
        '[strikes.when]\ncustomer = { op = "==", value = "acme" }\n'
        'amount = { op = "between", value = [1, 5] }\n'
    )

    assert rule_for(configuration.strikes[0], "ours") == Rule(
        "send",
        (
            Condition("customer", Operator.EQUAL, "acme"),
            Condition("amount", Operator.BETWEEN, (1, 5)),
        ),
        "INC-1",
        source="file:ours/block",
    )


def test_a_strike_of_the_file_may_park_and_may_end(written: Written) -> None:
    configuration, _ = written(
        TEXT + '[[strikes]]\ntask = "send"\naction = "park"\nexpires = 2030-01-01T00:00:00Z\n'
    )
    rule = rule_for(configuration.strikes[0], "ours")

    assert (rule.action, rule.expires) == ("park", datetime(2030, 1, 1, tzinfo=timezone.utc))


def test_a_strike_of_the_file_may_put_off(written: Written) -> None:
    configuration, _ = written(
        TEXT + '[[strikes]]\ntask = "send"\naction = "delay"\ndelay = "15m"\n'
    )
    rule = rule_for(configuration.strikes[0], "ours")

    assert (rule.action, rule.delay) == ("delay", timedelta(minutes=15))


def test_a_docket_knows_its_tasks_by_their_names_in_the_file(orders: WorkerSpec) -> None:
    docket = build_docket(orders)

    assert (docket.name, docket.url, docket.execution_ttl) == (
        "shop",
        "memory://assembly",
        timedelta(minutes=5),
    )
    assert docket.tasks["send"] is math.sqrt


def test_a_function_is_known_by_its_own_name_too_unless_the_file_gives_that_to_another(
    orders: WorkerSpec,
) -> None:
    tasks = build_docket(orders).tasks

    assert tasks["sqrt"] is math.isqrt
    assert tasks["isqrt"] is math.isqrt


@pytest.mark.parametrize(
    ("function", "error"), [("math:nothing", AttributeError), ("no_such_module:f", ImportError)]
)
def test_a_function_that_is_not_there_is_an_error(
    orders: WorkerSpec, function: str, error: type[Exception]
) -> None:
    orders.tasks["broken"] = TaskSpec(function)

    with pytest.raises(error, match=r"nothing|no_such_module"):
        build_docket(orders)


def test_modules_of_the_file_are_imported_before_the_tasks(
    orders: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_by_orders.py").write_text("is_imported = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    build_docket(dataclasses.replace(orders, modules=("imported_by_orders",)))

    assert sys.modules.pop("imported_by_orders").is_imported


def test_tasks_run_as_the_orders_say_under_either_name(orders: WorkerSpec) -> None:
    orders.tasks["root"] = TaskSpec("math:exp", 2.0)
    docket = build_docket(orders)
    instruct(docket, orders)

    assert docket.registry.policy("send") == TaskPolicy(
        timedelta(seconds=90),
        RetryPolicy(
            4, timedelta(seconds=0.25), timedelta(seconds=10), "exponential", 0.5, (ValueError,)
        ),
    )
    # The name sqrt is that of another task in the file, whose policy counts.
    assert docket.registry.policy("sqrt").timeout is None
    assert docket.registry.policy("exp").timeout == timedelta(seconds=2)
    assert docket.registry.policy("unheard of") == DEFAULT_POLICY


def test_a_task_that_the_process_does_not_know_is_left_to_its_replacement(
    orders: WorkerSpec,
) -> None:
    docket = build_docket(orders)
    orders.tasks["later"] = TaskSpec("no_such_module:f", 1.0)

    instruct(docket, orders)

    assert docket.registry.policy("later") == DEFAULT_POLICY


async def test_a_worker_is_what_the_orders_describe(orders: WorkerSpec) -> None:
    async with build_docket(orders) as docket:
        worker = build_worker(docket, orders)

        assert worker.concurrency == 3
        assert worker.redelivery_timeout == LEASE
        assert worker.docket is docket


BEHAVIOURS = """
name = "shop"
url = "memory://assembly"

[tasks.sync]
function    = "math:sqrt"
concurrency = { limit = 3, key = "x", on_conflict = "drop" }
rate_limit  = { limit = 100, per = "1m", drop = true }
cooldown    = { window = "30s", key = "x" }
debounce    = { settle = "5s", max_wait = "1m" }
perpetual   = { every = "5m", from = "finish", automatic = true }
result_ttl  = "1h"
runner      = "process"
log_level   = "debug"
priority    = "high"
queue       = "mail"

[tasks.dump]
command  = ["pg_dump", "--file", "{path}"]
priority = "low"
queue    = "mail"

[tasks.ping]
http = { url = "https://partner.example/{order}", headers = { Authorization = "env:PARTNER_TOKEN" } }

[workers.default]
queues = ["default", "mail"]
"""


@pytest.fixture
def behaving(written: Written, monkeypatch: pytest.MonkeyPatch) -> WorkerSpec:
    monkeypatch.setenv("PARTNER_TOKEN", "Bearer 123")
    configuration, path = written(BEHAVIOURS)
    orders = orders_for(configuration, "default", path)
    return WorkerSpec.load(json.loads(orders.text))


def test_what_the_file_declares_about_a_task_becomes_its_policy(behaving: WorkerSpec) -> None:
    docket = build_docket(behaving)
    instruct(docket, behaving)

    assert docket.registry.policy("sync") == TaskPolicy(
        concurrency=ConcurrencyPolicy(3, "x", "drop"),
        rate_limit=RatePolicy(100, timedelta(minutes=1), drop=True),
        cooldown=CooldownPolicy(timedelta(seconds=30), "x"),
        debounce=DebouncePolicy(timedelta(seconds=5), timedelta(minutes=1)),
        perpetual=PerpetualPolicy(timedelta(minutes=5), "finish", automatic=True),
        result_ttl=timedelta(hours=1),
        in_process=True,
    )


def test_a_task_logs_at_its_own_level_until_the_file_says_no_more(behaving: WorkerSpec) -> None:
    docket = build_docket(behaving)
    instruct(docket, behaving)
    level = logging.getLogger("docket.task.sync").level
    behaving.tasks["sync"] = TaskSpec("math:sqrt")
    instruct(docket, behaving)

    assert (level, logging.getLogger("docket.task.sync").level) == (logging.DEBUG, logging.NOTSET)


def test_commands_and_calls_are_tasks_like_others(behaving: WorkerSpec) -> None:
    docket = build_docket(behaving)

    assert str(get_signature(docket.tasks["dump"])) == "(*, path)"
    assert str(get_signature(docket.tasks["ping"])) == "(*, order, **arguments)"
    assert behaving.tasks["ping"].http["headers"] == {"Authorization": "Bearer 123"}


def test_a_queue_is_served_in_the_order_of_priorities(
    written: Written, behaving: WorkerSpec
) -> None:
    configuration, _ = written(BEHAVIOURS)
    lanes = {name: lane_of(task) for name, task in configuration.tasks.items()}

    assert lanes == {"sync": "mail/high", "dump": "mail/low", "ping": "default"}
    assert behaving.queues == ("default", "mail/high", "mail", "mail/low")


def test_two_functions_of_one_name_are_known_by_their_names_in_the_file(
    written: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for module in ("shop_of_names", "bank_of_names"):
        (tmp_path / f"{module}.py").write_text("async def run(): ...")
    monkeypatch.syspath_prepend(tmp_path)
    text = 'name = "names"\nurl = "memory://assembly"\n' + "".join(
        f'[tasks.{name}]\nfunction = "{name}_of_names:run"\n' for name in ("shop", "bank")
    )

    docket = build_docket(orders_for(written(text)[0], "default", written(text)[1]))

    assert docket.tasks["shop"] is docket.tasks["run"]
    assert docket.tasks["shop"] is not docket.tasks["bank"]
    assert "add them by the file's names" in caplog.text


def test_a_header_that_is_read_from_elsewhere_is_no_template_and_in_no_error(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "Bearer sesame}z{z")
    text = """
        [tasks.call.http]
        url = "https://partner.invalid/{id}"
        headers = { Authorization = "env:TOKEN", X-Id = "{id}" }
    """
    configuration, path = written(text)
    orders = orders_for(configuration, "default", path)
    call = HttpCall(**orders.tasks["call"].http)

    sent = {name: fill_in(value, {"id": 7}) for name, value in call.headers.items()}

    assert sent == {"Authorization": "Bearer sesame}z{z", "X-Id": "7"}
    with pytest.raises(InvalidSetting) as refused:
        http_task("x", HttpCall("https://partner.invalid/", headers={"X": "Bearer sesame}"}))
    assert "sesame" not in str(refused.value)


def test_a_pool_may_have_a_user_of_its_own(written: Written) -> None:
    url = "redis://worker@redis.internal:6379/0"
    configuration, path = written(
        f"""
        url = "redis://supervisor@redis.internal:6379/0"
        [workers.default]
        [workers.own]
        url = "{url}"
        [workers.by_env]
        env = {{ DOCKET_URL = "{url}" }}
        """
    )

    found = {pool: orders_for(configuration, pool, path).url for pool in configuration.workers}

    assert found == {"default": configuration.url, "own": url, "by_env": url}


def test_a_file_that_is_strict_has_keys_that_are_long_enough(written: Written) -> None:
    configuration, path = written('[security]\nprofile = "strict"\n')

    with pytest.raises(ConfigurationError, match="there are no"):
        serializer_for(configuration, path)
