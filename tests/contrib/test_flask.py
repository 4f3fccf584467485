"""Flask: a docket for each app, and tasks that run in an app's context."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, current_app

from docket import Docket, SyncDocket, Worker
from docket.contrib.flask import FlaskDocket, current_docket
from docket.errors import ConfigurationError, InvalidSetting
from docket.execution import get_signature

extension = FlaskDocket()
seen: list[str] = []


@extension.task
def note(text: str, *, times: int = 1) -> None:
    """Note the app's name."""
    seen.append(f"{current_app.name}: {text * times}")


@extension.task
async def note_later(text: str) -> None:
    seen.append(f"{current_app.name}, async: {text}")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    seen.clear()
    monkeypatch.setattr(extension, "_app", None)


def create_app(name: str = "shop", **settings: Any) -> Flask:
    app = Flask(name)
    app.config.from_mapping(
        DOCKET_NAME=f"flask-{uuid.uuid4().hex[:12]}",
        DOCKET_URL="memory://flask",
        DOCKET_CONFIG=False,
        **settings,
    )
    extension.init_app(app)

    @app.post("/<text>")
    def add(text: str) -> str:  # pyright: ignore[reportUnusedFunction]
        return current_docket.add(note, key=text)(text).key

    return app


def docket_of(app: Flask) -> SyncDocket:
    return app.extensions["docket"]


async def run_all(app: Flask) -> None:
    ours = docket_of(app)
    async with Docket(ours.name, ours.url, config=False) as docket, Worker(docket) as worker:
        docket.register(note)
        docket.register(note_later)
        await worker.run_until_finished()


async def test_a_view_adds_a_task_that_runs_in_the_context_of_the_app() -> None:
    app = create_app()

    def requests() -> None:
        assert app.test_client().post("/hello").text == "hello"
        with app.app_context():
            current_docket.add(note_later)("world")
            assert current_docket.name == docket_of(app).name
        docket_of(app).close()

    in_thread(requests)
    await run_all(app)

    assert sorted(seen) == ["shop, async: world", "shop: hello"]


def in_thread(function: Callable[[], object]) -> None:
    """Run it where no event loop runs, as a server of Flask's does."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_each_app_has_a_docket_of_its_own_and_options() -> None:
    one = create_app("one")
    two = create_app("two", DOCKET_OPTIONS={"max_payload": 10})

    assert docket_of(one).name != docket_of(two).name
    with pytest.raises(InvalidSetting):
        create_app("three", DOCKET_OPTIONS={"missed_heartbeats": 0})
    with one.app_context():
        assert current_docket.name == docket_of(one).name


def test_a_task_that_is_called_runs_in_the_context_that_there_is() -> None:
    one, _ = create_app("one"), create_app("two")

    with one.app_context():
        note("called")
    note("outside", times=2)

    assert seen == ["one: called", "two: outsideoutside"]
    assert list(get_signature(note).parameters) == ["text", "times"]


@pytest.mark.parametrize("place", ["tests.contrib.test_flask:create_app", create_app])
def test_a_worker_makes_its_app_by_itself(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "_create_app", place)

    note("first")
    note("second")

    assert seen == ["shop: first", "shop: second"]


def test_without_an_app_it_says_how_to_name_one() -> None:
    with pytest.raises(ConfigurationError, match=r"for the task 'note'.*create_app=\"package"):
        note("nowhere")
    with (
        Flask("bare").app_context(),
        pytest.raises(ConfigurationError, match=r"in the Flask app 'bare'.*FlaskDocket\.init_app"),
    ):
        current_docket.name  # noqa: B018


def test_it_may_be_given_its_app_at_once() -> None:
    app = Flask("small")
    app.config["DOCKET_URL"] = "memory://flask"

    small = FlaskDocket(app)

    assert small.task(lambda: current_app.name)() == "small"
