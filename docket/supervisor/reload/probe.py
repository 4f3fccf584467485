"""The probe: a fresh interpreter imports the code of a configuration, which the supervisor never does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, cast

from ...config.checking.findings import Finding
from ...config.checking.problems import Problem
from ...config.load import Loaded
from ...config.model import Configuration
from ...foundation.deaths import describe_exit
from ...serialization import Serializer
from ..processes.process import BEGIN, SpawnFailed, why_not_spawned

FAREWELL = 1.0
"""Seconds that a process has to end by itself once it has reported everything."""


def subject_of(configuration: Configuration) -> dict[str, Any]:
    """Return the subject of a probe; as long as it stays the same, no new probe is needed."""
    return {
        "modules": [[["modules", index], name] for index, name in enumerate(configuration.modules)],
        "functions": {
            name: task.function
            for name, task in configuration.tasks.items()
            if task.function is not None
        },
        "processes": [
            name for name, task in configuration.tasks.items() if task.runner == "process"
        ],
        "errors": [
            [["tasks", name, "retry", "never_on", index], error]
            for name, task in configuration.tasks.items()
            for index, error in enumerate(task.retry.never_on)
        ],
        "upcasts": [
            [["tasks", name, "upcast"], task.upcast]
            for name, task in configuration.tasks.items()
            if task.upcast is not None
        ],
        "calls": [
            [["schedules", name], schedule.task, _as_text(schedule.args, schedule.kwargs)]
            for name, schedule in configuration.schedules.items()
        ],
        "parameters": [
            [["strikes", index, "when", parameter], strike.task, parameter]
            for index, strike in enumerate(configuration.strikes)
            for parameter in strike.when
        ]
        + [
            [["tasks", name, behaviour, "key"], name, key]
            for name, task in configuration.tasks.items()
            for behaviour in ("concurrency", "rate_limit", "cooldown", "debounce")
            if (key := getattr(getattr(task, behaviour), "key", None)) is not None
        ],
        "environment": _environment(configuration),
    }


def _as_text(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    # What TOML can say is safe to encode, and nothing leaves this machine: no limit, no signature.
    plain = Serializer(codecs=("safe",), max_payload=sys.maxsize)
    return base64.b64encode(plain.dump_call(args, kwargs)).decode()


def _environment(configuration: Configuration) -> dict[str, str]:
    """Return the variables of all pools; of two values for one the first pool's counts."""
    environment: dict[str, str] = {}
    for pool in reversed(configuration.workers.values()):
        environment.update(pool.env)
    return environment


async def probe(loaded: Loaded, known: Mapping[str, Any] | None = None) -> tuple[Problem, ...]:
    """Return what does not fit the code, in the order of the files; empty if everything does.

    Arguments:
        loaded: the configuration, and where everything in it stands.
        known: the subject of a probe that went well.

    Raises:
        SpawnFailed: no process could be started for it.
    """
    subject = subject_of(loaded.configuration)
    findings = _missing_extras(loaded.configuration)
    if subject == known or not (subject["modules"] or subject["functions"]):
        return loaded.sources.located(loaded.sources.at_their_sources(findings))
    environment = cast(dict[str, str], subject.pop("environment"))
    words, ending = await _ask(subject, environment, loaded)
    findings.extend(_finding(word) for word in words if "path" in word)
    if ending:
        begun = [word["begun"] for word in words if "begun" in word]
        if not begun:
            raise SpawnFailed(
                f"the code cannot be looked at: {ending} before anything was imported; it "
                f"may lack packages or memory: try `{sys.executable} -c "
                "'import docket.supervisor.reload.probe_process'`"
            )
        findings.append(_unfinished(begun[-1], ending, subject))
    return loaded.sources.located(loaded.sources.at_their_sources(findings))


def _missing_extras(configuration: Configuration) -> list[Finding]:
    """Name the tasks that need a package which is not installed."""
    if importlib.util.find_spec("httpx") is not None:
        return []
    return [
        Finding(
            ("tasks", name, "http"),
            "is an HTTP call, which needs httpx",
            "key",
            "install docket-platform[http]",
        )
        for name, task in configuration.tasks.items()
        if task.http is not None
    ]


def _finding(word: Mapping[str, Any]) -> Finding:
    return Finding(tuple(word["path"]), word["message"], word["target"], word["suggestion"])


def _unfinished(begun: str, ending: str, subject: Mapping[str, Any]) -> Finding:
    """Return the finding of an import that ended the probe instead of the other way round."""
    named = {
        **{
            reference: ("tasks", task, "function")
            for task, reference in subject["functions"].items()
        },
        **{
            name: tuple(path)
            for path, name in (*subject["errors"], *subject["modules"], *subject["upcasts"])
        },
    }
    path = named.get(begun, ("tasks",))
    return Finding(path, f"cannot be imported: {ending}", "value", "importing must only define")


async def _ask(
    subject: Mapping[str, Any], environment: Mapping[str, str], loaded: Loaded
) -> tuple[list[dict[str, Any]], str]:
    """Return the report of the probe, and how it ended if that was not by itself."""
    directory = loaded.path.resolve().parent
    try:
        ours, theirs = os.pipe()
    except OSError as error:
        raise SpawnFailed(why_not_spawned(error, str(directory))) from error
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            BEGIN,
            "probe",
            str(theirs),
            cwd=directory,
            env={**os.environ, **environment},
            pass_fds=[theirs],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, MemoryError, RuntimeError) as error:
        os.close(ours)
        raise SpawnFailed(why_not_spawned(error, str(directory))) from error
    finally:
        os.close(theirs)
    patience = loaded.configuration.supervisor.probe_timeout.total_seconds()
    words: list[dict[str, Any]] = []
    hearing = asyncio.create_task(_hear(process, ours, json.dumps(subject).encode(), words))
    try:
        await asyncio.wait_for(hearing, patience)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), FAREWELL)
    except asyncio.TimeoutError:
        return words, f"it took longer than {patience:g} s (supervisor.probe_timeout)"
    finally:
        # Everything that the imported code has started goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = await process.wait()
    is_done = bool(words) and "done" in words[-1]
    return words, "" if is_done else f"the process ended ({describe_exit(code)})"


async def _hear(
    process: asyncio.subprocess.Process, line: int, said: bytes, words: list[dict[str, Any]]
) -> None:
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(line, "rb", 0)
    )
    try:
        assert process.stdin is not None
        process.stdin.write(said)
        # A process that is gone already is noticed by what it does not tell.
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        process.stdin.close()
        while heard := await reader.readline():
            words.append(json.loads(heard))
            if "done" in words[-1]:
                return
        # Before it is asked how it ended, it must have.
        await process.wait()
    finally:
        transport.close()
