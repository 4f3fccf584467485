"""A Flask app whose requests leave their slow part to a worker.

python -m examples.flask_shop
"""

from __future__ import annotations

import asyncio

from flask import Flask, current_app

from docket import Docket, Worker
from docket.contrib.flask import FlaskDocket, current_docket

docket = FlaskDocket(create_app="examples.flask_shop:create_app")


@docket.task
def send_welcome(user: int) -> str:
    """Stands for a mail: it needs the configuration of the app."""
    print(f"welcome to {current_app.config['SHOP']}, user {user}")
    return f"mail-{user}"


def create_app() -> Flask:
    """Make the app, for a server of the web and for a worker."""
    app = Flask("shop")
    app.config["SHOP"] = "the shop"
    docket.init_app(app)

    @app.post("/users/<int:user>")
    def sign_up(user: int) -> dict[str, str]:
        execution = current_docket.add(send_welcome, key=f"welcome-{user}")(user)
        return {"mail": execution.key, "state": execution.state.value}

    @app.get("/mails/<key>")
    def mail(key: str) -> dict[str, str]:
        execution = current_docket.get_execution(key)
        return {"state": "unknown" if execution is None else execution.state.value}

    _ = sign_up, mail
    return app


async def work() -> None:
    """Do what is queued, as a worker in a process of its own does."""
    async with Docket() as docket, Worker(docket) as worker:
        docket.register(send_welcome)
        await worker.run_until_finished()


def main() -> None:
    """Sign up, and see the mail go out."""
    client = create_app().test_client()
    print(client.post("/users/42").json)
    asyncio.run(work())
    print(client.get("/mails/welcome-42").json)


if __name__ == "__main__":
    main()
