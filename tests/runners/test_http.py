"""HTTP calls as tasks: a real server on the loopback address."""

from __future__ import annotations

import gzip
import importlib.util
import json
import threading
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typing_extensions import override

from docket.errors import CallRefused, InvalidSetting
from docket.foundation.policy import RetryPolicy
from docket.runners.http import BODY, HttpCall, http_task
from docket.runners.networks import is_public
from docket.runners.unpacking import Unpacking


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
        if word == "charset":
            self.send_header("content-type", f"text/plain; charset={rest}")
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
    assert Partner.seen[0]["body"] == '{"n": "a/b c"}'


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


@pytest.mark.parametrize("target", ["http://x:99999/", "http://[/"])
async def test_a_redirect_to_what_is_no_url_is_refused(partner: str, target: str) -> None:
    with pytest.raises(CallRefused, match="redirects to what is no URL"):
        await call(f"{partner}/307/{target}", method="GET")()


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


async def test_a_port_that_is_none_is_refused_and_not_told() -> None:
    with pytest.raises(CallRefused, match="whose host or port cannot be read") as refused:
        await call("http://user:{port}/")(port="hunter2")
    assert "hunter2" not in str(refused.value)


async def test_a_host_that_is_not_there_is_told(partner: str) -> None:
    with pytest.raises(CallRefused, match="cannot be reached"):
        await call(f"http://{'a' * 70}.invalid/")()
    with pytest.raises(CallRefused, match="cannot be reached"):
        await call("http://no-such-host.invalid/")()
    with pytest.raises(CallRefused, match="cannot be reached"):
        await call("http://127.0.0.1:1/")()
    with pytest.raises(CallRefused, match="cannot be reached"):
        await call("http://[::1]:1/")()


def test_without_httpx_the_task_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", none)
    with pytest.raises(InvalidSetting, match=r"docket-platform\[http\]"):
        call("http://partner.example/")


@pytest.mark.parametrize("value", ["..", ".", ""])
async def test_an_argument_changes_no_path(partner: str, value: str) -> None:
    delete = call(f"{partner}/users/{{id}}/avatar", method="DELETE")

    with pytest.raises(CallRefused, match=r"stand for a part of the path /users/\{id\}/avatar"):
        await delete(id=value)

    assert Partner.seen == []


async def test_dots_that_stand_beside_something_are_an_argument(partner: str) -> None:
    await call(f"{partner}/files/{{name}}.{{kind}}/{{word}}")(name="..", kind=".", word="%2e.")

    assert Partner.seen[0]["path"] == "/files/..../%252e."


BODIES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "JSON, inside of quotes": (
        "",
        '{{"n": "{n}"}}',
        {"n": 'x", "admin": true'},
        r'{"n": "x\", \"admin\": true"}',
    ),
    "JSON, a value": (
        "",
        '{{"n": {n}, "m": [{m}]}}',
        {"n": 'x"', "m": None},
        r'{"n": "x\"", "m": [null]}',
    ),
    "JSON, quotes of its own": (
        "",
        r'{{"\"{n}": {n}}}',
        {"n": "a\\"},
        r'{"\"a\\": "a\\"}',
    ),
    "JSON, by its header": ("application/x-ndjson", "{n}\n{n}", {"n": True}, "true\ntrue"),
    "a form": (
        "application/x-www-form-urlencoded",
        "n={n}&m=1",
        {"n": "a b&m=2"},
        "n=a+b%26m%3D2&m=1",
    ),
    "XML": (
        "text/xml",
        '<n a="{n}">{n}</n>',
        {"n": '"<&>'},
        '<n a="&quot;&lt;&amp;&gt;">&quot;&lt;&amp;&gt;</n>',
    ),
    "a text": ("", "hello {n}", {"n": '"you"'}, 'hello "you"'),
}


@pytest.mark.parametrize("named", BODIES)
async def test_an_argument_is_quoted_as_the_language_of_the_body_does(
    partner: str, named: str
) -> None:
    kind, body, arguments, sent = BODIES[named]
    headers = {"Content-Type": kind} if kind else {}

    await call(partner, body=body, headers=headers)(**arguments)

    assert Partner.seen[0]["body"] == sent


async def test_what_can_not_be_sent_as_utf_8_is_refused(partner: str) -> None:
    with pytest.raises(CallRefused, match="a lone surrogate"):
        await call(partner, body="hello {n}")(n="\ud800")


@pytest.mark.parametrize("value", ["é", "a\nb", "\x00", "\x7f"])
async def test_a_header_that_can_not_be_sent_is_named_and_its_value_is_not(
    partner: str, value: str
) -> None:
    with pytest.raises(CallRefused, match="in the header X-Token, found another") as refused:
        await call(partner, headers={"X-Token": "sesame {n}"})(n=value)

    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("inf", None),
        ("nan", None),
        ("1e300", None),
        ("-1", None),
        ("99999999999999999999999999", 365 * 24 * 3600),
        ("Wed, 21 Oct 2099 07:28:00 -0000", 365 * 24 * 3600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 365 * 24 * 3600),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
async def test_a_pause_that_nobody_can_mean_is_bounded_or_none(
    partner: str, asked: str, pause: float | None
) -> None:
    with pytest.raises(CallRefused) as refused:
        await call(f"{partner}/503/{asked.replace(' ', '_')}")()

    assert refused.value.retry_after == pause


def test_a_pause_that_is_asked_for_is_no_longer_than_the_longest() -> None:
    policy = RetryPolicy(attempts=3, max_delay=timedelta(minutes=1))

    for wish, pause in ((3600.0, 60), (5, 5), ("soon", 0), (float("nan"), 0), (True, 1)):
        error = CallRefused("later", 503, wish)  # type: ignore[arg-type]
        assert policy.pause_after(1, error) == timedelta(seconds=pause)


PACKED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(b"a" * 100)),
    "deflate": ("deflate", zlib.compress(b"a" * 100)),
    "deflate without its frame": ("deflate", zlib.compress(b"a" * 100)[2:-4]),
    "not at all": ("identity", b"a" * 100),
}


@pytest.mark.parametrize("named", PACKED)
def test_an_answer_is_unpacked(named: str) -> None:
    encoding, data = PACKED[named]
    unpacking = Unpacking(encoding, BODY)

    for at in range(0, len(data), 3):
        unpacking.feed(data[at : at + 3])

    assert unpacking.body == b"a" * 100
    assert not unpacking.is_full


def test_an_answer_is_unpacked_no_further_than_it_is_kept() -> None:
    unpacking = Unpacking("gzip", BODY)

    unpacking.feed(gzip.compress(b"\0" * (1 << 24)))

    assert unpacking.is_full
    assert len(unpacking.body) == BODY


@pytest.mark.parametrize(
    ("encoding", "data", "message"),
    [
        ("gzip", b"no gzip", "found a damaged one"),
        ("deflate", b"\xff\xff", "found a damaged one"),
        ("br", b"", "packed as gzip, deflate or not at all, found 'br'"),
    ],
)
def test_an_answer_that_can_not_be_unpacked_is_refused(
    encoding: str, data: bytes, message: str
) -> None:
    with pytest.raises(CallRefused, match=message):
        Unpacking(encoding, BODY).feed(data)


def test_an_answer_that_is_damaged_after_its_beginning_is_refused() -> None:
    # Stored blocks: the first one is whole, the next one begins with a type that there is not.
    unpacking = Unpacking("deflate", BODY)
    unpacking.feed(b"\x78\x01\x00\x03\x00\xfc\xff" + b"abc")

    with pytest.raises(CallRefused, match="found a damaged one"):
        unpacking.feed(b"\x07\x00\x00")
    assert unpacking.body == b"abc"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "240.0.0.1"),
        *(
            "::1",
            "fe80::1",
            "fc00::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ),
        *("2001:0:0a00:0001::", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255"),
    ],
)
def test_an_address_that_not_everybody_can_have_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "64:ff9b::909:909"])
def test_an_address_that_anybody_can_have_is_public(address: str) -> None:
    assert is_public(address)


async def test_what_is_no_address_of_a_host_is_never_called() -> None:
    with pytest.raises(CallRefused, match="which is not the address of a host"):
        await call("http://224.0.0.1/")()


@pytest.mark.parametrize("charset", ["no-such-charset", "hex"])
async def test_a_charset_that_is_none_is_utf_8(partner: str, charset: str) -> None:
    assert (await call(f"{partner}/charset/{charset}")())["body"] == "ok"
