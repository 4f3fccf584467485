"""HTTP calls as tasks: a real server on the loopback address."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typing_extensions import override

from docket.errors import CallRefused, InvalidSetting
from docket.policy import RetryPolicy
from docket.runners.http import BODY, HttpCall, http_task


class Partner(BaseHTTPRequestHandler):
    """Answers by the path that it is asked for, and remembers what it was asked."""

    seen: list[dict[str, Any]]

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.seen.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": dict(self.headers),
                "body": self.rfile.read(length).decode(),
            }
        )
        word, _, rest = self.path.partition("?")[0].strip("/").partition("/")
        status = int(word) if word.isdigit() else 200
        self.send_response(status)
        if word == "big":
            self.end_headers()
            self.wfile.write(b"x" * (BODY * 3))
            return
        if status in (301, 303, 307):
            self.send_header("location", rest if rest.startswith("http") else f"/{rest}")
        if status in (429, 503) and rest:
            self.send_header("retry-after", rest.replace("_", " "))
        self.send_header("content-length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")

    do_GET = do_POST = do_HEAD = _answer  # noqa: N815

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def partner() -> Iterator[str]:
    Partner.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Partner)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def call(url: str, **settings: Any) -> Any:
    options: dict[str, Any] = {"allow_private": True, **settings}
    return http_task("ping", HttpCall(url, **options))


async def test_arguments_are_sent_as_json(partner: str) -> None:
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)

    result = await call(f"{partner}/hook")(order=7, at=moment)

    assert result == {"status": 200, "body": "ok"}
    assert Partner.seen[0]["method"] == "POST"
    assert Partner.seen[0]["headers"]["Content-Type"] == "application/json"
    assert json.loads(Partner.seen[0]["body"]) == {"order": 7, "at": str(moment)}


async def test_arguments_fill_in_url_headers_and_body_quoted_for_each(partner: str) -> None:
    ping = call(
        f"{partner}/orders/{{order}}",
        headers={"X-Who": "{who}"},
        body='{{"n": {order}}}',
        method="post",
    )

    await ping(order="a/b c", who="jane")

    assert Partner.seen[0]["path"] == "/orders/a%2Fb%20c"
    assert Partner.seen[0]["headers"]["X-Who"] == "jane"
    assert Partner.seen[0]["body"] == '{"n": a/b c}'


async def test_a_get_takes_only_the_arguments_that_it_names(partner: str) -> None:
    ping = call(f"{partner}/{{word}}", method="GET")
    await ping(word="x")

    assert Partner.seen[0]["body"] == ""
    with pytest.raises(TypeError):
        await ping(word="x", more=1)


async def test_a_line_break_does_not_get_into_a_header(partner: str) -> None:
    with pytest.raises(CallRefused, match="line break"):
        await call(partner, headers={"X-Who": "{who}"})(who="jane\r\nX-Admin: 1")

    assert Partner.seen == []


@pytest.mark.parametrize(
    ("status", "expect"), [(204, "204"), (404, "404"), (201, "2xx"), (303, "303")]
)
async def test_a_status_that_is_expected_is_a_success(
    partner: str, status: int, expect: str
) -> None:
    assert (await call(f"{partner}/{status}/x", expect=expect)())["status"] == status


async def test_a_status_that_is_not_expected_is_a_failure(partner: str) -> None:
    with pytest.raises(
        CallRefused, match=r"expected 2xx from http://127.0.0.1:\d+/500, found 500$"
    ) as caught:
        await call(f"{partner}/500?token=secret")()

    assert (caught.value.status, caught.value.retry_after) == (500, None)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_partner_says_when_to_come_again(partner: str, status: int) -> None:
    with pytest.raises(CallRefused) as caught:
        await call(f"{partner}/{status}/120")()

    pause = RetryPolicy(attempts=2, delay=timedelta(seconds=1)).pause_after(1, caught.value)
    assert pause == timedelta(seconds=120)


async def test_a_busy_partner_may_name_a_moment_or_nothing_that_makes_sense(partner: str) -> None:
    moment = format_datetime(datetime.now(timezone.utc) + timedelta(minutes=1)).replace(" ", "_")
    with pytest.raises(CallRefused) as named:
        await call(f"{partner}/503/{moment}")()
    with pytest.raises(CallRefused) as odd:
        await call(f"{partner}/503/soon")()

    assert named.value.retry_after == pytest.approx(60, abs=5)
    assert odd.value.retry_after is None


async def test_only_the_beginning_of_a_long_answer_is_kept(partner: str) -> None:
    assert (await call(f"{partner}/big", method="GET")())["body"] == "x" * BODY


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(303, "POST", "GET"), (307, "POST", "POST"), (301, "HEAD", "HEAD")],
)
async def test_a_redirect_on_the_same_host_is_followed(
    partner: str, status: int, method: str, then: str
) -> None:
    await call(f"{partner}/{status}/there", method=method, body="x" if method == "POST" else None)()

    assert [(one["method"], one["path"]) for one in Partner.seen][1:] == [(then, "/there")]


async def test_a_redirect_to_another_host_is_refused(partner: str) -> None:
    with pytest.raises(
        CallRefused, match=r"redirects to http://elsewhere.example, which is another host"
    ):
        await call(f"{partner}/307/http://elsewhere.example/")()


async def test_redirects_come_to_an_end(partner: str) -> None:
    with pytest.raises(CallRefused, match="more than 5 times"):
        await call(f"{partner}/307/307/307/307/307/307/307/307")()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"])
async def test_an_address_that_is_not_public_is_refused(host: str) -> None:
    with pytest.raises(CallRefused, match="not a public address"):
        await call(f"http://{host}:9/", allow_private=False)()


@pytest.mark.parametrize("url", ["ftp://partner.example/", "http:///x", "file:///etc/passwd"])
async def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(CallRefused, match="expected an http or https URL"):
        await call(url)()


async def test_a_host_that_is_not_there_is_told(partner: str) -> None:
    with pytest.raises(CallRefused, match="can not be reached"):
        await call("http://no-such-host.invalid/")()
    with pytest.raises(CallRefused, match="can not be reached"):
        await call("http://127.0.0.1:1/")()
    with pytest.raises(CallRefused, match="can not be reached"):
        await call("http://[::1]:1/")()


def test_without_httpx_the_task_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", none)
    with pytest.raises(InvalidSetting, match=r"docket-platform\[http\]"):
        call("http://partner.example/")
